//! The examples and herder-servers(7) are tests: their settings are right, and the manual's table has every server that the
//! system tests try, as `tests/system/matrix.py` compares it with what they do.

// clippy.toml allows it in tests, but does not know a helper of tests for one.
#![allow(clippy::unwrap_used)]

use herder_config::{Machine, Overrides};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn load(file: &str, text: &str) {
    let machine = Machine { cpus: 2, web_concurrency: None };
    herder_config::load(Some((file, text)), &Overrides::default(), &machine)
        .unwrap_or_else(|problems| panic!("{problems}"));
}

/// The directories of examples/ that have a page that says how to run them.
fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("examples")).unwrap();
    let directories = entries.map(|entry| entry.unwrap().path());
    directories.filter(|path| path.join("README.md").exists()).collect()
}

fn files_in(directory: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path())
}

#[test]
fn the_settings_of_every_example_are_right_and_its_page_tells_of_every_file() {
    let examples = examples();
    assert!(examples.len() >= 2, "{examples:?}");
    for example in examples {
        let page = read(example.join("README.md"));
        for file in files_in(&example).filter(|file| !file.ends_with("README.md")) {
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(page.contains(name), "{}: its page does not tell of it", file.display());
            // Rust's own settings are not herder's.
            if name.ends_with(".toml") && name != "Cargo.toml" {
                load(name, &read(&file));
            }
        }
    }
}

// herder-servers(7)

struct Table {
    titles: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn table(page: &str) -> Table {
    let (_, rest) = page.split_once("\n.TS\n").expect("a table");
    let text = rest.split("\n.TE\n").next().unwrap().replace("\\fB", "").replace("\\fR", "");
    let mut rows = text
        .lines()
        .filter(|line| line.contains('\t'))
        .map(|line| line.replace("\\-", "-").split('\t').map(str::to_owned).collect());
    Table { titles: rows.next().expect("titles"), rows: rows.collect() }
}

#[test]
fn every_server_that_is_tried_is_in_the_table_and_the_reverse() {
    let data: toml::Table = read("tests/system/matrix/servers.toml").parse().unwrap();
    let mut tried: Vec<&String> = data.keys().collect();
    tried.sort();
    let page = read("man/herder-servers.7");
    let table = table(&page);
    let shown: Vec<&String> = table.rows.iter().map(|row| &row[0]).collect();
    assert_eq!(shown, tried, "in this order");

    let item = |name: &str| page.contains(&format!("\n.It {name}\n"));
    for title in &table.titles[2..] {
        assert!(item(title), "the column {title} is not explained");
    }
    let (_, notes) = page.split_once("\n.Sh NOTES\n").expect("notes");
    for row in &table.rows {
        assert_eq!(row.len(), table.titles.len(), "{row:?}");
        let checks = &row[2..row.len() - 1];
        assert!(checks.iter().all(|cell| ["yes", "mostly", "no"].contains(&&**cell)), "{row:?}");
        let noted = notes.contains(&format!("\n.It {}\n", row[0]));
        assert!(noted || checks.iter().all(|cell| cell == "yes"), "no note says why: {row:?}");
    }
}

#[test]
fn every_server_is_of_a_group_that_a_scenario_tries() {
    let data: toml::Table = read("tests/system/matrix/servers.toml").parse().unwrap();
    for (name, server) in &data {
        let group = server["group"].as_str().unwrap();
        let scenario = read(format!("tests/system/scenarios/servers_{group}.py"));
        assert!(scenario.contains(&format!("matrix.check(\"{group}\")")), "{name}");
    }
}
