//! herder-migrate(7): what other managers call things, and herder's word for it.

use crate::{load, names, plain, read, section};
use clap::Parser;
use herder::cli::Cli;
use herder_config::KEYS;
use herder_import::{Kind, known_names};

/// The rows of a table: a setting of another manager and its counterpart in herder, each as roff.
fn rows_of(section: &str) -> Vec<(String, String)> {
    let rows = section.split("\nT{\n").skip(1).filter_map(|row| {
        let (left, rest) = row.split_once("\nT}\tT{\n")?;
        let (right, _) = rest.split_once("\nT}")?;
        Some((left.replace('\n', " "), right.replace('\n', " ")))
    });
    rows.collect()
}

/// The rows of all tables of that page, by section.
fn migrations() -> Vec<(String, Vec<(String, String)>)> {
    let page = read("man/herder-migrate.7");
    let sections = page.split("\n.Sh ").skip(1).map(|section| {
        let title = section.lines().next().unwrap_or_default().to_owned();
        (title, rows_of(section))
    });
    sections.filter(|(_, rows)| !rows.is_empty()).collect()
}

/// What is bold, which is herder's.
fn bold(roff: &str) -> Vec<String> {
    let parts = roff.split("\\fB").skip(1).filter_map(|part| part.split("\\fR").next());
    parts.map(plain).collect()
}

fn is_key(word: &str) -> bool {
    KEYS.iter().any(|key| key.name == word || key.name.starts_with(&format!("{word}.")))
}

#[test]
fn every_word_of_herders_in_the_tables_of_other_managers_is_one() {
    let signals = read("man/herder.8");
    let signals = section(&signals, "SIGNALS");
    let migrations = migrations();
    assert!(migrations.len() >= 10, "{migrations:?}");
    let (mut keys, mut commands) = (0, 0);
    for (manager, rows) in &migrations {
        for (theirs, ours) in rows {
            assert!(!ours.contains("\\fB herder") && !ours.is_empty(), "{manager}: {theirs}");
            for word in bold(ours) {
                let words: Vec<&str> = word.split_whitespace().collect();
                if words[0] == "herder" {
                    let answer = Cli::try_parse_from(&words);
                    assert!(answer.is_ok(), "{manager}, {theirs}: `{word}`: {answer:?}");
                    commands += 1;
                } else if word.contains(" = ") {
                    load(&format!("{manager}, {theirs}"), &word);
                    keys += 1;
                } else if word.starts_with("SIG") {
                    assert!(
                        signals.contains(&word),
                        "{manager}, {theirs}: `{word}` is no signal to herder"
                    );
                } else {
                    assert!(is_key(&word), "{manager}, {theirs}: `{word}` is no key");
                    keys += 1;
                }
            }
            // What is promised is to be taken out when it is there.
            for (before, _) in plain(ours).match_indices(" (not yet)") {
                let ours = plain(ours);
                let name = ours[..before].rsplit(' ').next().unwrap_or_default().to_owned();
                assert!(!is_key(&name), "{manager}, {theirs}: `{name}` is there now");
            }
        }
    }
    assert!(keys > 80 && commands > 40, "{keys} keys and {commands} commands: are they bold?");
}

#[test]
fn the_tables_have_every_setting_that_import_knows() {
    let migrations = migrations();
    for (kind, manager) in
        [(Kind::PhpFpm, "PHP-FPM"), (Kind::Pm2, "PM2"), (Kind::Supervisord, "SUPERVISORD")]
    {
        let (_, rows) = migrations.iter().find(|(name, _)| name == manager).expect(manager);
        let theirs = names(rows.iter().flat_map(|(theirs, _)| {
            plain(theirs).split(", ").map(|name| name.trim().to_owned()).collect::<Vec<_>>()
        }));
        let missing: Vec<_> =
            known_names(kind).into_iter().filter(|name| !theirs.contains(*name)).collect();
        assert!(missing.is_empty(), "{manager}: {missing:?}");
    }
}
