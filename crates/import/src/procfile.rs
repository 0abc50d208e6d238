//! Procfiles, as Heroku, foreman and honcho read them: `TYPE: COMMAND` a line, for a shell.
//!
//! A Procfile does not say how many processes of a type run, where they listen or as which user. A type that
//! uses `$PORT` listens; the rest is left to the reader, as notes.

use super::instance::{Instance, Sockets, Value, instance_name};
use super::notes::Origin;
use super::server;
use super::words::{Mark, Trouble, assignments, split, split_shell, template};
use super::{Import, Source};

const DEFAULT: &str = "only a shell would look it up, and the default is written in its place: if .env or the service says \
                       another value, write that";

/// foreman's first port, and how far those of two lines are apart.
const FIRST_PORT: usize = 5000;
const PORT_STEP: usize = 100;

/// `TYPE: COMMAND`; foreman ignores every other line.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (name, command) = line.split_once(':')?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let command = command.trim();
    let right = !name.is_empty() && name.chars().all(allowed) && !command.is_empty();
    right.then_some((name, command))
}

fn is_ignored(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

/// Whether a text is one.
pub fn is_one(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| !is_ignored(line)).peekable();
    lines.peek().is_some() && lines.all(|line| entry(line).is_some())
}

pub fn import(source: &Source<'_>) -> Result<Import, String> {
    let mut import = Import::of(source);
    let mut index = 0;
    for (line, number) in source.text.lines().zip(1..) {
        match entry(line) {
            Some((name, command)) => {
                let text = line.trim().to_owned();
                let origin = Origin { text, name: name.to_owned(), line: number };
                if name == "release" {
                    let why = "it runs once for each release, and ends: run it when you deploy, before \
                               `systemctl reload`";
                    import.lose(&origin, why);
                } else {
                    let process =
                        Process { name, command, origin, port: FIRST_PORT + PORT_STEP * index };
                    import.add(process.instance(source));
                }
                index += 1;
            }
            None if is_ignored(line) => {}
            None => import.strange(number, line.trim()),
        }
    }
    match import.is_empty() {
        false => Ok(import),
        true => Err(format!("{}: there is no line such as `web: bin/server` in it", source.name)),
    }
}

/// `NAME=value` before a program, whatever a shell makes of the value.
fn begins_with_variable(command: &str) -> bool {
    let first = command.split_whitespace().next().unwrap_or_default();
    !assignments(&mut vec![first.to_owned()]).is_empty()
}

/// `A && B` as `A && exec B`, if that is all that has to be said for the shell to become B.
fn with_exec(script: &str) -> Option<String> {
    let at = script.rfind("&&").map(|at| at + 2).max(script.rfind(';').map(|at| at + 1))?;
    let (before, last) = script.split_at(at);
    let is_simple =
        !last.contains(['|', '&', '(', ')', '{', '}', '`', '\n']) && !last.trim().is_empty();
    // Cut inside of quotes, one of the parts has an odd one.
    let is_whole = split(before).is_ok() && split(last).is_ok();
    let keyword = last.split_whitespace().next();
    let is_command =
        !matches!(keyword, Some("exec" | "fi" | "done" | "esac" | "cd" | "export" | "then" | "do"));
    (is_simple && is_whole && is_command && !before.contains(['(', '\n']) && !has_keyword(before))
        .then(|| {
            let env = if begins_with_variable(last) { "env " } else { "" };
            format!("{before} exec {env}{}", last.trim())
        })
}

/// Whether a script may be in the middle of `if`, `while` and the like.
fn has_keyword(script: &str) -> bool {
    let keywords = ["if", "while", "until", "for", "case", "{"];
    script.split_whitespace().any(|word| keywords.contains(&word))
}

/// One line.
struct Process<'a> {
    name: &'a str,
    command: &'a str,
    origin: Origin,
    /// The port that foreman would give it.
    port: usize,
}

