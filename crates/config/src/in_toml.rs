//! Values as they are written in TOML, so that they read back the same.

use herder_core::{Amount, Span};
use herder_wire::units;

/// A TOML string on one line. JSON's escapes are TOML's; only DEL is forbidden there and not here.
pub fn quote(text: impl AsRef<str>) -> String {
    serde_json::Value::from(text.as_ref()).to_string().replace('\u{7f}', "\\u007f")
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
    Some(quote(units::exact_span(span.0)))
}

pub fn amount(amount: Amount) -> String {
    match amount {
        Amount::Number(number) => number.to_string(),
        Amount::Percent(percent) => quote(format!("{percent}%")),
    }
}
