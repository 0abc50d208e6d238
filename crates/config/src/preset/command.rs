//! The server in a command: where it is, what its arguments lack, and what contradicts.

use super::super::problem::{Place, Problems};
use super::super::read::quote;
use super::super::template::Template;
use super::{Argument, Preset, Program, Refused};

/// What a preset has added to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The words, with placeholders.
    pub words: Vec<String>,
    /// Why.
    pub reason: &'static str,
}

/// Adds to a command what its server needs and it does not have, or notes what is wrong with it.
pub fn complete(
    preset: &Preset,
    command: &mut Vec<Template>,
    at: Option<&Place>,
    problems: &mut Problems,
) -> Vec<Added> {
    let words: Vec<String> = command.iter().map(Template::to_string).collect();
    let mut added = Vec::new();
    let Some(start) = preset.program.arguments(&words, &mut added) else {
        let (message, advice) = not_found(preset, &words);
        problems.advise(at, "command", message, advice);
        return Vec::new();
    };
    let arguments = &words[start..];
    let own = preset.program.own(arguments);
    for refused in preset.refused {
        let found = refused.options.iter().find_map(|option| value(own, option));
        if let Some((written, _)) = found.filter(|(_, value)| !refused.allows(*value)) {
            let message = format!("`command`: `{}` {}", written.escape_debug(), refused.why);
            problems.advise(at, "command", message, refused.instead);
        }
    }
    added.extend(preset.arguments.iter().filter(|argument| argument.is_missing(arguments)).map(
        |argument| Added {
            words: argument.words.iter().map(|&word| word.to_owned()).collect(),
            reason: argument.reason,
        },
    ));
    // A unit test reads every template of every preset.
    let new = added.iter().flat_map(|added| &added.words);
    let new: Vec<_> = new.filter_map(|word| Template::parse(word).ok()).collect();
    command.splice(start..start, new);
    added
}

impl Program {
    /// Where the server's arguments begin. A bare Python gets the adapter, which is then noted.
    fn arguments(&self, words: &[String], added: &mut Vec<Added>) -> Option<usize> {
        if self.names.is_empty() {
            return (!words.is_empty()).then_some(1);
        }
        let server = self.server(words);
        // What follows an option of the server's is its value, whatever it is called.
        let python = end_of_python(words).filter(|&at| server.is_none_or(|server| server > at));
        if let (Some(adapter), Some(position)) = (self.adapter, python) {
            added.push(Added {
                words: vec![adapter.to_owned()],
                reason: "the program that serves, with herder's part done",
            });
            return Some(position);
        }
        let position = server?;
        (!self.is_another(words, position)).then_some(position + 1)
    }

    /// Which word is the server. With several of its name it is the first that is not an option's value, as in
    /// `uv run --directory /srv/uvicorn uvicorn`.
    fn server(&self, words: &[String]) -> Option<usize> {
        let named = |word: &String| self.names.iter().any(|name| is_program(word, name));
        let is_value = |position: usize| {
            let before = position.checked_sub(1).map_or("", |before| words[before].as_str());
            before.starts_with('-') && before != "--" && !runs_a_module(before)
        };
        let mut found = (0..words.len()).filter(|&position| named(&words[position]));
        let first = found.clone().next();
        found.find(|&position| !is_value(position)).or(first)
    }

    /// Those of the arguments that are the server's, and not those of a program that it runs.
    fn own<'a>(&self, arguments: &'a [String]) -> &'a [String] {
        let program = arguments.iter().position(|word| !word.starts_with('-'));
        match program.filter(|_| self.interprets) {
            // An option's value is taken for the program: then less is refused than could be.
            Some(position) => &arguments[..position],
            None => arguments,
        }
    }

    /// It has the name, and is something else: `python -m waitress` for the adapter `waitress`.
    fn is_another(&self, words: &[String], position: usize) -> bool {
        let module = position > 0 && runs_a_module(&words[position - 1]);
        module && self.not.contains(&words[position].as_str())
    }
}

/// Python's `-m`, also with others in a word: `-Im`.
fn runs_a_module(option: &str) -> bool {
    option.starts_with('-') && !option.starts_with("--") && option.ends_with('m')
}

