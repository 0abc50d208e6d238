//! Documents are tests: what the manual, the README and the examples say is what the code does, and
//! what the code has is in the manual.

// clippy.toml allows it in tests, but does not know a helper of tests for one.
#![allow(clippy::unwrap_used)]

use clap::{Command, CommandFactory, Parser};
use herder::cli::Cli;
use herder::config::preset::{DESCRIBED, IMPOSSIBLE, PRESETS, Preset};
use herder::config::{self, KEYS, Machine, Overrides, SETTABLE};
use herder::error::Error;
use herder::import::{Kind, known_names};
use herder::wire::control::DESCRIPTION;
use herder::wire::listen::HERDERS_OWN;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

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

// herder.toml(5) and the table of settings

/// The rows of the table: key, type, default, since, reload.
fn settings_table(page: &str) -> Vec<[String; 5]> {
    let start = page.find("\n.TS\n").expect("no table");
    let end = page.find("\n.TE\n").expect("no end of the table");
    let text = plain(&page[start..end]).replace("T{\n", "").replace("\nT}", "");
    let rows = text.lines().filter(|line| line.contains('\t')).skip(1);
    rows.map(|row| {
        let cells: Vec<String> = row.split('\t').map(str::to_owned).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("not five cells: {cells:?}"))
    })
    .collect()
}

#[test]
fn the_table_of_settings_is_the_table_in_the_code() {
    let in_code: Vec<[String; 5]> = KEYS
        .iter()
        .map(|key| {
            let reload = if key.reloadable { "yes" } else { "no" };
            [key.name, key.kind, key.default, key.since, reload].map(str::to_owned)
        })
        .collect();
    assert_eq!(settings_table(&read("man/herder.toml.5")), in_code);
}

