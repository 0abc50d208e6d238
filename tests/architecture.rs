//! Holds the source to the map in src/lib.rs, as far as the compiler does not do it already.
//!
//! The compiler holds most of the map: each room is a crate, so an import that a crate's Cargo.toml
//! does not name fails to build, `core` is `no_std` without dependencies, and lints deny `unsafe`,
//! printing and `process::exit` where they do not belong. What remains is read as text here: which
//! dependencies the manifests may name, which modules of the program may import each other, and
//! that `wire` and `import` use nothing of `std` that touches the system.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of the workspace each crate may depend on.
const CRATES: [(&str, &[&str]); 7] = [
    ("core", &[]),
    ("wire", &[]),
    ("linux", &["wire"]),
    ("config", &["core", "wire"]),
    ("ctl", &["linux", "wire"]),
    ("import", &["config", "core", "wire"]),
    (".", &["config", "core", "ctl", "import", "linux", "wire"]),
];

/// The modules of the program, each with those it may import. Only `main` imports `daemon`.
const PROGRAM: [(&str, &[&str]); 10] = [
    ("check", &["launch"]),
    ("cli", &["log"]),
    ("complete", &["cli"]),
    ("daemon", &["launch", "log"]),
    ("demo", &[]),
    ("launch", &[]),
    ("log", &[]),
    ("main", &["check", "cli", "complete", "daemon", "demo", "migrate", "presets"]),
    ("migrate", &[]),
    ("presets", &[]),
];

/// Parts of `std` that touch the system.
const IMPURE: [&str; 8] = ["fs", "io", "net", "os", "process", "env", "thread", "time"];

/// Parts of those that are plain data.
const PLAIN_DATA: [&str; 5] = [
    "time::Duration",
    "net::{IpAddr, Ipv6Addr, SocketAddr}",
    "net::IpAddr",
    "net::Ipv6Addr",
    "net::SocketAddr",
];

/// A source file.
struct Source {
    /// Below the root of the repository.
    path: PathBuf,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        let name = self.path.file_name().unwrap().to_string_lossy();
        let below_tests = self.path.iter().any(|part| part == "tests");
        below_tests || name.ends_with("tests.rs") || name == "testing.rs"
    }

    /// The code that ships, with the numbers of its lines: no comments, no tests.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..).map(|(line, number)| (number, line));
        let shipped = lines.take_while(|(_, line)| *line != "mod tests {");
        shipped.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file below this directory of the repository.
fn sources(below: &str) -> Vec<Source> {
    let (mut directories, mut sources) = (vec![root().join(below)], Vec::new());
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(Source { path: path.strip_prefix(root()).unwrap().to_owned(), text });
            }
        }
    }
    assert!(!sources.is_empty(), "{below} has no sources");
    sources
}

/// Fails with every line of shipped code that `wrong` objects to, and its place.
fn assert_no_line(sources: &[Source], wrong: impl Fn(&Source, &str) -> Option<String>) {
    let mut objections = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            if let Some(objection) = wrong(source, line) {
                objections.push(format!("{}:{number}: {objection}", source.path.display()));
            }
        }
    }
    assert!(objections.is_empty(), "\n{}", objections.join("\n"));
}

