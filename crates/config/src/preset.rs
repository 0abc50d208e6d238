//! Presets: what a known server needs to be one of N, as data.
//!
//! A preset is settings in the words of herder.toml(5), each with its reason, and arguments its
//! server needs where the command does not have them. Everything here was seen by running the
//! server; what a preset cannot put right it says (`notes`). Nothing is decided by the name of a
//! preset: what a server needs and no field can say needs a field.

mod command;
mod others;
mod php;
mod python;
mod ruby;
#[cfg(test)]
mod tests;

pub use command::{Added, complete};

use super::problem::Place;
use super::suggest;
use super::value::{self, Assignment};

/// What a server needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// As `preset` has it.
    pub name: &'static str,
    /// What it runs, in a line.
    pub about: &'static str,
    /// How its server is found in `command`.
    pub program: Program,
    /// Settings that are not herder's defaults.
    pub settings: &'static [Setting],
    /// Arguments to add where they are missing, directly after the program's name.
    pub arguments: &'static [Argument],
    /// Arguments that contradict what herder does.
    pub refused: &'static [Refused],
    /// Which sockets it can serve.
    pub sockets: Sockets,
    /// What to know, and what no setting can put right.
    pub notes: &'static [&'static str],
    /// Settings that work.
    pub example: Example,
}

/// How a server is found in `command`: `bundle exec puma`, `python -m uvicorn`.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// The last part of an argument's path, with or without a version (`php-cgi8.2`); without any
    /// name the command's first word is the server.
    pub names: &'static [&'static str],
    /// A program of herder's own that a bare Python runs, in place of the server's.
    pub adapter: Option<&'static str>,
    /// Programs that cannot serve an inherited socket, and are easily taken for one that can.
    pub not: &'static [&'static str],
    /// It runs a program, whose own arguments follow the first that is no option.
    pub interprets: bool,
}

/// A setting and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// A key of herder.toml(5).
    pub key: &'static str,
    /// Its value, in TOML.
    pub value: &'static str,
    /// Why, as a clause.
    pub reason: &'static str,
}

/// Arguments that belong together, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Argument {
    /// As in `command`, with placeholders.
    pub words: &'static [&'static str],
    /// The options that say the same: with one of them there, nothing is added. Without any, the
    /// last of `words` itself is looked for.
    pub unless: &'static [&'static str],
    /// Why, as a clause.
    pub reason: &'static str,
}

/// Options that may not be there, and what to do instead.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The options, in all their spellings.
    pub options: &'static [&'static str],
    /// The one value that is as good as none; all that begin like that, if it ends in `*`.
    pub except: Option<&'static str>,
    /// Why it may not be there, to follow the option's name.
    pub why: &'static str,
    /// What to do.
    pub instead: &'static str,
}

/// Which sockets a server can serve.
#[derive(Debug, PartialEq, Eq)]
pub struct Sockets {
    /// It serves one, the first, and would leave others unanswered.
    pub one: bool,
    /// Why it may not get a UNIX socket, to follow “`preset` NAME: the server”.
    pub not_unix: Option<&'static str>,
    /// When it ends it removes the file of a UNIX socket, if it may.
    pub unlinks: bool,
}

/// A server that ends with 0 was told to finish, by herder or by another process: that is no crash.
const FINISHES_WITH_0: Setting = Setting {
    key: "success-exit-status",
    value: "[0]",
    reason: "it ends so when any process tells it to finish: that is no crash",
};

/// A server whose application cannot be loaded stays alive and starts one process after the other, so being
/// alive proves nothing.
const SERVES_WHEN_SEEN: Setting = Setting {
    key: "ready",
    value: "\"accepting\"",
    reason: "that its master is alive says nothing: it is also where the application cannot be loaded",
};

/// Settings that work, for `herder presets NAME` and herder.toml(5).
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// `command`, and whatever else the file needs, in TOML.
    pub settings: &'static str,
    /// The section `[Socket]` of the socket unit.
    pub socket: &'static str,
}

/// `[Socket]` of servers that close, when they end, or wait for connections whose request has not begun to arrive.
const DEFERRED: &str = "\
ListenStream=127.0.0.1:8000
# A connection is handed out when its request begins to arrive (TCP only).
DeferAcceptSec=5
";

/// A server that cannot be one of N.
#[derive(Debug, PartialEq, Eq)]
pub struct Impossible {
    /// The name a user would write in `preset`.
    pub name: &'static str,
    /// Why not, to follow its name.
    pub why: &'static str,
    /// What to use instead.
    pub instead: &'static str,
}

/// Every preset, in the order of the manual.
pub static PRESETS: [&Preset; 12] = [
    &python::UVICORN,
    &python::HYPERCORN,
    &python::GUNICORN,
    &python::WAITRESS,
    &python::UWSGI,
    &ruby::PUMA,
    &ruby::UNICORN,
    &others::NODE,
    &php::PHP_CGI,
    &php::PHP_FPM,
    &others::GO,
    &others::STARMAN,
];

pub use others::IMPOSSIBLE;

/// Servers without a preset that a settings file in examples/servers describes.
pub const DESCRIBED: [&str; 8] =
    ["bjoern", "cheroot", "daphne", "deno", "erlang", "kestrel", "nginx", "starlet"];

/// The preset of this name, or what to say: what is wrong, and what to do.
pub fn find(name: &str) -> Result<&'static Preset, (String, String)> {
    if let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) {
        return Ok(preset);
    }
    let shown = name.escape_debug();
    if let Some(server) = IMPOSSIBLE.iter().find(|server| server.name == name) {
        return Err((format!("{shown} {}", server.why), server.instead.to_owned()));
    }
    if DESCRIBED.contains(&name) {
        return Err((
            format!("there is no preset for {shown}"),
            format!(
                "its settings, one by one, are in /usr/share/doc/herder/examples/servers/{name}.toml"
            ),
        ));
    }
    let names = || PRESETS.iter().map(|preset| preset.name);
    let advice = match suggest::closest(name, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "there are {}; without one, write the settings that your server needs",
            names().collect::<Vec<_>>().join(", ")
        ),
    };
    Err((format!("no preset is called `{shown}`"), advice))
}

impl Preset {
    /// A settings file that works.
    pub fn settings_file(&self) -> String {
        format!("preset = \"{}\"\n{}", self.name, self.example.settings)
    }

    /// Its settings, as if they had been written in a file.
    pub(super) fn entries(&self) -> Vec<Assignment> {
        let text: String = self
            .settings
            .iter()
            .map(|setting| format!("{} = {}\n", setting.key, setting.value))
            .collect();
        value::from_text(&text, &Place::Preset(self.name))
    }
}
