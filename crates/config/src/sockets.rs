//! `listen` and `sockets`: addresses and names of sockets, read from the settings.

use std::collections::BTreeSet;
use std::fmt;

use super::draft::Draft;
use super::read::Reader;
use super::settings::Listen;
use herder_wire::address::Address;

/// Reads `listen`.
pub fn read_listen(draft: &mut Draft, reader: &mut Reader<'_>) {
    let Some(texts) = reader.texts(true) else { return };
    draft.settings.listen.clear();
    for (position, (text, at)) in texts.iter().enumerate() {
        match parse_listen(text, position) {
            Ok(listen) => draft.settings.listen.push(listen),
            Err(error) => reader.problems.add(Some(at), "listen", format!("`listen`: {error}")),
        }
    }
}

/// Reads `sockets`.
pub fn read_names(draft: &mut Draft, reader: &mut Reader<'_>) {
    let Some(names) = reader.texts(true) else { return };
    let mut seen = BTreeSet::new();
    for (name, at) in &names {
        let wrong = match name.as_str() {
            _ if !seen.insert(name) => {
                Some("is named twice; sockets that share a name come together")
            }
            name if name.starts_with("herder-") => {
                Some("is herder's own and not for workers; remove it")
            }
            name => wrong_socket_name(name),
        };
        if let Some(wrong) = wrong {
            let name = name.escape_debug();
            reader.problems.add(Some(at), "sockets", format!("`sockets`: `{name}` {wrong}"));
        }
    }
    draft.settings.sockets = Some(names.into_iter().map(|(name, _)| name).collect());
}

/// Reads `[NAME=]ADDR`. An address can hold `=` only in a path or an abstract name, and those
/// begin with what no name holds.
fn parse_listen(text: &str, position: usize) -> Result<Listen, String> {
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
fn wrong_socket_name(name: &str) -> Option<&'static str> {
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
