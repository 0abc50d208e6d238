//! The examples, the README, and what is shown in the manual: settings load, command lines are taken, and what
//! is pointed to is there.

use crate::{ROFF_BLOCK, blocks, load, names, pages, plain, read, readmes, root};
use clap::Parser;
use herder::cli::Cli;
use herder_config::KEYS;
use herder_config::preset::DESCRIBED;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process;

/// The command lines of `herder` in a block, without what the shell takes.
fn command_lines(block: &str) -> Vec<Vec<String>> {
    let lines = block.lines().filter_map(|line| {
        let line = line.trim().split(" #").next()?;
        line.strip_prefix("cargo run --release -- ").or(line.strip_prefix("herder "))
    });
    let words = lines.map(|line| {
        line.split_whitespace().take_while(|word| !["&", "|", "||", "&&"].contains(word))
    });
    words.map(|words| ["herder"].into_iter().chain(words).map(str::to_owned).collect()).collect()
}

#[test]
fn every_command_line_shown_is_one_that_herder_takes() {
    let mut lines = Vec::new();
    for file in readmes() {
        lines.extend(blocks(&read(&file), "```sh\n", "```").into_iter().flat_map(command_lines));
    }
    for page in pages() {
        let text = plain(&read(&page));
        lines.extend(blocks(&text, ROFF_BLOCK.0, ROFF_BLOCK.1).into_iter().flat_map(command_lines));
    }
    assert!(lines.len() > 5, "{lines:?}");
    for line in lines {
        let answer = Cli::try_parse_from(&line);
        assert!(
            answer.is_ok(),
            "{}\n{}",
            line.join(" "),
            answer.err().map(|error| error.to_string()).unwrap_or_default()
        );
    }
}

/// The examples that are a settings file and nothing else.
const EXAMPLES: [&str; 2] = ["examples/herder.toml", "examples/elastic.toml"];

#[test]
fn the_example_settings_are_right_as_shipped_and_with_every_comment_removed() {
    for file in EXAMPLES {
        let text = read(file);
        load(file, &text);
        let is_setting = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_lowercase());
        let uncommented: String = text
            .lines()
            .map(|line| line.strip_prefix('#').filter(is_setting).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(uncommented.contains("\ncommand = "), "nothing was uncommented");
        load(&format!("{file}, uncommented"), &uncommented);
        if !text.contains("what is commented out below shows the default") {
            continue;
        }
        for (name, value) in uncommented.lines().filter_map(|line| line.split_once(" = ")) {
            let is_plain = |default: &str| default.starts_with(['"', '1', '0']);
            let key = KEYS.iter().find(|key| key.name == name && is_plain(key.default));
            assert!(key.is_none_or(|key| key.default == value), "{name} = {value}");
        }
    }
}

/// herder.toml(5) shows the same lines.
#[test]
fn the_drop_in_for_queues_makes_one_group() {
    let page = plain(&read("man/herder.toml.5"));
    let shown = blocks(&page, ROFF_BLOCK.0, ROFF_BLOCK.1);
    let shown = shown.into_iter().find(|block| block.contains("ReusePort=yes")).expect("a block");
    for text in [&read("systemd/examples/queues.conf"), shown] {
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        let (first, last) = (lines.first(), lines.last());
        assert_eq!((first, last), (Some(&"[Socket]"), Some(&"ReusePort=yes")), "{text}");
        let sockets = &lines[1..lines.len() - 1];
        assert!(sockets.len() > 1 && sockets.iter().all(|line| *line == sockets[0]), "{text}");
        assert!(sockets[0].starts_with("ListenStream="), "{text}");
    }
}

#[test]
fn the_settings_in_documents_are_right() {
    for file in readmes() {
        for text in blocks(&read(&file), "```toml\n", "```") {
            let least_indented: String =
                text.lines().map(|line| format!("{}\n", line.trim_start())).collect();
            load(&file, &least_indented);
        }
    }
    for page in pages() {
        for text in blocks(&plain(&read(&page)), ROFF_BLOCK.0, ROFF_BLOCK.1) {
            if text.contains(" = ") {
                load(&page, text);
            }
        }
    }
}

#[test]
fn herder_check_passes_the_examples() {
    for file in EXAMPLES {
        let output = process::Command::new(env!("CARGO_BIN_EXE_herder"))
            .arg("check")
            .arg(root().join(file))
            .output()
            .unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{file}: {}\n{out}\n{err}", output.status);
        assert!(out.contains("workers"), "{out}");
    }
}

/// Their programs are stand-ins: what is checked is the settings.
#[test]
fn herder_check_passes_the_settings_of_servers_without_a_preset() {
    let folder = root().join("examples/servers");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: BTreeSet<PathBuf> = files.collect();
    let described = files.iter().map(|file| file.file_stem().unwrap().to_string_lossy());
    assert_eq!(names(described), names(DESCRIBED));
    let site = tempfile::tempdir().unwrap();
    let bin = site.path().join("bin");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with('#') && text.contains("ried"), "{}", file.display());
        let program = load(&file.to_string_lossy(), &text).command[0].to_string();
        let folder = if program.contains('/') { site.path() } else { &bin };
        let program = folder.join(program);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_herder"), &program).unwrap();
        let output = process::Command::new(env!("CARGO_BIN_EXE_herder"))
            .arg("check")
            .arg(&file)
            .arg(format!("--set=directory={}", site.path().display()))
            .env("PATH", &bin)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {err}", file.display());
    }
}

#[test]
fn what_documents_point_to_is_there() {
    let folders = ["src/", "crates/", "tests/", "examples/", "systemd/", "man/", "completions/"];
    for file in readmes().into_iter().chain(["SECURITY.md", "CHANGELOG.md"].map(str::to_owned)) {
        let text = read(&file);
        let paths = text
            .split(['`', ' ', '\n'])
            .filter(|word| folders.iter().any(|folder| word.starts_with(folder)));
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|to| !to.contains("://"));
        // A link is relative to the file it is in.
        let here = root().join(&file);
        let linked = links.map(|to| here.parent().unwrap().join(to));
        for path in paths.map(|path| root().join(path)).chain(linked) {
            assert!(path.exists(), "{file} names {}, which is not there", path.display());
        }
    }
}
