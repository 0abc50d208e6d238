//! What is in the packages: everything that is promised, at its place, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::output_of;

/// Files of both packages; `.gz` is what Debian adds to manual pages.
const FILES: [&str; 22] = [
    "/usr/bin/herder",
    "/usr/lib/systemd/catalog/herder.catalog",
    "/usr/lib/systemd/system/herder-metrics.service",
    "/usr/lib/systemd/system/herder-metrics.socket",
    "/usr/lib/systemd/system/herder-rearm@.service",
    "/usr/lib/systemd/system/herder-textfile.service",
    "/usr/lib/systemd/system/herder-textfile.timer",
    "/usr/lib/systemd/system/herder@.service",
    "/usr/lib/systemd/system/herder@.socket",
    "/usr/share/doc/herder/CHANGELOG.md",
    "/usr/share/doc/herder/README.md",
    "/usr/share/doc/herder/SECURITY.md",
    "/usr/share/doc/herder/examples/admin.socket",
    "/usr/share/doc/herder/examples/grafana/herder.json",
    "/usr/share/doc/herder/examples/herder.toml",
    "/usr/share/doc/herder/examples/listen.conf",
    "/usr/share/doc/herder/examples/prometheus/herder.rules.test.yml",
    "/usr/share/doc/herder/examples/prometheus/herder.rules.yml",
    "/usr/share/doc/herder/examples/service.conf",
    "/usr/share/man/man1/herder-metrics.1",
    "/usr/share/man/man5/herder.toml.5",
    "/usr/share/man/man8/herder.8",
];
const DEB_ONLY: [&str; 3] = [
    "/usr/share/doc/herder/LICENSE-APACHE",
    "/usr/share/doc/herder/LICENSE-MIT",
    "/usr/share/doc/herder/copyright",
];
const RPM_ONLY: [&str; 2] =
    ["/usr/share/licenses/herder/LICENSE-APACHE", "/usr/share/licenses/herder/LICENSE-MIT"];

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
    add_files(Path::new("examples/django"), "/usr/share/doc/herder/", &mut wanted)?;
    wanted.sort_unstable();
    found.sort_unstable();
    if found == wanted {
        Ok(())
    } else {
        Err(format!("holds {found:#?} instead of {wanted:#?}").into())
    }
}

/// The files of a directory of this package, as they are named below `to`.
fn add_files(directory: &Path, to: &str, wanted: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            add_files(&path, to, wanted)?;
        } else {
            wanted.push(format!("{to}{}", path.display()));
        }
    }
    Ok(())
}
