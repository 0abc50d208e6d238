//! Text that is fit for a terminal, and moments as text.

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

/// A moment, in microseconds since 1970, in UTC as RFC 3339 writes it, to the millisecond.
pub fn timestamp(usec: u64) -> String {
    let (seconds, millis) = (usec / 1_000_000, usec / 1_000 % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
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
            assert_eq!(timestamp(seconds * 1_000_000), text);
        }
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
