//! Completions for the Tab key of a shell: `COMPLETE=bash herder`, and zsh and fish.
//!
//! The files in `completions/` have the shell ask herder itself, so what is offered is never older
//! than the program: its commands and options, the instances there are, the keys of herder.toml(5).
//! A start that is no such question costs one look at the environment.

use crate::cli::Cli;
use clap::{Arg, Command, CommandFactory};
use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use clap_complete::env::{Bash, CompleteEnv, Fish, Shells, Zsh};
use herder_config::preset::PRESETS;
use herder_config::{Applies, KEYS};
use std::ffi::OsStr;
use std::path::Path;

const SHELLS: Shells<'static> = Shells(&[&Bash, &Fish, &Zsh]);

/// Answers if a shell has asked: then there is nothing else to do. A `COMPLETE` in the environment
/// that names no shell belongs to another program, and is ignored.
pub fn answer() -> Option<clap::error::Result<()>> {
    let shell = std::env::var_os("COMPLETE")?;
    SHELLS.completer(Path::new(&shell).file_name()?.to_str()?)?;
    let here = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(command)
        .shells(SHELLS)
        .try_complete(std::env::args_os(), here.as_deref());
    Some(answered.map(|_| ()))
}

/// The command line, and what may stand where values are.
fn command() -> Command {
    let mut command = Cli::command();
    let names: Vec<String> =
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |command| command.mut_args(with_values));
    }
    command
}

fn with_values(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "instance" => argument.add(ArgValueCompleter::new(instances)),
        "set" => argument.add(ArgValueCompleter::new(keys)),
        "setting" => argument.add(ArgValueCompleter::new(settable)),
        "preset" => argument.add(ArgValueCompleter::new(presets)),
        _ => argument,
    }
}

fn instances(current: &OsStr) -> Vec<CompletionCandidate> {
    if current.to_string_lossy().contains('/') {
        return PathCompleter::dir().complete(current);
    }
    those_that_begin_with(
        current,
        herder_ctl::instance_names().into_iter().map(CompletionCandidate::new),
    )
}

/// `workers=`; what follows is the reader's.
fn keys(current: &OsStr) -> Vec<CompletionCandidate> {
    let keys = KEYS
        .iter()
        .map(|key| CompletionCandidate::new(format!("{}=", key.name)).help(Some(key.help.into())));
    let presets = PRESETS.iter().map(|preset| {
        CompletionCandidate::new(format!("preset={}", preset.name)).help(Some(preset.about.into()))
    });
    let presets = presets.filter(|_| current.to_string_lossy().starts_with("preset="));
    those_that_begin_with(current, keys.chain(presets))
}

/// `stop-timeout=`
fn settable(current: &OsStr) -> Vec<CompletionCandidate> {
    let keys = KEYS.iter().filter(|key| key.applies == Applies::AtOnce);
    let keys = keys
        .map(|key| CompletionCandidate::new(format!("{}=", key.name)).help(Some(key.help.into())));
    those_that_begin_with(current, keys)
}

fn presets(current: &OsStr) -> Vec<CompletionCandidate> {
    let presets = PRESETS
        .iter()
        .map(|preset| CompletionCandidate::new(preset.name).help(Some(preset.about.into())));
    those_that_begin_with(current, presets)
}

fn those_that_begin_with(
    current: &OsStr,
    candidates: impl Iterator<Item = CompletionCandidate>,
) -> Vec<CompletionCandidate> {
    let begin = current.to_string_lossy().into_owned();
    candidates
        .filter(|candidate| candidate.get_value().to_string_lossy().starts_with(&begin))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(candidates: Vec<CompletionCandidate>) -> Vec<String> {
        candidates
            .iter()
            .map(|candidate| candidate.get_value().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn settings_are_offered_by_their_keys() {
        assert_eq!(values(keys(OsStr::new("work"))), ["workers="]);
        assert_eq!(values(keys(OsStr::new(""))).len(), KEYS.len());
        assert!(keys(OsStr::new("workers=")).len() <= 1);
        assert!(keys(OsStr::new("no-such-key")).is_empty());
    }

    #[test]
    fn presets_are_offered_by_name_and_as_a_setting() {
        assert_eq!(values(presets(OsStr::new("php"))), ["php-cgi", "php-fpm"]);
        assert_eq!(values(presets(OsStr::new(""))).len(), PRESETS.len());
        assert_eq!(values(keys(OsStr::new("preset=go"))), ["preset=go"]);
        assert_eq!(values(keys(OsStr::new("prese"))), ["preset="]);
    }

    #[test]
    fn every_instance_and_every_setting_on_the_command_line_has_its_values() {
        let command = command();
        let (mut instances, mut sets) = (0, 0);
        for argument in command.get_subcommands().flat_map(Command::get_arguments) {
            let has_values = argument.get::<ArgValueCompleter>().is_some();
            match argument.get_id().as_str() {
                "instance" => instances += usize::from(has_values),
                "set" => sets += usize::from(has_values),
                "preset" | "setting" => assert!(has_values),
                id => assert!(!has_values, "{id}"),
            }
        }
        assert!(instances >= 8 && sets == 2, "{instances} {sets}");
    }
}
