//! What a worker runs, and what it is given.

use super::super::in_toml;
use super::super::key::{Applies, Key, NO_DEFAULT};
use super::super::preset;
use super::super::settings::{EnvironmentFile, Listen, ListenPid, Stdin};
use super::super::sockets;
use super::environment;

const STDIN: [(&str, Stdin); 2] = [("null", Stdin::Null), ("socket", Stdin::Socket)];
const LISTEN_PID: [(&str, ListenPid); 2] = [("set", ListenPid::Set), ("omit", ListenPid::Omit)];

pub const KEYS: &[Key] = &[
    Key {
        name: "preset",
        kind: "the name of a preset, in a string",
        default: NO_DEFAULT,
        applies: Applies::AtReload,
        help: "A known server: sets what it needs as one of N, and adds to `command` the arguments it lacks. \
               `herder presets` lists them; whatever else is written wins over them.",
        example: "\"uvicorn\"",
        read: |draft, reader| {
            let Some(name) = reader.text() else { return };
            match preset::find(&name) {
                Ok(preset) => draft.settings.preset = Some(preset),
                Err((message, advice)) => {
                    let at = Some(&reader.value.at);
                    reader.problems.advise(at, "preset", format!("`preset`: {message}"), advice);
                }
            }
        },
        show: |settings| settings.preset.map(|preset| in_toml::quote(preset.name)),
    },
    Key {
        name: "command",
        kind: "a list of strings, the program first",
        default: "the demonstration worker",
        applies: Applies::AtReload,
        help: "What a worker runs: the program and its arguments, with placeholders, without a shell. \
               A program without a slash is searched in PATH.",
        example: "[\"/srv/app/run\", \"--port\", \"{port}\"]",
        read: |draft, reader| {
            let Some(argv) = reader.argv() else { return };
            let templates: Vec<_> =
                argv.iter().map(|(text, at)| reader.template(text, at)).collect();
            if let Some(command) = templates.into_iter().collect() {
                draft.settings.command = command;
            }
        },
        show: |settings| in_toml::list_unless_empty(settings.command.iter()),
    },
    Key {
        name: "listen",
        kind: "a list of addresses, each `[NAME=][HOST:]PORT`, `[NAME=]/path` or `[NAME=]@abstract`",
        default: "[]",
        applies: Applies::AtRestart,
        help: "Where herder listens itself when no manager hands sockets over.",
        example: "[\"web=127.0.0.1:8000\"]",
        read: sockets::read_listen,
        show: |settings| Some(in_toml::list(settings.listen.iter().map(Listen::to_string))),
    },
    Key {
        name: "sockets",
        kind: "a list of socket names",
        default: "all sockets",
        applies: Applies::AtReload,
        help: "The sockets a worker gets, by name (FileDescriptorName=) and in this order. \
               Each has to exist; an empty list means that none is meant.",
        example: "[\"web\", \"admin\"]",
        read: sockets::read_names,
        show: |settings| settings.sockets.as_ref().map(|names| in_toml::list(names.iter())),
    },
    Key {
        name: "stdin",
        kind: "\"null\" or \"socket\"",
        default: "\"null\"",
        applies: Applies::AtReload,
        help: "What a worker reads from: /dev/null, or the first socket for FastCGI programs such as php-cgi.",
        example: "\"socket\"",
        read: |draft, reader| reader.choice(&STDIN, &mut draft.settings.stdin),
        show: |settings| in_toml::word(&STDIN, settings.stdin),
    },
    Key {
        name: "listen-pid",
        kind: "\"set\" or \"omit\"",
        default: "\"set\"",
        applies: Applies::AtReload,
        help: "Whether LISTEN_PID is set to the worker's pid; \"omit\" suits wrappers that fork before the server starts.",
        example: "\"omit\"",
        read: |draft, reader| reader.choice(&LISTEN_PID, &mut draft.settings.listen_pid),
        show: |settings| in_toml::word(&LISTEN_PID, settings.listen_pid),
    },
    Key {
        name: "blocking",
        kind: "true or false",
        default: "false",
        applies: Applies::AtReload,
        help: "Whether the server needs its sockets to block, as php-cgi and php-fpm do: one that does not is refused.",
        example: "true",
        read: |draft, reader| reader.boolean(&mut draft.settings.blocking),
        show: |settings| Some(settings.blocking.to_string()),
    },
    Key {
        name: "directory",
        kind: "an absolute path",
        default: "herder's own",
        applies: Applies::AtReload,
        help: "The working directory of workers. Symbolic links in it are followed once, when the settings are accepted.",
        example: "\"/srv/app/current\"",
        read: |draft, reader| {
            let Some(text) = reader.text() else { return };
            if let Some(path) = reader.path(&text, &reader.value.at) {
                draft.settings.directory = Some(path);
            }
        },
        show: |settings| {
            settings.directory.as_ref().map(|path| in_toml::quote(path.to_string_lossy()))
        },
    },
    Key {
        name: "environment",
        kind: "a table of strings",
        default: "{}",
        applies: Applies::AtReload,
        help: "Variables for workers, with placeholders, beside those herder itself has.",
        example: "{ DJANGO_SETTINGS_MODULE = \"site.settings\", PORT = \"{port}\" }",
        read: environment::read,
        // Shown by variable, each with its own origin.
        show: |_| None,
    },
    Key {
        name: "environment-file",
        kind: "an absolute path or a list of them, each with `-` before it if the file may be missing",
        default: "[]",
        applies: Applies::AtReload,
        help: "Files with variables, as EnvironmentFile= of systemd.exec(5); they win over `environment`, and are read again at every reload.",
        example: "[\"/etc/default/app\", \"-/etc/app/secrets\"]",
        read: |draft, reader| {
            let Some(texts) = reader.texts(true) else { return };
            draft.settings.environment_file.clear();
            for (text, at) in &texts {
                let (path, optional) =
                    text.strip_prefix('-').map_or((text.as_str(), false), |path| (path, true));
                if let Some(path) = reader.path(path, at) {
                    draft.settings.environment_file.push(EnvironmentFile { path, optional });
                }
            }
        },
        show: |settings| {
            Some(in_toml::list(settings.environment_file.iter().map(|file| {
                format!("{}{}", if file.optional { "-" } else { "" }, file.path.display())
            })))
        },
    },
    Key {
        name: "syslog-identifier",
        kind: "a string",
        default: "herder's own journal stream",
        applies: Applies::AtReload,
        help: "A journal stream of its own for what each worker writes, under this name (SYSLOG_IDENTIFIER=), with placeholders.",
        example: "\"web/{slot}\"",
        read: |draft, reader| {
            if let Some(line) = reader.line() {
                draft.settings.syslog_identifier = Some(line);
            }
        },
        show: |settings| settings.syslog_identifier.as_ref().map(|t| in_toml::quote(t.to_string())),
    },
];
