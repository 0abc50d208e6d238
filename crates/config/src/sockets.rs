//! `listen` and `sockets`: addresses and names of sockets, read from the settings.

use std::collections::BTreeSet;

use super::load::Draft;
use super::read::Reader;
use super::show;

/// Reads `listen`.
pub fn read_listen(draft: &mut Draft, reader: &mut Reader<'_>) {
    let Some(texts) = reader.texts(true) else { return };
    draft.settings.listen.clear();
    for (position, (text, at)) in texts.iter().enumerate() {
        match show::parse_listen(text, position) {
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
            name => show::wrong_socket_name(name),
        };
        if let Some(wrong) = wrong {
            let name = name.escape_debug();
            reader.problems.add(Some(at), "sockets", format!("`sockets`: `{name}` {wrong}"));
        }
    }
    draft.settings.sockets = Some(names.into_iter().map(|(name, _)| name).collect());
}
