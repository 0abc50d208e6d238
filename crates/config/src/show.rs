//! The effective settings as text, for `herder check` and the control interface. What is shown reads
//! back as the same settings.

use super::in_toml::quote;
use super::keys::KEYS;
use super::problem::Place;
use super::settings::Settings;

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
        if !key.is_map() {
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
