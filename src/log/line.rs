//! Entries as lines: text for people, JSON for programs. At most [`LINE`] bytes each.

use super::{Entry, Priority};
use serde_json::{Map, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// The longest line, in bytes. What a pipe takes in one piece or not at all (pipe(7), PIPE_BUF).
pub const LINE: usize = 4096;

/// `2026-11-23T08:15:00.123Z warning message`
pub fn text(entry: &Entry, now: SystemTime, colour: bool) -> String {
    let (dim, paint, plain) = match (colour, entry.priority) {
        (false, _) => ("", "", ""),
        (true, Priority::Error) => ("\x1b[2m", "\x1b[1;31m", "\x1b[0m"),
        (true, Priority::Warning) => ("\x1b[2m", "\x1b[33m", "\x1b[0m"),
        (true, Priority::Notice) => ("\x1b[2m", "\x1b[1m", "\x1b[0m"),
        (true, Priority::Info | Priority::Debug) => ("\x1b[2m", "\x1b[2m", "\x1b[0m"),
    };
    let time = timestamp(now);
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
    object.insert("time".to_owned(), timestamp(now).into());
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

/// The text without anything a terminal acts on: control characters are spelled out, but for the
/// ends of lines.
pub fn harmless(text: &str) -> String {
    if !text.contains(|letter: char| letter.is_control()) {
        return text.to_owned();
    }
    let mut harmless = String::with_capacity(text.len());
    for letter in text.trim_end().chars() {
        match letter {
            '\n' => harmless.push('\n'),
            '\t' => harmless.push(' '),
            letter if letter.is_control() => harmless.extend(letter.escape_default()),
            letter => harmless.push(letter),
        }
    }
    harmless
}

/// Cuts the text to at most `length` bytes, between two characters.
fn shorten(text: &mut String, length: usize) {
    let end = (0..=length.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.truncate(end.unwrap_or(0));
}

/// A moment in UTC as RFC 3339 writes it, to the millisecond.
pub fn timestamp(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let millis = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The Gregorian date of a day counted from 1970-01-01. Years are counted from March, so that the
/// leap day is the last; month lengths then repeat every five months, leap years every 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_795_420_800_123)
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_709_251_200, "2024-03-01T00:00:00.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_line_says_when_how_bad_and_what() {
        let entry = Entry::new(Priority::Warning, "slot 2 failed 3 times in a row");
        assert_eq!(
            text(&entry, now(), false),
            "2026-11-23T08:00:00.123Z warning slot 2 failed 3 times in a row\n"
        );
        assert!(text(&entry, now(), true).contains("\x1b[33mwarning\x1b[0m slot"));
    }

    #[test]
    fn a_second_line_cannot_be_taken_for_an_entry() {
        let entry = Entry::new(Priority::Info, "one\n2026-11-23T08:00:00.123Z error two");
        let line = text(&entry, now(), false);
        assert_eq!(line.lines().nth(1).unwrap(), "    2026-11-23T08:00:00.123Z error two");
    }

    #[test]
    fn no_line_is_longer_than_a_pipe_takes_at_once() {
        for letter in ["x", "é", "\u{1F411}", "\"", "\\"] {
            let entry = Entry::new(Priority::Info, letter.repeat(5000)).with("HERDER_SLOT", 1);
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
        let mut entry = Entry::new(Priority::Error, "say \"no\"").with("HERDER_EXIT", "SIGKILL");
        entry.message_id = Some("bae9390874b542e6b9dac6efc7a26e92");
        let back: Value = serde_json::from_str(&json(&entry, now())).unwrap();
        assert_eq!(back["time"], "2026-11-23T08:00:00.123Z");
        assert_eq!(back["level"], "error");
        assert_eq!(back["message"], "say \"no\"");
        assert_eq!(back["MESSAGE_ID"], "bae9390874b542e6b9dac6efc7a26e92");
        assert_eq!(back["HERDER_EXIT"], "SIGKILL");
    }

    #[test]
    fn what_a_terminal_would_act_on_is_spelled_out() {
        assert_eq!(harmless("plain ü 🐑"), "plain ü 🐑");
        assert_eq!(
            harmless("a\x1b]0;t\x07\rb\tc\u{9b}1m\0"),
            "a\\u{1b}]0;t\\u{7}\\rb c\\u{9b}1m\\u{0}"
        );
        assert_eq!(harmless("two\nlines\n"), "two\nlines");
    }
}
