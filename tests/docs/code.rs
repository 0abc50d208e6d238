//! Numbers and names in the code, and the lists of the manual.

use crate::{Names, items, names, read, root, section};
use herder_linux::error::Error;
use herder_wire::listen::HERDERS_OWN;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// The sources, without their tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("src"), root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "tests" {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                files.push((path, code.to_owned()));
            }
        }
    }
    files
}

/// The string literals of the sources below a path, each with what stands before it.
fn literals(below: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (_, code) in sources().iter().filter(|(path, _)| path.starts_with(root().join(below))) {
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let parts: Vec<&str> = line.split('"').collect();
            found.extend(
                parts.windows(2).step_by(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())),
            );
        }
    }
    found
}

/// The variables named in a text of a man page.
fn variables(roff: &str) -> Names {
    let marked = roff.lines().filter_map(|line| line.split_once("Ev ")?.1.split(" Ta ").next());
    let words = marked.flat_map(|text| text.split([' ', ',']));
    names(words.filter(|word| {
        word.len() > 1 && word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
    }))
}

#[test]
fn every_environment_variable_is_in_the_manual_and_the_reverse() {
    let read_by = ["env(", "var(", "var_os(", "environment("];
    let in_code = literals("")
        .into_iter()
        .filter(|(before, _)| read_by.iter().any(|call| before.ends_with(call)));
    let mut in_code = names(in_code.map(|(_, name)| name));
    in_code.remove("CARGO_PKG_VERSION");
    in_code.remove("HERDER_WORKER"); // by the demonstration worker; below
    // Read in a way of their own, and by the crate sd-notify.
    in_code.extend(["PATH", "WATCHDOG_USEC", "WATCHDOG_PID"].map(str::to_owned));
    let page = read("man/herder.8");
    assert_eq!(in_code, variables(section(&page, "ENVIRONMENT")));

    let mut told = names(HERDERS_OWN);
    told.extend(["HERDER_SLOT", "HERDER_WORKER", "HERDER_GENERATION"].map(str::to_owned));
    assert_eq!(told, variables(section(&page, "WHAT A WORKER GETS")));
}

#[test]
fn every_field_of_the_journal_is_in_the_manual_and_the_reverse() {
    let in_log = literals("src/log").into_iter().map(|(_, text)| text);
    let in_code = names(in_log.filter(|text| text.starts_with("HERDER_")));
    let page = read("man/herder.8");
    let rows = items(section(&page, "LOGGING"), ".It Li");
    let in_manual = rows.filter_map(|row| row.split_once("= Ta")).map(|(field, _)| field);
    assert_eq!(in_code, names(in_manual));
}

#[test]
fn every_signal_is_in_the_manual_and_the_reverse() {
    let code = read("crates/linux/src/signals.rs");
    let watched = &code[code.find("const WATCHED").expect("WATCHED")..];
    let watched = &watched[..watched.find(';').and_then(|_| watched.find("];")).expect("its end")];
    let mut in_code =
        names(watched.split("Signal::").skip(1).filter_map(|text| text.split(',').next()));
    in_code.remove("SIGCHLD"); // from workers
    in_code.extend(["SIGWINCH", "SIGPIPE"].map(str::to_owned)); // ignored without being asked for

    let page = read("man/herder.8");
    let rows = items(section(&page, "SIGNALS"), ".It").filter_map(|row| row.split_once(" Ta "));
    let in_manual =
        rows.flat_map(|(signals, _)| signals.split(", ")).filter(|name| name.starts_with("SIG"));
    assert_eq!(in_code, names(in_manual));
}

/// The rows of the tables of exit statuses in herder(8): what they are and what they mean.
fn exit_statuses(table: &str) -> BTreeSet<(u8, String)> {
    let joined = table.replace("\n.Nm", " herder");
    let rows = joined.lines().filter_map(|line| line.strip_prefix(".It "));
    rows.map(|row| {
        let cells: Vec<&str> = row.split(" Ta").map(str::trim).collect();
        let code = cells[0].parse().unwrap_or_else(|_| panic!("no exit status: {row}"));
        (code, cells[2].replace("Nm", "herder"))
    })
    .collect()
}

#[test]
fn every_exit_status_is_in_the_manual_and_the_readme() {
    let system = std::io::Error::from(std::io::ErrorKind::Other);
    let text = String::new;
    let errors = [
        Error::Usage(text()),
        Error::Config(text()),
        Error::system("", system),
        Error::Failed(text()),
        Error::NotRunning(text()),
        Error::Denied(text()),
    ];
    let mut in_code: BTreeSet<u8> = errors.iter().map(Error::exit_status).collect();
    for line in read("crates/core/src/escalation.rs").lines() {
        let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
        let value = line.strip_prefix("const ").and_then(|rest| rest.split_once(": u8 = "));
        in_code.extend(value.map(|(_, code)| code.trim_end_matches(';').parse::<u8>().unwrap()));
    }
    in_code.extend([0, 70]); // success, and a panic

    let page = read("man/herder.8");
    let tables: Vec<&str> = section(&page, "EXIT STATUS").split("\n.El").collect();
    let (of_run, of_others) = (exit_statuses(tables[0]), exit_statuses(tables[1]));
    assert_eq!(in_code, of_run.iter().chain(&of_others).map(|row| row.0).collect());

    let readme = read("README.md");
    let rows = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let in_readme: BTreeSet<(u8, String)> =
        rows.filter_map(|(code, text)| Some((code.parse().ok()?, text.to_owned()))).collect();
    let of_run = of_run
        .into_iter()
        .map(|(code, text)| (code, text.split(';').next().unwrap_or_default().to_owned()));
    assert_eq!(in_readme, of_run.collect());
}
