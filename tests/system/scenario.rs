//! What the harness knows of a scenario: its name, and what the comments at its head say.
//!
//! `# systemd: 257` restricts it to one version, `# seconds: 240` gives it more than the usual time, `# machine: vm` or
//! `# machine: container vm` says where it runs, if not in a container alone, `# tree: servers` that its container has
//! application servers, and `# load: busy` that it keeps a core busy, or has to find one idle.

use std::path::Path;
use std::time::Duration;

use crate::machine::Kind;

const USUAL_SECONDS: u64 = 120;

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub kinds: Vec<Kind>,
    pub tree: Option<String>,
    only_on: Option<String>,
    is_busy: bool,
    pub at_most: Duration,
}

impl Scenario {
    /// Every scenario in `directory`, by name.
    pub fn all(directory: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(directory).expect("the directory of scenarios");
        let mut all: Vec<_> = entries
            .map(|entry| entry.expect("an entry of the scenarios").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
            .map(|path| Self::read(&path))
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a scenario is readable");
        let head = |key: &str| {
            let comments = text.lines().take_while(|line| line.starts_with('#'));
            comments
                .filter_map(|line| line.strip_prefix("# ")?.strip_prefix(key))
                .map(|value| value.trim().to_owned())
                .next()
        };
        let seconds = head("seconds:")
            .map_or(USUAL_SECONDS, |value| value.parse().expect("a number of seconds"));
        let kind = |word: &str| match word {
            "container" => Kind::Container,
            "vm" => Kind::Vm,
            _ => panic!("{}: {word} is no kind of machine", path.display()),
        };
        let kinds = head("machine:").unwrap_or_else(|| "container".into());
        Self {
            kinds: kinds.split_whitespace().map(kind).collect(),
            name: path.file_stem().expect("a file name").to_string_lossy().into_owned(),
            tree: head("tree:"),
            only_on: head("systemd:"),
            is_busy: head("load:").is_some_and(|load| load == "busy"),
            at_most: Duration::from_secs(seconds),
        }
    }

    /// What it takes of this machine, in waiting containers. An emulated processor is a busy thread of this one.
    pub fn weight(&self, kind: Kind) -> usize {
        if self.is_busy || kind == Kind::Vm { 2 } else { 1 }
    }

    /// How long it may take there, by which the longest ones are found.
    pub fn seconds(&self, kind: Kind) -> u64 {
        (self.at_most * kind.slowness()).as_secs()
    }

    pub fn runs_on(&self, version: &str) -> bool {
        self.only_on.as_deref().is_none_or(|only| only == version)
    }
}
