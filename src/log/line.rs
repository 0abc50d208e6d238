//! Entries as lines: text for people, JSON for programs. At most [`LINE`] bytes each.

use super::{Entry, LogLevel};
use herder_wire::text::timestamp;
use serde_json::{Map, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest line, in bytes. What a pipe takes in one piece or not at all (pipe(7), PIPE_BUF).
pub const LINE: usize = 4096;

/// `2026-11-23T08:15:00.123Z warning message`
pub fn text(entry: &Entry, now: SystemTime, colour: bool) -> String {
    let (dim, paint, plain) = match (colour, entry.priority) {
        (false, _) => ("", "", ""),
        (true, LogLevel::Error) => ("\x1b[2m", "\x1b[1;31m", "\x1b[0m"),
        (true, LogLevel::Warning) => ("\x1b[2m", "\x1b[33m", "\x1b[0m"),
        (true, LogLevel::Notice) => ("\x1b[2m", "\x1b[1m", "\x1b[0m"),
        (true, LogLevel::Info | LogLevel::Debug) => ("\x1b[2m", "\x1b[2m", "\x1b[0m"),
    };
    let time = timestamp(micros(now));
    // Further lines are indented, so that none of them looks like an entry.
    let message = entry.message.replace('\n', "\n    ");
    let mut line = format!("{dim}{time}{plain} {paint}{:<7}{plain} {message}", entry.priority);
    if line.len() >= LINE {
        shorten(&mut line, LINE - 1 - "…".len());
        line.push('…');
    }
    line.push('\n');
    line
}

/// `{"time":…,"level":…,"message":…,"MESSAGE_ID":…,"HERDER_SLOT":…}`
pub fn json(entry: &Entry, now: SystemTime) -> String {
    let mut object = Map::new();
    object.insert("time".to_owned(), timestamp(micros(now)).into());
    object.insert("level".to_owned(), entry.priority.to_string().into());
    object.insert("message".to_owned(), entry.message.clone().into());
    if let Some(id) = entry.message_id {
        object.insert("MESSAGE_ID".to_owned(), id.into());
    }
    for (name, value) in &entry.fields {
        object.insert((*name).to_owned(), value.clone().into());
    }
    let mut line = Value::Object(object.clone()).to_string();
    let mut message = entry.message.clone();
    while line.len() >= LINE && !message.is_empty() {
        let half = message.len() / 2;
        shorten(&mut message, half);
        object.insert("message".to_owned(), format!("{message}…").into());
        line = Value::Object(object.clone()).to_string();
    }
    line.push('\n');
    line
}

/// Cuts the text to at most `length` bytes, between two characters.
fn shorten(text: &mut String, length: usize) {
    let end = (0..=length.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
}

/// Microseconds since 1970.
fn micros(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_795_420_800_123)
    }

    #[test]
    fn a_line_says_when_how_bad_and_what() {
        let entry = Entry::new(LogLevel::Warning, "slot 2 failed 3 times in a row");
        assert_eq!(
            text(&entry, now(), false),
            "2026-11-23T08:00:00.123Z warning slot 2 failed 3 times in a row\n"
        );
        assert!(text(&entry, now(), true).contains("\x1b[33mwarning\x1b[0m slot"));
    }

    #[test]
    fn a_second_line_cannot_be_taken_for_an_entry() {
        let entry = Entry::new(LogLevel::Info, "one\n2026-11-23T08:00:00.123Z error two");
        let line = text(&entry, now(), false);
        assert_eq!(line.lines().nth(1).unwrap(), "    2026-11-23T08:00:00.123Z error two");
    }

    #[test]
    fn no_line_is_longer_than_a_pipe_takes_at_once() {
        for letter in ["x", "é", "\u{1F411}", "\"", "\\"] {
            let entry = Entry::new(LogLevel::Info, letter.repeat(5000)).with("HERDER_SLOT", 1);
            let line = text(&entry, now(), true);
            assert!(line.len() <= LINE && line.ends_with("…\n"));
            let line = json(&entry, now());
            assert!(line.len() <= LINE);
            let back: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(back["HERDER_SLOT"], "1");
            assert!(back["message"].as_str().unwrap().len() > 500);
        }
    }

    #[test]
    fn json_has_everything() {
        let mut entry = Entry::new(LogLevel::Error, "say \"no\"").with("HERDER_EXIT", "SIGKILL");
        entry.message_id = Some("bae9390874b542e6b9dac6efc7a26e92");
        let back: Value = serde_json::from_str(&json(&entry, now())).unwrap();
        assert_eq!(back["time"], "2026-11-23T08:00:00.123Z");
        assert_eq!(back["level"], "error");
        assert_eq!(back["message"], "say \"no\"");
        assert_eq!(back["MESSAGE_ID"], "bae9390874b542e6b9dac6efc7a26e92");
        assert_eq!(back["HERDER_EXIT"], "SIGKILL");
    }
}
