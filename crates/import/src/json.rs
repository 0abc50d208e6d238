//! JSON whose values know their lines, so that what cannot be carried over can be pointed at.
//!
//! serde_json lends the text of each value ([`RawValue`]); where that text begins says the line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of an object, in the order in which they are written.
#[derive(Debug, Default)]
pub struct Object<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<'a>, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl<'a> Object<'a> {
    /// Reads an object, or nothing if the text is none.
    pub fn of(value: &'a RawValue) -> Option<Object<'a>> {
        serde_json::from_str(value.get()).ok()
    }
}

/// The line, from 1, on which a value begins that was read from `text`.
pub fn line(text: &str, value: &RawValue) -> usize {
    // Both are addresses in the same text.
    let at = (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.get(..at).map_or(1, |before| before.matches('\n').count() + 1)
}

/// A value as JavaScript would make a text of it.
pub fn text(value: &RawValue) -> String {
    match serde_json::from_str(value.get()) {
        Ok(Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => value.get().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_know_their_lines() {
        let text =
            "{\n  \"b\": 1,\n  \"a\": {\n    \"c\": [true,\n null], \"c\": \"x\\ny\"\n  }\n}";
        let object: Object<'_> = serde_json::from_str(text).unwrap();
        let (name, inner) = &object.0[1];
        assert_eq!((name.as_str(), line(text, inner)), ("a", 3));
        let inner = Object::of(inner).unwrap();
        let lines: Vec<_> = inner
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), line(text, value), super::text(value)))
            .collect();
        assert_eq!(lines, [("c", 4, "[true,null]".to_owned()), ("c", 5, "x\ny".to_owned())]);
        assert!(Object::of(object.0[0].1).is_none());
    }
}