impl Process<'_> {
    fn instance(&self, source: &Source<'_>) -> Instance {
        let title = format!("{} of {}, line {}", self.name, source.name, self.origin.line);
        let mut instance = Instance::new(instance_name(self.name), title);
        instance.set("workers", Value::Number("1"), None);
        match source.directory {
            Some(directory) => {
                instance.set_directory(directory, None);
                let file = format!("-{}/.env", directory.trim_end_matches('/'));
                instance.set("environment-file", Value::Text(&file), None);
            }
            None => instance.advise(
                "Where it runs is not known: set `directory`, or import with --directory. foreman also reads the \
                 file .env there: environment-file.",
            ),
        }
        let (mut port, mut defaults) = (None, Vec::new());
        let command = self.in_its_directory(&mut instance);
        let words = split_shell(command, &mut |name, default| match (name, default) {
            // foreman and Heroku always say it, so that a default has no meaning.
            ("PORT", _) => {
                port = Some(self.port);
                Some(Mark::PORT.to_owned())
            }
            ("PS", _) => Some(format!("{}.{}", self.name, Mark::SLOT)),
            (name, Some(default)) => {
                defaults.push((name.to_owned(), default.to_owned()));
                Some(default.to_owned())
            }
            (_, None) => None,
        });
        match words {
            Ok(words) => {
                for (name, default) in defaults {
                    let text = format!("${{{name}:-{default}}}");
                    let origin = Origin { text, name, line: self.origin.line };
                    instance.lose(&origin, DEFAULT);
                }
                self.without_shell(words, port, &mut instance);
            }
            Err(trouble) => self.with_shell(command, trouble, &mut instance),
        }
        instance
    }

    /// `cd DIRECTORY && …`, which is `directory`.
    fn in_its_directory(&self, instance: &mut Instance) -> &str {
        let Some((change, rest)) = self.command.split_once("&&") else { return self.command };
        let to = change.trim().strip_prefix("cd ").map(|to| split_shell(to, &mut |_, _| None));
        match to {
            Some(Ok(path)) if path.len() == 1 => {
                let path = instance.absolute(&path[0]);
                instance.set_directory(&path, Some(&self.origin));
                rest.trim()
            }
            _ => self.command,
        }
    }

    fn without_shell(&self, mut words: Vec<String>, port: Option<usize>, instance: &mut Instance) {
        let origin = &self.origin;
        for (name, value) in assignments(&mut words) {
            instance.set_variable(&name, &template(&value), Some(origin));
        }
        if words.first().is_some_and(|word| word == "exec") {
            words.remove(0);
        }
        let is_reached = port.is_some() || self.name == "web" || server::listens(&words);
        let port = (is_reached).then(|| port.unwrap_or(self.port).to_string());
        if is_reached {
            instance.sockets = Sockets::FromSystemd;
        }
        let words = server::adopt(&words, port.as_deref(), instance, origin);
        if let Some(port) = &port {
            self.listen(port, instance);
        }
        let words: Vec<_> = words.iter().map(|word| template(word)).collect();
        instance.set("command", Value::List(&words), Some(origin));
        self.sockets(instance);
    }

    fn with_shell(&self, command: &str, trouble: Trouble, instance: &mut Instance) {
        let simple = !command.contains([';', '&', '|', '\n', '(']);
        let why = match trouble {
            Trouble::Shell(c) => format!("a shell is needed for `{c}`"),
            Trouble::Quote(c) => format!("a quote, {c}, has no end"),
        };
        let script = match simple {
            // `exec` takes no variables before the program, env does.
            true if !begins_with_variable(command) => {
                format!("exec {}", command.trim_start_matches("exec "))
            }
            true if !command.split_whitespace().any(|word| word == "exec") => {
                format!("exec env {command}")
            }
            true => command.to_owned(),
            false => with_exec(command).unwrap_or_else(|| command.to_owned()),
        };
        let simple = simple || script != command;
        let mut advice = format!(
            "A shell runs it, because {why}. Better is what the shell comes to: the program and its arguments, in \
             `command`, and variables in `environment`."
        );
        if !simple {
            advice.push_str(
                " As it is, the shell stays in between: the program has another process id than LISTEN_PID says, and \
                 the shell gets the signals. Say exec before the last command at least.",
            );
        }
        instance.advise(advice);
        let words = ["/bin/sh", "-c", &template(&script)].map(str::to_owned);
        instance.set("command", Value::List(&words), Some(&self.origin));
        if self.name == "web" || command.contains("PORT") {
            self.listen(&self.port.to_string(), instance);
        }
        self.sockets(instance);
    }

    /// Listens on a port, if nothing else was found.
    fn listen(&self, port: &str, instance: &mut Instance) {
        if !instance.is_listening() {
            instance.listen(port, Some(&self.origin));
        }
        if instance.socket.iter().any(|line| line.value == port) {
            instance.advise(format!(
                "It is reached at port {port}, which is foreman's for this line; another is to be said in the drop-in of \
                 the socket."
            ));
        }
        if instance.socket.iter().any(|line| !line.value.starts_with('/')) {
            instance.set_variable("PORT", "{port}", None);
        }
        if instance.preset().is_none() {
            instance.advise(
                "systemd opens the socket, and the program has to take it (LISTEN_FDS), not to open the port again.",
            );
        }
    }

    fn sockets(&self, instance: &mut Instance) {
        if instance.sockets == Sockets::None {
            instance.set("sockets", Value::Toml("[]"), None);
        }
    }
}
