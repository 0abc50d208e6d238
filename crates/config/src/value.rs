//! Values as they were written, each with its place, whichever source they come from: a file,
//! `--set`, or an option of its own. Owned, so that sources need not outlive them.

use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problems};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Value {
    pub at: Place,
    pub data: Data,
}

/// What TOML can hold, as far as settings tell it apart.
#[derive(Clone, Debug)]
pub enum Data {
    Text(String),
    Integer(i128),
    /// A float, boolean or date: its name, and its text for where any text will do.
    Scalar(&'static str, String),
    List(Vec<Value>),
    Table(Vec<Assignment>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Assignment {
    pub name: String,
    pub at: Place,
    pub value: Value,
}

impl Value {
    pub fn text(at: Place, text: &str) -> Value {
        Value { at, data: Data::Text(text.to_owned()) }
    }

    pub fn list(at: Place, texts: &[String]) -> Value {
        let items = texts.iter().map(|text| Value::text(at.clone(), text)).collect();
        Value { at, data: Data::List(items) }
    }

    /// What it is, for “…, not a string”.
    pub fn noun(&self) -> &'static str {
        match &self.data {
            Data::Text(_) => "a string",
            Data::Integer(_) => "an integer",
            Data::Scalar(noun, _) => noun,
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
        }
    }
}

/// Reads a settings file. Lines with wrong syntax are reported and left out; the others are read, so that
/// their problems are reported at the same time.
pub fn from_file(path: &str, text: &str, problems: &mut Problems) -> Vec<Assignment> {
    let place = |offset: usize| {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut broken_lines = Vec::new();
    for error in &errors {
        let at = place(error.span().map_or(0, |span| span.start));
        // The parser may report several errors for one mistake: one for each line is enough.
        if !broken_lines.contains(&line_of(&at)) {
            problems.add(Some(&at), "", format!("not TOML: {}", error.message()));
            broken_lines.push(line_of(&at));
        }
    }
    let mut entries = from_table(table.get_ref(), &place);
    entries.retain(|entry| !broken_lines.contains(&line_of(&entry.at)));
    entries
}

fn line_of(at: &Place) -> usize {
    match at {
        Place::File { line, .. } => *line,
        Place::CommandLine(_) | Place::Environment(_) | Place::Preset(_) | Place::RunTime(_) => 0,
    }
}

/// Reads `KEY=VALUE` from `--set` or another `command`: VALUE as TOML, or as a string where it is not
/// TOML. `place` makes the place of the command and the key.
pub fn from_option(
    option: &str,
    command: &str,
    place: fn(String) -> Place,
    problems: &mut Problems,
) -> Vec<Assignment> {
    let (key, value) = option.split_once('=').unwrap_or((option, ""));
    let at = place(format!("{command} {}", key.trim().escape_debug()));
    let place = |_| at.clone();
    let key_only = format!("{} = ''", key.trim());
    let Ok(mut wanted) = DeTable::parse(&key_only) else {
        problems.advise(
            Some(&at),
            "",
            "no setting is named",
            format!("write `{command} KEY=VALUE`"),
        );
        return Vec::new();
    };
    if !option.contains('=') {
        problems.advise(
            Some(&at),
            key,
            format!("`{key}` has no value"),
            format!("write `{command} {key}=VALUE`"),
        );
        return Vec::new();
    }
    let assignment = format!("{} = {value}", key.trim());
    match DeTable::parse(&assignment) {
        // A newline would begin a second assignment.
        Ok(table) if !option.contains('\n') => from_table(table.get_ref(), &place),
        Err(error) if value.trim_start().starts_with(['[', '{', '"', '\'']) => {
            problems.add(Some(&at), key, format!("not TOML: {}", error.message()));
            Vec::new()
        }
        _ => {
            let mut entries = from_table(wanted.get_mut(), &place);
            set_leaf(&mut entries, value);
            entries
        }
    }
}

fn set_leaf(entries: &mut [Assignment], text: &str) {
    for entry in entries {
        match &mut entry.value.data {
            Data::Table(inner) => set_leaf(inner, text),
            data => *data = Data::Text(text.to_owned()),
        }
    }
}

/// Reads TOML that is part of herder, all of it from `at`.
pub fn from_text(text: &str, at: &Place) -> Vec<Assignment> {
    let (table, _) = DeTable::parse_recoverable(text);
    from_table(table.get_ref(), &|_| at.clone())
}

/// The entries in the order in which they were written, which TOML's tables do not keep.
fn from_table(table: &DeTable<'_>, place: &dyn Fn(usize) -> Place) -> Vec<Assignment> {
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);
    keys.into_iter()
        .map(|(key, value)| Assignment {
            name: key.get_ref().to_string(),
            at: place(key.span().start),
            value: from_toml(value, place),
        })
        .collect()
}

fn from_toml(value: &toml::Spanned<DeValue<'_>>, place: &dyn Fn(usize) -> Place) -> Value {
    let data = match value.get_ref() {
        DeValue::String(text) => Data::Text(text.to_string()),
        DeValue::Integer(integer) => Data::Integer(
            // A number that does not fit is out of range for every setting, as i128::MAX is.
            i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX),
        ),
        DeValue::Float(float) => Data::Scalar("a float", float.as_str().to_owned()),
        DeValue::Boolean(boolean) => Data::Scalar("a boolean", boolean.to_string()),
        DeValue::Datetime(date) => Data::Scalar("a date", date.to_string()),
        DeValue::Array(items) => {
            Data::List(items.iter().map(|item| from_toml(item, place)).collect())
        }
        DeValue::Table(table) => Data::Table(from_table(table, place)),
    };
    Value { at: place(value.span().start), data }
}
