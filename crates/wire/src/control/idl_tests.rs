//! Varlink's interface definition language, as far as our descriptions use it: read, and held to JSON.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A type of Varlink's interface definition language.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    Int,
    Float,
    Bool,
    String,
    Enum(BTreeSet<String>),
    Named(String),
    Array(Box<Type>),
    Map(Box<Type>),
    Nullable(Box<Type>),
}

pub type Fields = BTreeMap<String, Type>;

/// The types, methods and errors of a description, each with its fields (a method's by `in` and `out`).
pub fn definitions(description: &str) -> BTreeMap<String, Fields> {
    let text: String = description
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| [line, " "])
        .collect();
    let text = text.replace("->", " ");
    let mut definitions = BTreeMap::new();
    for (at, _) in text.match_indices("type ").chain(text.match_indices("error ")) {
        let rest = &text[at..];
        let open = rest.find('(').unwrap();
        let name = rest[..open].split_whitespace().nth(1).unwrap();
        assert!(definitions.insert(name.to_owned(), fields(&rest[open..])).is_none());
    }
    for (at, _) in text.match_indices("method ") {
        let rest = &text[at..];
        let open = rest.find('(').unwrap();
        let name = rest[..open].split_whitespace().nth(1).unwrap();
        let out = open + inside(&rest[open..]).len() + 2;
        definitions.insert(format!("{name}.in"), fields(&rest[open..]));
        let out = &rest[out + rest[out..].find('(').unwrap()..];
        definitions.insert(format!("{name}.out"), fields(out));
    }
    definitions
}

/// What stands between the parenthesis at the beginning of `text` and the one that closes it.
fn inside(text: &str) -> &str {
    let mut depth = 0;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &text[1..at];
        }
    }
    panic!("no closing parenthesis: {text}");
}

fn fields(text: &str) -> Fields {
    let mut fields = Fields::new();
    let mut rest = inside(text).trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once(':').unwrap();
        let (kind, after) = kind(after.trim());
        assert!(fields.insert(name.trim().to_owned(), kind).is_none(), "{name} twice");
        rest = after.trim().strip_prefix(',').unwrap_or("").trim();
    }
    fields
}

fn kind(text: &str) -> (Type, &str) {
    if let Some(rest) = text.strip_prefix('?') {
        let (inner, rest) = kind(rest);
        return (Type::Nullable(Box::new(inner)), rest);
    }
    if let Some(rest) = text.strip_prefix("[]") {
        let (inner, rest) = kind(rest);
        return (Type::Array(Box::new(inner)), rest);
    }
    if let Some(rest) = text.strip_prefix("[string]") {
        let (inner, rest) = kind(rest);
        return (Type::Map(Box::new(inner)), rest);
    }
    if text.starts_with('(') {
        let words = inside(text);
        let set = words.split(',').map(|word| word.trim().to_owned()).collect();
        return (Type::Enum(set), &text[words.len() + 2..]);
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(text.len());
    let kind = match &text[..end] {
        "int" => Type::Int,
        "float" => Type::Float,
        "bool" => Type::Bool,
        "string" => Type::String,
        name => Type::Named(name.to_owned()),
    };
    (kind, &text[end..])
}

/// Fails unless `value` is what the description promises; notes the words of enums that were seen.
fn conforms(
    types: &BTreeMap<String, Fields>,
    kind: &Type,
    value: &Value,
    place: &str,
    seen: &mut BTreeSet<(String, String)>,
) {
    match (kind, value) {
        (Type::Nullable(_), Value::Null) => {}
        (Type::Nullable(inner), _) => conforms(types, inner, value, place, seen),
        (Type::Int, Value::Number(number)) => assert!(number.is_u64(), "{place}: {value}"),
        (Type::Float, Value::Number(_)) | (Type::Bool, Value::Bool(_)) => {}
        (Type::Map(inner), Value::Object(values)) => {
            for value in values.values() {
                conforms(types, inner, value, place, seen);
            }
        }
        (Type::String, Value::String(_)) => {}
        (Type::Enum(words), Value::String(word)) => {
            assert!(words.contains(word), "{place}: {word} is not in the description");
            seen.insert((place.to_owned(), word.clone()));
        }
        (Type::Array(inner), Value::Array(values)) => {
            for value in values {
                conforms(types, inner, value, place, seen);
            }
        }
        (Type::Named(name), Value::Object(object)) => {
            record(types, &types[name], object, name, seen);
        }
        (_, _) => panic!("{place} should be {kind:?}, is {value}"),
    }
}

pub fn record(
    types: &BTreeMap<String, Fields>,
    fields: &Fields,
    object: &Map<String, Value>,
    place: &str,
    seen: &mut BTreeSet<(String, String)>,
) {
    let described: Vec<&String> = fields.keys().collect();
    let sent: Vec<&String> = object.keys().collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(described, sent, "the fields of {place}, described and sent, differ");
    for (name, kind) in fields {
        conforms(types, kind, &object[name], &format!("{place}.{name}"), seen);
    }
}
