//! What is in the packages: everything that is promised, at its place, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::output_of;

/// Files of both packages, without directories; `.gz` is what Debian adds to manual pages.
const FILES: [&str; 8] = [
    "/usr/bin/herder",
    "/usr/lib/systemd/catalog/herder.catalog",
    "/usr/share/doc/herder/CHANGELOG.md",
    "/usr/share/doc/herder/README.md",
    "/usr/share/doc/herder/SECURITY.md",
    "/usr/share/doc/herder/examples/elastic.toml",
    "/usr/share/doc/herder/examples/herder.toml",
    "/usr/share/doc/herder/examples/memory.py",
];
/// Directories here of which both packages hold every file with such an ending, and where.
const DIRECTORIES: [(&str, &str, &str); 20] = [
    ("man", ".1", "/usr/share/man/man1/"),
    ("man", ".5", "/usr/share/man/man5/"),
    ("man", ".7", "/usr/share/man/man7/"),
    ("man", ".8", "/usr/share/man/man8/"),
    ("systemd", ".service", "/usr/lib/systemd/system/"),
    ("systemd", ".socket", "/usr/lib/systemd/system/"),
    ("systemd", ".timer", "/usr/lib/systemd/system/"),
    ("systemd/examples", "", "/usr/share/doc/herder/examples/"),
    ("adapters", "", "/usr/lib/herder/"),
    ("completions", ".fish", "/usr/share/fish/vendor_completions.d/"),
    ("examples/django", "", "/usr/share/doc/herder/examples/django/"),
    ("examples/go", "", "/usr/share/doc/herder/examples/go/"),
    ("examples/node", "", "/usr/share/doc/herder/examples/node/"),
    ("examples/php", "", "/usr/share/doc/herder/examples/php/"),
    ("examples/queue", "", "/usr/share/doc/herder/examples/queue/"),
    ("examples/rails", "", "/usr/share/doc/herder/examples/rails/"),
    ("examples/rust", "", "/usr/share/doc/herder/examples/rust/"),
    ("examples/servers", "", "/usr/share/doc/herder/examples/servers/"),
    ("examples/grafana", "", "/usr/share/doc/herder/examples/grafana/"),
    ("examples/prometheus", "", "/usr/share/doc/herder/examples/prometheus/"),
];
const DEB_ONLY: [&str; 5] = [
    "/usr/share/bash-completion/completions/herder",
    "/usr/share/doc/herder/LICENSE-APACHE",
    "/usr/share/doc/herder/LICENSE-MIT",
    "/usr/share/doc/herder/copyright",
    "/usr/share/zsh/vendor-completions/_herder",
];
const RPM_ONLY: [&str; 4] = [
    "/usr/share/bash-completion/completions/herder",
    "/usr/share/licenses/herder/LICENSE-APACHE",
    "/usr/share/licenses/herder/LICENSE-MIT",
    "/usr/share/zsh/site-functions/_herder",
];

pub fn trials(in_ci: bool) -> Vec<Trial> {
    let trial = |name: &str, variable: &'static str, check: fn(&Path) -> Result<(), Failed>| {
        let ignored = !in_ci && std::env::var_os(variable).is_none();
        Trial::test(name, move || check(&from(variable)?)).with_ignored_flag(ignored)
    };
    vec![
        trial("the_deb_holds_what_it_should", "HERDER_DEB", deb),
        trial("the_rpm_holds_what_it_should", "HERDER_RPM", rpm),
    ]
}

/// The package that an environment variable names.
pub fn from(variable: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os(variable).ok_or(format!(
        "{variable} is not set: it names the package to test (tests/run builds it)"
    ))?;
    std::fs::canonicalize(&path)
        .map_err(|error| format!("{variable}: {}: {error}", Path::new(&path).display()))
}

fn deb(package: &Path) -> Result<(), Failed> {
    let listing = output_of(Command::new("dpkg-deb").arg("--contents").arg(package))?;
    let files = listing
        .lines()
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| line.split(" ./").nth(1));
    compare(files.map(|file| format!("/{}", file.trim_end_matches(".gz"))).collect(), &DEB_ONLY)?;
    // No file in /etc, so no question at an upgrade.
    let fields = output_of(Command::new("dpkg-deb").arg("--info").arg(package))?;
    if fields.contains("conffiles") { Err("the package has conffiles".into()) } else { Ok(()) }
}

fn rpm(package: &Path) -> Result<(), Failed> {
    let listing =
        output_of(Command::new("rpm").args(["--query", "--package", "--list"]).arg(package))?;
    compare(listing.lines().map(str::to_owned).collect(), &RPM_ONLY)
}

fn compare(mut found: Vec<String>, only_here: &[&str]) -> Result<(), Failed> {
    let mut wanted: Vec<_> = FILES.iter().chain(only_here).map(ToString::to_string).collect();
    for (directory, ending, to) in DIRECTORIES {
        add_files(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), ending, to, &mut wanted)?;
    }
    wanted.sort_unstable();
    found.sort_unstable();
    let missing: Vec<_> = wanted.iter().filter(|file| !found.contains(file)).collect();
    let surplus: Vec<_> = found.iter().filter(|file| !wanted.contains(file)).collect();
    if found == wanted {
        Ok(())
    } else {
        Err(format!("lacks {missing:#?} and holds {surplus:#?} instead").into())
    }
}

/// The files in a directory, with those of its directories unless an ending is asked for, as they are named in `to`.
fn add_files(
    directory: PathBuf,
    ending: &str,
    to: &str,
    wanted: &mut Vec<String>,
) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_dir() {
            if name.ends_with(ending) {
                wanted.push(format!("{to}{name}"));
            }
        } else if ending.is_empty() {
            add_files(entry.path(), ending, &format!("{to}{name}/"), wanted)?;
        }
    }
    Ok(())
}
