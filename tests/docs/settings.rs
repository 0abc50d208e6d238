//! herder.toml(5) has every setting and every preset, each as it is; and herder-set(1) those that can be set.

use crate::{items, names, plain, read, root, section};
use herder_config::preset::{IMPOSSIBLE, PRESETS, Preset};
use herder_config::{Applies, KEYS};
use std::fs;

/// The rows of the table: key, type, default, how it is changed.
fn settings_table(page: &str) -> Vec<[String; 4]> {
    let start = page.find("\n.TS\n").expect("no table");
    let end = page.find("\n.TE\n").expect("no end of the table");
    let text = plain(&page[start..end]).replace("T{\n", "").replace("\nT}", "");
    let rows = text.lines().filter(|line| line.contains('\t')).skip(1);
    rows.map(|row| {
        let cells: Vec<String> = row.split('\t').map(str::to_owned).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("not four cells: {cells:?}"))
    })
    .collect()
}

#[test]
fn the_table_of_settings_is_the_table_in_the_code() {
    let in_code: Vec<[String; 4]> = KEYS
        .iter()
        .map(|key| {
            let change = match key.applies {
                Applies::AtOnce => "set",
                Applies::AtReload => "reload",
                Applies::AtRestart => "restart",
            };
            [key.name, key.kind, key.default, change].map(str::to_owned)
        })
        .collect();
    assert_eq!(settings_table(&read("man/herder.toml.5")), in_code);
}

#[test]
fn herder_set_has_every_setting_that_can_be_set() {
    let page = read("man/herder-set.1");
    let list = page.split_once(".Bl -bullet").expect("no list").1;
    let list = list.split_once(".El\n").expect("no end of the list").0;
    let settable = KEYS.iter().filter(|key| key.applies == Applies::AtOnce);
    assert!(items(list, ".Ic").eq(settable.map(|key| key.name)));
}

/// A preset as a row of the manual's table: its name, what it sets, what it adds to the command.
fn preset_row(preset: &Preset) -> [String; 3] {
    let list = |items: Vec<String>, none: &str| match items.is_empty() {
        true => none.to_owned(),
        false => items.join("; "),
    };
    let settings = preset.settings.iter().map(|one| format!("{} = {}", one.key, one.value));
    let adapter = preset.program.adapter.map(str::to_owned);
    let arguments = preset.arguments.iter().map(|argument| argument.words.join(" "));
    let arguments = adapter.into_iter().chain(arguments).collect();
    [preset.name.to_owned(), list(settings.collect(), "nothing"), list(arguments, "nothing")]
}

#[test]
fn the_table_of_presets_is_what_they_do() {
    let page = read("man/herder.toml.5");
    let text = plain(section(&page, "PRESETS")).replace("T{\n", "").replace("\nT}", "");
    let rows = text.lines().filter(|line| line.contains('\t')).skip(1);
    let rows: Vec<Vec<String>> =
        rows.map(|row| row.split('\t').map(str::to_owned).collect()).collect();
    let expected: Vec<[String; 3]> = PRESETS.iter().map(|preset| preset_row(preset)).collect();
    let roff: String = expected
        .iter()
        .map(|[name, sets, adds]| {
            let cell = |text: &str| format!("T{{\n{}\nT}}", text.replace('-', "\\-"));
            format!("{}\t{}\t{}\n", name.replace('-', "\\-"), cell(sets), cell(adds))
        })
        .collect();
    assert!(rows == expected, "the table of presets in herder.toml(5) has to be:\n{roff}");
    for name in IMPOSSIBLE.iter().map(|server| server.name) {
        assert!(section(&page, "PRESETS").contains(&format!(".Ql {name}")), "{name}");
    }
}

#[test]
fn what_presets_run_is_in_adapters_and_in_both_packages() {
    let words = PRESETS.iter().flat_map(|preset| {
        let arguments = preset.arguments.iter().flat_map(|argument| argument.words);
        arguments.chain(preset.program.adapter.iter())
    });
    // Perl finds a module of this name in the directory that the argument before it adds.
    let module = |word: &str| word.starts_with("Herder").then(|| format!("{word}.pm"));
    let named = words.filter_map(|word| {
        let file = word.strip_prefix("/usr/lib/herder/").filter(|file| !file.is_empty());
        file.map(str::to_owned).or_else(|| module(word))
    });
    let there = fs::read_dir(root().join("adapters")).unwrap();
    let there = names(there.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    assert_eq!(names(named), there);
    let page = read("man/herder-presets.1");
    for name in there {
        assert!(page.contains(&format!(".It Pa /usr/lib/herder/{name}\n")), "{name}");
    }
    let manifest = read("Cargo.toml");
    assert!(manifest.contains("[\"adapters/*\", \"usr/lib/herder/\", \"644\"]"));
    assert!(manifest.contains("{ source = \"adapters/*\", dest = \"/usr/lib/herder/\""));
}

#[test]
fn every_setting_is_explained() {
    let page = read("man/herder.toml.5");
    let explained: Vec<&str> = items(&page, ".It Ic").collect();
    let keys = names(KEYS.iter().map(|key| key.name.split('.').next().unwrap_or_default()));
    assert_eq!(names(&explained), keys);
    assert_eq!(explained.len(), keys.len(), "one is explained twice");
}
