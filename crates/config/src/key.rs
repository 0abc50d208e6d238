//! What there is to know of one setting.

use super::load::Draft;
use super::read::Reader;
use super::settings::Settings;

/// A setting.
#[derive(Clone, Copy)]
pub struct Key {
    /// As it is written; `table.key` where it stands in a table.
    pub name: &'static str,
    /// What it takes, to follow “has to be”.
    pub kind: &'static str,
    /// Its default, in TOML, or in words where that depends.
    pub default: &'static str,
    /// The version that had it first.
    pub since: &'static str,
    /// A reload may change it.
    pub reloadable: bool,
    /// What it is for.
    pub help: &'static str,
    /// A value it takes, in TOML.
    pub example: &'static str,
    pub(super) read: fn(&mut Draft, &mut Reader<'_>),
    pub(super) show: fn(&Settings) -> Option<String>,
}
