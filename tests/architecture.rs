//! Holds the source to the map in src/lib.rs: who may import whom, what the pure parts may touch,
//! where `unsafe` and printing are allowed, and how long a file gets.
//!
//! Reads the text, and knows just enough of the language for that: comments and tests are left out,
//! and a path is written out where it is used or in a `use`. Clippy holds single functions
//! (clippy.toml), but cannot ban a module such as `std::fs`.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules, each with those it may import. `daemon` may import all, and only `main` imports it.
const IMPORTS: [(&str, &[&str]); 18] = [
    ("error", &[]),
    ("herd", &[]),
    ("wire", &[]),
    ("config", &["herd", "wire"]),
    ("linux", &["error", "wire"]),
    ("launch", &["config", "herd", "wire"]),
    ("log", &["herd", "linux", "wire"]),
    ("import", &["config", "wire"]),
    ("migrate", &["error", "import"]),
    ("cli", &["config", "herd"]),
    ("complete", &["cli", "config", "ctl"]),
    ("check", &["config", "error", "herd", "launch"]),
    ("presets", &["config", "error"]),
    // The limits of the control socket; how text is made fit for a terminal.
    ("ctl", &["diagnostics", "error", "herd", "linux", "log", "wire"]),
    ("demo", &["error", "linux", "wire"]),
    ("diagnostics", &["linux"]),
    ("daemon", &["config", "error", "herd", "launch", "linux", "log", "wire"]),
    (
        "main",
        &[
            "check",
            "cli",
            "complete",
            "ctl",
            "daemon",
            "demo",
            "diagnostics",
            "error",
            "import",
            "log",
            "migrate",
            "presets",
        ],
    ),
];

/// What would make a pure part impure.
const IMPURE: [&str; 8] = ["fs", "io", "net", "os", "process", "env", "thread", "time"];

/// Data that lives there and touches nothing.
const PURE_AFTER_ALL: [&str; 5] = [
    "time::Duration",
    "net::{IpAddr, Ipv6Addr, SocketAddr}",
    "net::IpAddr",
    "net::Ipv6Addr",
    "net::SocketAddr",
];

/// The only files with `unsafe` in them: this one and those below it.
const UNSAFE: [&str; 2] = ["linux/sys.rs", "linux/sys/"];

/// Other crates, which the core has no use for.
const CRATES: [&str; 9] = [
    "clap::",
    "libc::",
    "listenfd::",
    "nix::",
    "sd_notify::",
    "serde",
    "strsim::",
    "toml::",
    "tracing",
];

/// The modules that speak to people on their own.
const PRINT: [&str; 6] = ["main", "ctl", "check", "demo", "diagnostics", "log"];

/// The longest a file may be. One that grows past it usually holds two ideas.
const LINES: usize = 500;

/// A file of the crate.
struct Source {
    /// Below src/.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The module of the crate it belongs to.
    fn module(&self) -> &str {
        let first = self.path.iter().next().and_then(|name| name.to_str()).unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    fn is_test(&self) -> bool {
        self.path
            .to_str()
            .is_some_and(|path| path.ends_with("tests.rs") || path.ends_with("testing.rs"))
    }

    /// The code that ships, with the numbers of its lines: no comments, no tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..).map(|(line, number)| (number, line));
        let shipped = lines.take_while(|(_, line)| *line != "mod tests {");
        shipped.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn place(&self, line: usize) -> String {
        format!("src/{}:{line}", self.path.display())
    }
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut directories, mut sources) = (vec![src.clone()], Vec::new());
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path: path.strip_prefix(&src).unwrap().to_owned(), text });
            }
        }
    }
    assert!(sources.len() > 50, "the sources are not where they were");
    sources
}

/// Everything in the shipped code that `wrong` objects to, with its place.
fn objections(sources: &[Source], wrong: impl Fn(&Source, &str) -> Option<String>) -> Vec<String> {
    let shipped = sources.iter().filter(|source| !source.is_test());
    let lines =
        shipped.flat_map(|source| source.code().map(move |(number, line)| (source, number, line)));
    lines
        .filter_map(|(source, number, line)| {
            Some(format!("{}: {}", source.place(number), wrong(source, line)?))
        })
        .collect()
}