/// Whether a word is a path to that program, perhaps with a version: `/usr/bin/php-cgi8.2`.
fn is_program(word: &str, name: &str) -> bool {
    let last = word.rsplit('/').next().unwrap_or_default();
    // `PYTHONPATH=/srv/uvicorn` and `--directory=/srv/uvicorn` are not.
    !word.contains('=')
        && last.strip_prefix(name).is_some_and(|version| {
            version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
}

/// Behind `python`, wherever it stands (`nice -n 5 python`), and its own options, if what follows is neither a file, a module nor a program
/// text: then it is for the adapter.
fn end_of_python(words: &[String]) -> Option<usize> {
    let python = |word: &String| ["python", "pypy"].iter().any(|name| is_program(word, name));
    let mut position = words.iter().position(python)? + 1;
    loop {
        position += match words.get(position)?.as_str() {
            "-m" | "-c" | "-" => return None,
            // Their values are words of their own.
            "-X" | "-W" => 2,
            option if option.starts_with("--") => return Some(position),
            option if option.starts_with('-') => 1,
            file if file.contains('/') || file.ends_with(".py") => return None,
            _ => return Some(position),
        };
    }
}

/// The first argument that is this option, and its value: `--fd 3`, `--fd=3`, `-w4`, `-w 4`.
fn value<'a>(arguments: &'a [String], option: &str) -> Option<(&'a str, Option<&'a str>)> {
    let mut words = arguments.iter().map(String::as_str).take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let Some(rest) = word.strip_prefix(option) else { continue };
        match rest.strip_prefix('=') {
            Some(value) => return Some((word, Some(value))),
            None if rest.is_empty() => return Some((word, words.next())),
            None if !option.starts_with("--") && option.len() == 2 => {
                return Some((word, Some(rest)));
            }
            None => {}
        }
    }
    None
}

impl Refused {
    fn allows(&self, value: Option<&str>) -> bool {
        self.except.zip(value).is_some_and(|(good, value)| match good.strip_suffix('*') {
            Some(begin) => value.starts_with(begin),
            None => value == good,
        })
    }
}

impl Argument {
    fn is_missing(&self, arguments: &[String]) -> bool {
        match self.unless {
            [] => !self.words.last().is_some_and(|last| arguments.iter().any(|word| word == last)),
            options => options.iter().all(|option| value(arguments, option).is_none()),
        }
    }
}

/// What to say of a command without the server: wrappers that are known to lose the socket or the
/// process id are named (sd_listen_fds(3)).
fn not_found(preset: &Preset, words: &[String]) -> (String, String) {
    let program = &preset.program;
    let name = preset.name;
    let list = program.names.join("` or `");
    let last = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let first = words.first().map(last).unwrap_or_default();
    if let Some(other) = words.iter().find(|word| program.not.contains(&last(word).as_str())) {
        let python = other
            .rsplit_once('/')
            .map_or("python3".to_owned(), |(folder, _)| format!("{folder}/python3"));
        let python = if first.starts_with("python") { words[0].clone() } else { python };
        return (
            format!("`command`: `{}` cannot serve a socket it is given", other.escape_debug()),
            format!(
                "have Python run herder's own program instead, with the same arguments: `command = [{}, \"MODULE:APPLICATION\"]`",
                quote(python)
            ),
        );
    }
    let why = match first.as_str() {
        "npm" | "npx" | "yarn" | "pnpm" => {
            format!("; `{first}` would start it as another process, without the socket")
        }
        "sh" | "bash" | "dash" | "zsh" => {
            "; a shell is not needed, and the server would not find its own process id in LISTEN_PID".to_owned()
        }
        _ => String::new(),
    };
    let python = match program.adapter {
        Some(_) => {
            ", or a Python and the application, such as `[\"/srv/site/venv/bin/python\", \"mysite.wsgi:application\"]`"
        }
        None => "",
    };
    (
        format!("`command` does not run `{list}`, and preset {name} is about that{why}"),
        format!(
            "name it among the words of `command`{python}; or remove `preset` and write what `herder presets {name}` shows"
        ),
    )
}
