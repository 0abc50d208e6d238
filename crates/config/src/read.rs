//! Typed readers for values: each either stores what it read or says what is wrong with it.

mod limits;

use std::ops::RangeInclusive;

use super::in_toml::quote;
use super::key::Key;
use super::problem::{Place, Problems};
use super::template::Template;
use super::value::{Data, Value};
use herder_core::{Amount, Span, signal_number};
use herder_wire::control::MOST_WORKERS;
use herder_wire::units::parse_span;

/// A value to be read, the setting it is for, and where problems are reported.
pub struct Reader<'a> {
    pub key: &'static Key,
    pub value: &'a Value,
    pub problems: &'a mut Problems,
}

/// Any span, `infinity` included.
pub const OR_FOREVER: RangeInclusive<Span> = Span::ZERO..=Span::MAX;
/// Any span but `infinity`.
pub const BOUNDED: RangeInclusive<Span> = Span::ZERO..=Span(u64::MAX - 1);
/// Any span but 0 and `infinity`.
pub const POSITIVE: RangeInclusive<Span> = Span(1)..=Span(u64::MAX - 1);

impl Reader<'_> {
    fn wrong(&mut self, at: &Place, message: String) {
        self.problems.add(Some(at), self.key.name, format!("`{}` {message}", self.key.name));
    }

    /// Reports a value of a type this key cannot take.
    pub fn wrong_type(&mut self) {
        let Key { name, kind, example, .. } = self.key;
        self.problems.advise(
            Some(&self.value.at),
            name,
            format!("`{name}` is {}, and has to be {kind}", self.value.noun()),
            format!("for example `{name} = {example}`"),
        );
    }

    /// Reports a value of the right type that is not allowed.
    pub fn wrong_value(&mut self, message: &str) {
        self.wrong(&self.value.at, message.to_owned());
    }

    /// Whether the value is this word.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.value.data, Data::Text(text) if text == word)
    }

    /// An integer in `range`, also as a string of digits.
    pub fn integer(&mut self, range: RangeInclusive<u32>) -> Option<u32> {
        let number = match &self.value.data {
            Data::Integer(number) => *number,
            Data::Text(text) => match text.parse::<i128>() {
                Ok(number) => number,
                Err(_) => return self.wrong_type_none(),
            },
            Data::Scalar(..) | Data::List(_) | Data::Table(_) => return self.wrong_type_none(),
        };
        let known = u32::try_from(number).ok().filter(|number| range.contains(number));
        if known.is_none() {
            self.wrong_value(&format!(
                "is {number}, and has to be from {} to {}",
                range.start(),
                range.end()
            ));
        }
        known
    }

    fn wrong_type_none<T>(&mut self) -> Option<T> {
        self.wrong_type();
        None
    }

    /// A time span: a string as in systemd.time(7), or a number of seconds.
    pub fn span(&mut self, range: RangeInclusive<Span>, into: &mut Span) {
        let text = match &self.value.data {
            Data::Text(text) => text.clone(),
            Data::Integer(seconds) => seconds.to_string(),
            Data::Scalar("a float", seconds) => seconds.clone(),
            Data::Scalar(..) | Data::List(_) | Data::Table(_) => return self.wrong_type(),
        };
        match parse_span(&text).map(Span) {
            Ok(span) if range.contains(&span) => *into = span,
            Ok(Span::MAX) => {
                self.wrong_value("may not be infinite: something is waiting for its end")
            }
            Ok(_) => self.wrong_value("may not be zero"),
            Err(error) => {
                let message =
                    format!("`{}` is `{}`, which {error}", self.key.name, text.escape_debug());
                let advice = "write a time span such as `1min 30s`, `500ms` or a number of seconds";
                self.problems.advise(Some(&self.value.at), self.key.name, message, advice);
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, words: &[(&str, T)], into: &mut T) {
        let Data::Text(text) = &self.value.data else { return self.wrong_type() };
        if let Some((_, choice)) = words.iter().find(|(word, _)| word == text) {
            *into = *choice;
            return;
        }
        let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.wrong_value(&format!(
            "is \"{}\", and has to be {}",
            text.escape_debug(),
            known.join(" or ")
        ));
    }

    /// `true` or `false`, also as a string.
    pub fn boolean(&mut self, into: &mut bool) {
        let (Data::Text(text) | Data::Scalar("a boolean", text)) = &self.value.data else {
            return self.wrong_type();
        };
        match text.parse() {
            Ok(value) => *into = value,
            Err(_) => self.wrong_type(),
        }
    }

    /// A number, or a share in per cent of what is wanted.
    pub fn amount(&mut self, into: &mut Amount) {
        let percent = match &self.value.data {
            Data::Text(text) => {
                text.strip_suffix('%').map(|number| number.trim().parse::<u32>().ok())
            }
            Data::Integer(_) | Data::Scalar(..) | Data::List(_) | Data::Table(_) => None,
        };
        match percent {
            Some(Some(percent)) if percent <= 100 => *into = Amount::Percent(percent),
            Some(_) => self.wrong_value("has to be from 0% to 100%"),
            None => {
                if let Some(number) = self.integer(0..=MOST_WORKERS) {
                    *into = Amount::Number(number);
                }
            }
        }
    }

    /// A signal by name or number, unless it is one of `refused`, each with the reason.
    pub fn signal(&mut self, refused: &[(u8, &str)]) -> Option<u8> {
        let text = match &self.value.data {
            Data::Text(text) => text.clone(),
            Data::Integer(number) => number.to_string(),
            Data::Scalar(..) | Data::List(_) | Data::Table(_) => return self.wrong_type_none(),
        };
        let signal = signal_number(&text);
        match signal.and_then(|signal| refused.iter().find(|(known, _)| *known == signal)) {
            Some((_, why)) => {
                self.wrong_value(&format!("may not be {}: {why}", text.escape_debug()));
                None
            }
            None => {
                if signal.is_none() {
                    self.wrong_value(&format!(
                        "is `{}`, which names no signal (signal(7))",
                        text.escape_debug()
                    ));
                }
                signal
            }
        }
    }

    /// A string without NUL bytes, which no path, argument or variable can hold.
    pub fn text(&mut self) -> Option<String> {
        let value = self.value;
        self.scalar(value)
    }

    /// A list of such strings; where `lone`, a string alone is a list of one.
    pub fn texts(&mut self, lone: bool) -> Option<Vec<(String, Place)>> {
        let items = match &self.value.data {
            Data::List(items) => items.as_slice(),
            Data::Text(_) | Data::Integer(_) if lone => std::slice::from_ref(self.value),
            Data::Text(_) | Data::Integer(_) | Data::Scalar(..) | Data::Table(_) => {
                return self.wrong_type_none();
            }
        };
        let texts: Vec<_> = items
            .iter()
            .map(|item| self.scalar(item).map(|text| (text, item.at.clone())))
            .collect();
        texts.into_iter().collect()
    }

    fn scalar(&mut self, value: &Value) -> Option<String> {
        let text = match &value.data {
            Data::Text(text) => text.clone(),
            Data::Integer(number) => number.to_string(),
            Data::Scalar(..) | Data::List(_) | Data::Table(_) => {
                self.wrong(
                    &value.at,
                    format!("holds {}, and has to be {}", value.noun(), self.key.kind),
                );
                return None;
            }
        };
        if text.contains('\0') {
            self.wrong(&value.at, "holds a NUL byte, which the kernel cannot pass on".to_owned());
            return None;
        }
        Some(text)
    }

    /// A program and its arguments, as they go to execve(2).
    pub fn argv(&mut self) -> Option<Vec<(String, Place)>> {
        if let Data::Text(line) = &self.value.data {
            let words: Vec<_> = line.split_whitespace().map(quote).collect();
            let message = format!(
                "`{}` is a string, and herder runs no shell to take it apart",
                self.key.name
            );
            let advice = format!("write a list: `{} = [{}]`", self.key.name, words.join(", "));
            self.problems.advise(Some(&self.value.at), self.key.name, message, advice);
            return None;
        }
        let argv = self.texts(false)?;
        match argv.first() {
            Some((program, _)) if !program.is_empty() => Some(argv),
            Some((_, at)) => {
                let at = at.clone();
                self.wrong(&at, "begins with an empty string; write the program there".to_owned());
                None
            }
            None => {
                self.wrong_value(
                    "is empty; write the program and its arguments, or remove the key",
                );
                None
            }
        }
    }

    /// A text with placeholders.
    pub fn template(&mut self, text: &str, at: &Place) -> Option<Template> {
        match Template::parse(text) {
            Ok(template) => Some(template),
            Err(error) => {
                let message = format!(
                    "`{}`: {} at character {} of the text",
                    self.key.name, error.message, error.at
                );
                self.problems.advise(Some(at), self.key.name, message, error.suggestion);
                None
            }
        }
    }

    /// A text with placeholders that is not empty and has no line breaks or the like in it.
    pub fn line(&mut self) -> Option<Template> {
        let text = self.text()?;
        if text.is_empty() || text.contains(char::is_control) {
            self.wrong_value("has to be a line of text, and not an empty one");
            return None;
        }
        let at = self.value.at.clone();
        self.template(&text, &at)
    }

    /// A path. In a file it is absolute: a service's working directory is not where the file is.
    pub fn path(&mut self, text: &str, at: &Place) -> Option<std::path::PathBuf> {
        let relative = !text.starts_with('/') && matches!(at, Place::File { .. });
        if relative || text.is_empty() {
            let message =
                format!("has to be an absolute path, and `{}` is not", text.escape_debug());
            self.wrong(at, message);
            return None;
        }
        Some(text.into())
    }
}