/// What follows each `prefix` in the line, as far as it is a path's next part.
fn after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).map(move |(at, _)| {
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

fn holds(objections: Vec<String>) {
    assert!(objections.is_empty(), "\n{}", objections.join("\n"));
}

#[test]
fn modules_import_only_what_the_map_allows() {
    let sources = sources();
    holds(objections(&sources, |source, line| {
        let module = source.module();
        if module == "lib" {
            return None;
        }
        let (_, allowed) = IMPORTS.iter().find(|(name, _)| *name == module).or_else(|| {
            panic!(
                "src/{} is not on the map: add `{module}` to src/lib.rs and to this test",
                source.path.display()
            )
        })?;
        let root = if module == "main" { "herder::" } else { "crate::" };
        // `use crate::{…}` would hide from this test what it imports, but for the one in `main`.
        let braces = line.strip_prefix("use ").and_then(|path| path.strip_prefix(root));
        let listed = braces.and_then(|rest| rest.strip_prefix('{')?.strip_suffix("};"));
        let names = after(line, root).filter(|name| !name.is_empty());
        let names = names.chain(listed.unwrap_or_default().split(',').map(str::trim));
        let known = |name: &&str| IMPORTS.iter().any(|(module, _)| module == name);
        let forbidden = |name: &&str| *name != module && !allowed.contains(name);
        let name = names.filter(known).find(forbidden)?;
        Some(format!("`{module}` may not import `{name}`"))
    }));
}

#[test]
fn the_core_and_the_formats_touch_nothing() {
    let sources = sources();
    holds(objections(&sources, |source, line| {
        let module = source.module();
        if !matches!(module, "herd" | "wire" | "import") {
            return None;
        }
        let mut rest = line.to_owned();
        for data in PURE_AFTER_ALL {
            rest = rest.replace(&format!("std::{data}"), "");
        }
        let name = after(&rest, "std::").find(|name| IMPURE.contains(name) || name.is_empty())?;
        Some(format!("`{module}` is pure, and std::{name} is not"))
    }));
    holds(objections(&sources, |source, line| {
        let name = CRATES.into_iter().find(|name| line.contains(name))?;
        (source.module() == "herd").then(|| format!("the core has no use for {name}"))
    }));
}

#[test]
fn unsafe_is_in_the_system_call_wrappers_only() {
    let sources = sources();
    holds(objections(&sources, |source, line| {
        let allowed = UNSAFE
            .iter()
            .any(|path| source.path.to_str().is_some_and(|there| there.starts_with(path)));
        let unsafe_code =
            line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
        (!allowed && unsafe_code).then(|| "`unsafe` belongs into linux/sys".to_owned())
    }));
    let allows = |source: &&Source| source.text.contains("allow(unsafe_code)");
    let allowing: Vec<_> = sources.iter().filter(allows).map(|source| &source.path).collect();
    assert_eq!(allowing, [Path::new("linux/mod.rs")]);
}

#[test]
fn only_those_who_speak_to_people_print() {
    let sources = sources();
    let macros = ["print!", "println!", "eprint!", "eprintln!", "dbg!"];
    holds(objections(&sources, |source, line| {
        let word = macros.into_iter().find(|name| line.contains(name))?;
        (!PRINT.contains(&source.module()))
            .then(|| format!("{word} in `{}`: return it, the caller logs", source.module()))
    }));
}

#[test]
fn only_main_ends_the_process() {
    let sources = sources();
    holds(objections(&sources, |source, line| {
        let ends = line.contains("process::exit") || line.contains("process::abort");
        // The end of a worker that is the demonstration's own.
        (ends && !matches!(source.module(), "main" | "demo"))
            .then(|| "after the loop has started, nothing exits but the core's `Exit`".to_owned())
    }));
}

#[test]
fn files_stay_short() {
    for source in sources() {
        let lines = source.text.lines().count();
        assert!(lines <= LINES, "src/{} has {lines} lines", source.path.display());
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for source in sources() {
        let path = source.path.display();
        assert!(
            source.text.starts_with("//! ") || source.is_test(),
            "src/{path} has no module docs"
        );
    }
}

/// The sources tell their own story, to whoever reads only them.
#[test]
fn nothing_is_left_to_be_done() {
    for source in sources() {
        for word in ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"] {
            assert!(!source.text.contains(word), "src/{}: {word}", source.path.display());
        }
    }
}
