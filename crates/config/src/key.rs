//! A row of the table of settings.

use super::draft::Draft;
use super::read::Reader;
use super::settings::Settings;

/// The `kind` of settings that are time spans.
pub const SPAN: &str = "a time span";
/// The `default` of settings that are not set unless a source sets them.
pub const NO_DEFAULT: &str = "not set";

/// A setting.
#[derive(Clone, Copy)]
pub struct Key {
    /// As it is written; `table.key` where it stands in a table.
    pub name: &'static str,
    /// What it takes, to follow “has to be”.
    pub kind: &'static str,
    /// Its default, in TOML, or in words where that depends.
    pub default: &'static str,
    /// What it needs to take effect while herder runs.
    pub applies: Applies,
    /// What it is for.
    pub help: &'static str,
    /// A value it takes, in TOML.
    pub example: &'static str,
    pub(super) read: fn(&mut Draft, &mut Reader<'_>),
    pub(super) show: fn(&Settings) -> Option<String>,
}

/// What a changed setting needs to take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// Nothing: `herder set` changes it for the workers there are, and a reload does too.
    AtOnce,
    /// A reload, because workers have to be started with it.
    AtReload,
    /// A restart of herder: a reload that changes it is refused.
    AtRestart,
}

impl Key {
    /// Its value is a table whose names the user chooses: only `environment`. Each entry of that table
    /// has an origin of its own.
    pub(super) fn is_map(&self) -> bool {
        self.name == "environment"
    }
}