/// The next part of the path after each `prefix` in the line.
fn after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    line.match_indices(prefix).map(move |(at, _)| {
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn crates_depend_only_on_what_the_map_allows() {
    let on_disk: BTreeSet<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let on_map: BTreeSet<String> =
        CRATES.iter().map(|(name, _)| (*name).to_owned()).filter(|name| name != ".").collect();
    assert_eq!(on_disk, on_map, "the crates, and those on the map");
    for (name, allowed) in CRATES {
        let directory =
            if name == "." { root().to_owned() } else { root().join("crates").join(name) };
        let text = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let dependencies = manifest.get("dependencies").and_then(|table| table.as_table());
        let named: Vec<&String> = dependencies.into_iter().flat_map(|table| table.keys()).collect();
        if name == "core" {
            assert!(named.is_empty(), "`core` decides, and needs no other crate: {named:?}");
        }
        let own: BTreeSet<&str> =
            named.iter().filter_map(|name| name.strip_prefix("herder-")).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert_eq!(own, allowed, "the dependencies of `{name}`, and those on the map");
    }
}

#[test]
fn modules_of_the_program_import_only_what_the_map_allows() {
    let module_of = |source: &Source| {
        let first = source.path.iter().nth(1).unwrap().to_str().unwrap().to_owned();
        first.trim_end_matches(".rs").to_owned()
    };
    assert_no_line(&sources("src"), |source, line| {
        let module = module_of(source);
        if module == "lib" || module == "cli_tests" {
            return None;
        }
        let (_, allowed) = PROGRAM.iter().find(|(name, _)| *name == module).or_else(|| {
            panic!("src/{module} is not on the map: add it to src/lib.rs and to this test")
        })?;
        let prefix = if module == "main" { "herder::" } else { "crate::" };
        let braces = line.strip_prefix("use ").and_then(|path| path.strip_prefix(prefix));
        let listed = braces.and_then(|rest| rest.strip_prefix('{')?.strip_suffix("};"));
        let names = after(line, prefix).filter(|name| !name.is_empty());
        let mut names = names.chain(listed.unwrap_or_default().split(',').map(str::trim));
        let name = names.find(|name| {
            let known = PROGRAM.iter().any(|(module, _)| module == name);
            known && *name != module && !allowed.contains(name)
        })?;
        Some(format!("`{module}` may not import `{name}`"))
    });
}

/// The fields of `Daemon` are private to the module `daemon`, in which the compiler includes the modules of its parts.
#[test]
fn no_part_of_the_daemon_reaches_into_the_others() {
    assert_no_line(&sources("src/daemon"), |source, line| {
        let composes = source.path.ends_with("mod.rs") || source.path.ends_with("start.rs");
        let names_it = line.split(|c: char| !c.is_alphanumeric()).any(|word| word == "Daemon");
        (names_it && !composes).then(|| {
            "a part takes what it needs of other parts as arguments, and not the `Daemon`"
                .to_owned()
        })
    });
}

#[test]
fn formats_and_translations_touch_nothing() {
    for room in ["crates/wire/src", "crates/import/src"] {
        assert_no_line(&sources(room), |_, line| {
            let mut rest = line.to_owned();
            for data in PLAIN_DATA {
                rest = rest.replace(&format!("std::{data}"), "");
            }
            let name = after(&rest, "std::").find(|name| IMPURE.contains(name))?;
            Some(format!("{room} is pure, and std::{name} is not"))
        });
    }
}

/// `unsafe_code` is denied in the whole workspace; one module may allow it again.
#[test]
fn unsafe_is_in_the_system_call_wrappers_only() {
    let mut sources = sources("crates");
    sources.extend(self::sources("src"));
    let allows = |source: &&Source| source.text.contains("allow(unsafe_code)");
    let allowing: Vec<_> = sources.iter().filter(allows).map(|source| &source.path).collect();
    assert_eq!(allowing, [Path::new("crates/linux/src/lib.rs")]);
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut sources = sources("crates");
    sources.extend(self::sources("src"));
    for source in sources {
        let path = source.path.display();
        assert!(source.text.starts_with("//! ") || source.is_test(), "{path} has no module docs");
    }
}

#[test]
fn nothing_is_left_to_be_done() {
    let mut sources = sources("crates");
    sources.extend(self::sources("src"));
    for source in sources {
        for word in ["TODO", "FIXME", "XXX", "todo!", "unimplemented!"] {
            assert!(!source.text.contains(word), "{}: {word}", source.path.display());
        }
    }
}

/// The files of `core` and which of them each imports, by `super::NAME` and by what `lib.rs` exports.
fn imports_in_core() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources("crates/core/src");
    let name = |source: &Source| {
        let below = source.path.strip_prefix("crates/core/src").unwrap();
        below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    let modules: BTreeSet<String> = sources.iter().map(name).collect();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let module = name(source);
        let found = imports.entry(module.clone()).or_default();
        for (_, line) in source.code() {
            let names = after(line, "super::").chain(after(line, "crate::"));
            found.extend(names.filter(|name| modules.contains(*name)).map(str::to_owned));
        }
        found.remove(&module);
    }
    imports.remove("lib");
    imports
}

/// Files that import each other in a circle cannot be read one by one.
#[test]
fn circles_of_imports_in_the_core_are_small() {
    const LARGEST: usize = 3;
    let imports = imports_in_core();
    let reach = |from: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.to_owned()]);
        while let Some(module) = open.pop() {
            for next in imports.get(&module).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|module| (module, reach(module))).collect();
    for (module, there) in &reached {
        let circle: Vec<&String> = there
            .iter()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(*module)))
            .collect();
        assert!(circle.len() <= LARGEST, "`{module}` is in a circle of {circle:?}");
    }
}

/// Comments say which process, worker or user does something; these words leave it to be guessed.
#[test]
fn comments_name_the_subject() {
    const WORDS: [&str; 5] = ["whoever", "whom", "nobody", "somebody", "anybody"];
    let mut found = Vec::new();
    for source in
        ["crates", "src", "tests", "benches", "examples", "fuzz"].map(sources).iter().flatten()
    {
        for (line, number) in source.text.lines().zip(1..) {
            let Some((_, comment)) = line.split_once("//") else { continue };
            let mut words = comment.split(|c: char| !c.is_alphanumeric());
            if words.any(|word| WORDS.contains(&word.to_lowercase().as_str())) {
                found.push(format!("{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
