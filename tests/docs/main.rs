//! Documents are tests: what the manual, the README and the examples say is what the code does, and
//! what the code has is in the manual.
//!
//! Here is how documents are read; what each is held to is in a file by its subject.

// clippy.toml allows it in tests, but does not know a helper of tests for one.
#![allow(clippy::unwrap_used)]

mod code;
mod commands;
mod examples;
mod migrate;
mod settings;

use herder_config::{Machine, Overrides};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A set of names whose difference from another reads well in a failure.
type Names = BTreeSet<String>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

fn names<T: ToString>(names: impl IntoIterator<Item = T>) -> Names {
    names.into_iter().map(|name| name.to_string()).collect()
}

/// Text of a man page without roff's escapes.
fn plain(roff: &str) -> String {
    roff.replace("\\(ga", "`").replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")
}

/// The section of that title of a man page.
fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let start =
        page.find(&format!(".Sh {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
    let body = &page[start + 1..];
    body.find("\n.Sh ").map_or(body, |end| &body[..end])
}

/// What follows `macro` at the start of a line of a man page: `.It Ic` → `workers`, …
fn items<'a>(page: &'a str, start: &str) -> impl Iterator<Item = &'a str> {
    page.lines().filter_map(move |line| line.strip_prefix(start)?.strip_prefix(' '))
}

/// Every page there is, below man/.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = fs::read_dir(root().join("man"))
        .unwrap()
        .map(|entry| format!("man/{}", entry.unwrap().file_name().to_string_lossy()))
        .collect();
    pages.sort();
    pages
}

/// The README, and those of the examples.
fn readmes() -> Vec<String> {
    let examples = fs::read_dir(root().join("examples")).unwrap();
    let names = examples.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let pages = names.map(|name| format!("examples/{name}/README.md"));
    let there = pages.filter(|page| root().join(page).exists());
    ["README.md".to_owned()].into_iter().chain(there).collect()
}

/// The blocks of a document between lines that begin and end one.
fn blocks<'a>(text: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split(end).next()).collect()
}

const ROFF_BLOCK: (&str, &str) = ("\n.Bd -literal -offset indent\n", "\n.Ed");

fn load(file: &str, text: &str) -> herder_config::Settings {
    let machine = Machine { cpus: 2, web_concurrency: None };
    herder_config::load(Some((file, text)), &Overrides::default(), &machine)
        .unwrap_or_else(|problems| panic!("{problems}"))
}