#[test]
fn herder_set_has_every_setting_that_can_be_set() {
    let page = read("man/herder-set.1");
    let list = page.split_once(".Bl -bullet").expect("no list").1;
    let list = list.split_once(".El\n").expect("no end of the list").0;
    assert_eq!(items(list, ".Ic").collect::<Vec<_>>(), SETTABLE);
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

// The command line, herder(8), and the page that each command but the first two has of its own

/// What herder(8) explains itself.
const IN_HERDER_8: [&str; 2] = ["run", "check"];

fn subcommands() -> Vec<Command> {
    // Built, so that it has the options that all of them have.
    let mut cli = Cli::command();
    cli.build();
    let shown = |command: &&Command| !command.is_hide_set() && command.get_name() != "help";
    cli.get_subcommands().filter(shown).cloned().collect()
}

fn with_pages() -> impl Iterator<Item = Command> {
    subcommands().into_iter().filter(|command| !IN_HERDER_8.contains(&command.get_name()))
}

fn page_of(command: &Command) -> String {
    read(&format!("man/herder-{}.1", command.get_name()))
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

#[test]
fn every_command_is_in_the_manual_and_the_reverse() {
    let page = read("man/herder.8");
    let description = section(&page, "DESCRIPTION");
    assert_eq!(
        names(items(description, ".It Cm")),
        names(subcommands().iter().map(Command::get_name))
    );
    let see_also = section(&page, "SEE ALSO");
    for command in with_pages() {
        let name = command.get_name();
        let page = format!(".Xr herder-{name} 1");
        let item =
            description.split("\n.It ").find(|item| item.starts_with(&format!("Cm {name}\n")));
        assert!(item.is_some_and(|item| item.contains(&page)), "{page} is not named with {name}");
        assert!(see_also.contains(&page), "{page} is not in SEE ALSO");
    }
    let own = with_pages().map(|command| format!("man/herder-{}.1", command.get_name()));
    let here = pages().into_iter().filter(|page| page.ends_with(".1"));
    assert_eq!(names(own), names(here));
}

/// The options that a text explains: `.It Fl n , Fl -name Ar NAME`.
fn explained_options(text: &str) -> Names {
    let rows = items(text, ".It").flat_map(|row| row.split("Fl ").skip(1));
    names(rows.filter_map(|text| text.split_whitespace().next()))
}

/// As a page writes the options of a command: `n`, `-name`.
fn options(command: &Command) -> Names {
    let mut options = Names::new();
    for argument in command.get_arguments().filter(|argument| !argument.is_positional()) {
        options.extend(argument.get_long().map(|long| format!("-{long}")));
        options.extend(argument.get_short().map(String::from));
    }
    options
}

/// That the synopsis of a command has each of its options, by its letter if there is one, and of its values.
fn synopsis_is_whole(command: &Command, synopsis: &str) {
    for argument in command.get_arguments() {
        if ["help", "version"].contains(&argument.get_id().as_str()) {
            continue;
        }
        let wanted = match (argument.get_short(), argument.get_long()) {
            (Some(letter), _) => format!("Fl {letter}"),
            (None, Some(long)) => format!("Fl -{long}"),
            (None, None) => {
                let name = argument.get_value_names().and_then(<[_]>::first);
                let name = name.map(|name| name.as_str().to_owned()).unwrap_or_default();
                // `CMD [ARG]...` is written as what it is.
                if name.contains(' ') { "Ar COMMAND".to_owned() } else { format!("Ar {name}") }
            }
        };
        assert!(synopsis.contains(&wanted), "{}: no {wanted} in:\n{synopsis}", command.get_name());
    }
}

#[test]
fn every_option_is_in_the_manual_and_the_reverse() {
    let page = read("man/herder.8");
    let mut in_herder_8 = Names::new();
    for command in subcommands().iter().filter(|one| IN_HERDER_8.contains(&one.get_name())) {
        in_herder_8.extend(options(command));
        let start = format!(".Cm {}\n", command.get_name());
        let synopsis = section(&page, "SYNOPSIS");
        let own = synopsis.split("\n.Nm\n").find_map(|text| text.strip_prefix(&start));
        synopsis_is_whole(command, own.unwrap_or_else(|| panic!("no synopsis of {start}")));
    }
    assert_eq!(explained_options(section(&page, "DESCRIPTION")), in_herder_8);

    for command in with_pages() {
        let page = page_of(&command);
        synopsis_is_whole(&command, section(&page, "SYNOPSIS"));
        // --version is of all of them, and in herder(8).
        let mut options = options(&command);
        options.retain(|option| !["V", "-version"].contains(&option.as_str()));
        assert_eq!(
            explained_options(section(&page, "DESCRIPTION")),
            options,
            "{}",
            command.get_name()
        );
    }
}

/// The numbers that begin the items of a list of exit statuses in `--help`.
fn statuses_in_help(command: &Command) -> Names {
    let help = command.clone().render_long_help().to_string();
    let Some((_, list)) = help.split_once("\nExit status: ") else { return Names::new() };
    let list = list.split("\n\n").next().unwrap_or_default();
    let parts = list.split([',', ';', '\n']).filter_map(|part| part.split_whitespace().next());
    names(parts.filter(|word| word.parse::<u8>().is_ok()))
}

#[test]
fn every_exit_status_of_a_command_is_in_its_page_and_its_help() {
    for command in with_pages() {
        let page = page_of(&command);
        let in_page: Names = names(items(section(&page, "EXIT STATUS"), ".It"));
        assert!(in_page.contains("64"), "{}", command.get_name());
        let mut in_help = statuses_in_help(&command);
        in_help.insert("64".to_owned());
        assert_eq!(in_page, in_help, "{}", command.get_name());
    }
}

/// The fields of a type in the description of the control interface.
fn fields_of(name: &str) -> Vec<String> {
    let start = DESCRIPTION.find(&format!("type {name} (")).unwrap_or_else(|| panic!("no {name}"));
    let lines = DESCRIPTION[start..].lines().skip(1).take_while(|line| *line != ")");
    let fields = lines.filter(|line| !line.trim_start().starts_with('#'));
    fields.filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

#[test]
fn every_field_of_the_json_is_in_the_manual_and_the_reverse() {
    let page = read("man/herder-status.1");
    let objects = section(&page, "JSON").split("\n.Ss ").skip(1);
    let mut explained = Names::new();
    for object in objects {
        let name = object.lines().next().unwrap_or_default();
        let rows: Vec<&str> = items(object, ".It Li").collect();
        assert_eq!(rows, fields_of(name), "{name}");
        explained.insert(name.to_owned());
    }
    let expected = "InstanceStatus Changed Socket SocketChange Progress PastReload Counters Usage Worker LastExit";
    assert_eq!(explained, names(expected.split(' ')));

    let page = read("man/herder-events.1");
    let rows: Vec<&str> = items(section(&page, "DESCRIPTION"), ".It Li").collect();
    let fields: Vec<String> =
        ["instance".to_owned()].into_iter().chain(fields_of("Event")).collect();
    assert_eq!(rows, fields);
}

#[test]
fn every_page_and_completion_is_in_both_packages() {
    let manifest = read("Cargo.toml");
    let (deb, rpm) = manifest.split_once("[package.metadata.generate-rpm]").expect("both packages");
    let completions = ["bash", "fish"].map(|shell| format!("completions/herder.{shell}"));
    let zsh = "completions/_herder".to_owned();
    for file in pages().into_iter().chain(completions).chain([zsh]) {
        assert!(root().join(&file).exists(), "{file}");
        for (package, assets) in [("deb", deb), ("rpm", rpm)] {
            assert!(assets.contains(&format!("\"{file}\"")), "{file} is not in the {package}");
        }
    }
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

// herder-migrate(7): what other managers call things, and herder's word for it

/// A row of a table: what somebody else says, and what is said with herder, each as roff.
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

// Numbers and names in the code, and the lists of the manual

/// The sources, without their tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
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
    let in_code = literals("src")
        .into_iter()
        .filter(|(before, _)| read_by.iter().any(|call| before.ends_with(call)));
    let mut in_code = names(in_code.map(|(_, name)| name));
    in_code.remove("CARGO_PKG_VERSION");
    in_code.remove("HERDER_WORKER"); // by the demonstration worker; below
    // Read in a way of their own, and by the crates sd-notify and libsystemd.
    in_code.extend(["PATH", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"].map(str::to_owned));
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
    let code = read("src/linux/signals.rs");
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
    for line in read("src/herd/ending.rs").lines() {
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

// Examples and the README

fn load(file: &str, text: &str) -> config::Settings {
    let machine = Machine { cpus: 2, web_concurrency: None };
    config::load(Some((file, text)), &Overrides::default(), &machine)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_example_settings_are_right_as_shipped_and_with_every_comment_removed() {
    let text = read("examples/herder.toml");
    load("examples/herder.toml", &text);
    let uncommented: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
                .unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(uncommented.contains("\nworkers = "), "nothing was uncommented");
    load("examples/herder.toml, uncommented", &uncommented);
    // “What is commented out shows the default”, where there is one.
    for line in uncommented.lines().filter_map(|line| line.split_once(" = ")) {
        let (name, value) = line;
        let key =
            KEYS.iter().find(|key| key.name == name && key.default.starts_with(['"', '1', '0']));
        assert!(key.is_none_or(|key| key.default == value), "{name} = {value}");
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
fn herder_check_passes_the_example() {
    let example = root().join("examples/herder.toml");
    let output = process::Command::new(env!("CARGO_BIN_EXE_herder"))
        .arg("check")
        .arg(example)
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains("workers"), "{out}");
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
    let folders = ["src/", "tests/", "examples/", "systemd/", "man/", "completions/"];
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
