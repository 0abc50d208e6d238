//! Settings as text: the effective ones for `herder check`, and the small forms other files of
//! this folder share. What is shown reads back as the same settings.

use std::fmt;

use super::keys::KEYS;
use super::problem::Place;
use super::read::quote;
use super::settings::{Listen, Settings};
use super::span::exact;
use herder_core::{Amount, Span};
use herder_wire::address::Address;

/// One setting as it is in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its key, dotted in a table.
    pub key: String,
    /// Its value in TOML; `None` if it is not set.
    pub value: Option<String>,
    /// Where it was written; `None` for a default.
    pub origin: Option<&'a Place>,
}

/// Every setting, in the order of [`KEYS`], and each variable of `environment`.
pub fn effective(settings: &Settings) -> Vec<Line<'_>> {
    let origin = |key: &str| settings.origins.get(key);
    let mut lines = Vec::new();
    for key in KEYS {
        if key.name != "environment" {
            let value = (key.show)(settings);
            lines.push(Line { key: key.name.to_owned(), value, origin: origin(key.name) });
            continue;
        }
        for (name, template) in &settings.environment {
            let key = format!("environment.{name}");
            let value = Some(quote(template.to_string()));
            lines.push(Line { origin: origin(&key), key, value });
        }
    }
    lines
}

pub fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.map(|item| quote(item.to_string())).collect();
    format!("[{}]", items.join(", "))
}

pub fn list_unless_empty(items: impl ExactSizeIterator<Item = impl ToString>) -> Option<String> {
    (items.len() > 0).then(|| list(items))
}

pub fn word<T: Copy + PartialEq>(words: &[(&str, T)], value: T) -> Option<String> {
    words.iter().find(|(_, known)| *known == value).map(|(word, _)| quote(word))
}

// As the rows of KEYS want it: a default is always something to show.
#[allow(clippy::unnecessary_wraps)]
pub fn span(span: Span) -> Option<String> {
    Some(quote(exact(span)))
}

pub fn amount(amount: Amount) -> String {
    match amount {
        Amount::Number(number) => number.to_string(),
        Amount::Percent(percent) => quote(format!("{percent}%")),
    }
}

/// Reads `[NAME=]ADDR`. An address can hold `=` only in a path or an abstract name, and those
/// begin with what no name holds.
pub fn parse_listen(text: &str, position: usize) -> Result<Listen, String> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) if !name.contains(['/', '@', ':', '[']) => (name.to_owned(), address),
        _ => (format!("listen-{position}"), text),
    };
    if let Some(wrong) = wrong_socket_name(&name) {
        return Err(format!("the name `{}` {wrong}", name.escape_debug()));
    }
    if name.starts_with("herder-") {
        return Err(format!(
            "the name `{name}` is herder's own; choose one that does not begin with `herder-`"
        ));
    }
    let address = address.parse::<Address>().map_err(|error| error.to_string())?;
    Ok(Listen { name, address })
}

/// What keeps a text from being a socket's name in LISTEN_FDNAMES (FileDescriptorName= in
/// systemd.socket(5)).
pub fn wrong_socket_name(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        _ if name.len() > 255 => Some("is longer than 255 characters"),
        _ if !name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => {
            Some("has characters other than printable ASCII")
        }
        _ if name.contains(':') => Some("has a `:`, which separates names in LISTEN_FDNAMES"),
        _ => None,
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.address)
    }
}
