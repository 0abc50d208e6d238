//! Keys and tables that are no settings: what was probably meant.

use super::keys::KEYS;
use super::problem::Problems;
use super::value::Assignment;
use super::{foreign, suggest};

/// Reports a key that is not in the table.
pub fn key(entry: &Assignment, name: &str, problems: &mut Problems) {
    let message = format!("unknown key `{}`", name.escape_debug());
    match advice(name).or_else(|| advice(&entry.name)) {
        Some(advice) => problems.advise(Some(&entry.at), name, message, advice),
        None => problems.add(Some(&entry.at), name, message),
    }
}

/// Reports a table that is not in the table of settings. Its keys may be those of another launcher
/// (`pm.max_children`), or settings of herder that stand one level too deep.
pub fn table(entry: &Assignment, name: &str, inner: &[Assignment], problems: &mut Problems) {
    let foreign =
        |entry: &&Assignment| foreign::advice(&format!("{name}.{}", entry.name)).is_some();
    let mut others = inner.iter().filter(foreign).peekable();
    if others.peek().is_some() {
        for other in others {
            key(other, &format!("{name}.{}", other.name), problems);
        }
        return;
    }
    let message = format!("unknown table `{}`", name.escape_debug());
    let ours: Vec<_> = inner
        .iter()
        .filter(|entry| KEYS.iter().any(|key| key.name.split('.').next() == Some(&entry.name)))
        .map(|entry| format!("`{}`", entry.name))
        .collect();
    match advice(name) {
        _ if !ours.is_empty() => {
            let advice =
                format!("{} belongs at the top level, above the first [table]", ours.join(", "));
            problems.advise(Some(&entry.at), name, message, advice);
        }
        Some(advice) => problems.advise(Some(&entry.at), name, message, advice),
        None => problems.add(Some(&entry.at), name, message),
    }
}

/// What to write instead of an unknown key, if that can be guessed.
fn advice(name: &str) -> Option<String> {
    if let Some(key) = KEYS.iter().find(|key| foreign::bare(key.name) == foreign::bare(name)) {
        return Some(format!("write `{}`", key.name));
    }
    if let Some(advice) = foreign::advice(name) {
        return Some(advice.to_owned());
    }
    // Within a table only the last part can be mistyped.
    let (table, last) = name.rfind('.').map_or(("", name), |dot| name.split_at(dot + 1));
    let there = KEYS.iter().filter_map(|key| key.name.strip_prefix(table));
    suggest::closest(last, there).map(|key| format!("did you mean `{table}{key}`?"))
}
