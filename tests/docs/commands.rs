//! The command line, herder(8), and the page that each command but the first two has of its own.

use crate::{Names, items, names, pages, read, root, section};
use clap::{Command, CommandFactory};
use herder::cli::Cli;
use herder_wire::control::DESCRIPTION;

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
