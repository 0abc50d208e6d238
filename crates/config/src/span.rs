//! Time spans as systemd.time(7) writes them: `1min 30s`, `500ms`, `infinity`, a bare number of
//! seconds.

use herder_core::Span;

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

/// The units of systemd.time(7), in microseconds. A month is 30.44 days, a year 365.25.
const UNITS: [(&[&str], u64); 9] = [
    (&["usec", "us", "µs", "μs"], 1),
    (&["msec", "ms"], 1_000),
    (&["seconds", "second", "sec", "s", ""], SECOND),
    (&["minutes", "minute", "min", "m"], 60 * SECOND),
    (&["hours", "hour", "hr", "h"], 3_600 * SECOND),
    (&["days", "day", "d"], DAY),
    (&["weeks", "week", "w"], 7 * DAY),
    (&["months", "month", "M"], 2_629_800 * SECOND),
    (&["years", "year", "y"], 31_557_600 * SECOND),
];

/// Reads a time span; an error says what is wrong with it.
pub fn parse(text: &str) -> Result<Span, String> {
    let text = text.trim();
    if text == "infinity" {
        return Ok(Span::MAX);
    }
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let number_ends =
            rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_ends);
        let after = after.trim_start();
        let unit_ends = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_ends);
        if number.is_empty() {
            return Err(format!("has no number before `{}`", rest.escape_debug()));
        }
        let size = UNITS
            .iter()
            .find(|(names, _)| names.contains(&unit))
            .map(|(_, size)| *size)
            .ok_or_else(|| format!("has an unknown unit `{unit}`"))?;
        let part =
            scale(number, size).ok_or_else(|| format!("has a number out of range, `{number}`"))?;
        total = total.checked_add(part).ok_or("is longer than time itself")?;
        rest = after.trim_start();
    }
    Ok(Span(total))
}

/// `number` (with or without a fraction) times `size`, in whole microseconds.
fn scale(number: &str, size: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) {
        return None;
    }
    let mut sum = whole.parse::<u64>().ok()?.checked_mul(size)?;
    let mut share = size;
    for digit in fraction.chars() {
        share /= 10;
        sum = sum.checked_add(u64::from(digit.to_digit(10)?) * share)?;
    }
    Some(sum)
}

/// The span with every unit it needs, so that it reads back as it was; unlike `Display`, which
/// is for people and stops after two.
pub fn exact(span: Span) -> String {
    if span == Span::MAX || span == Span::ZERO {
        return span.to_string();
    }
    let mut left = span.0;
    let mut parts = Vec::new();
    for (unit, size) in [
        ("d", DAY),
        ("h", 3_600 * SECOND),
        ("min", 60 * SECOND),
        ("s", SECOND),
        ("ms", 1_000),
        ("us", 1),
    ] {
        if left >= size {
            parts.push(format!("{}{unit}", left / size));
            left %= size;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_reads_is_read() {
        for (text, micros) in [
            ("0", 0),
            ("5", 5_000_000),
            ("1.5", 1_500_000),
            ("2 h", 7_200_000_000),
            ("2hours", 7_200_000_000),
            ("48hr", 172_800_000_000),
            ("1y 12month", 31_557_600_000_000 + 12 * 2_629_800_000_000),
            ("55s500ms", 55_500_000),
            ("300ms20s 5day", 432_020_300_000),
            ("1min 30", 90_000_000),
            ("0.5min", 30_000_000),
            ("7µs", 7),
            (" 3 weeks ", 1_814_400_000_000),
            ("infinity", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(Span(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "s",
            "-1",
            "5 parsecs",
            "1..5",
            ".5",
            "5.",
            "1,5",
            "99999999999999999999",
            "9999999999y",
            "infinity 1s",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for micros in [0, 1, 999, 61_000_001, 90_061_001_001, u64::MAX, u64::MAX - 1] {
            assert_eq!(parse(&exact(Span(micros))), Ok(Span(micros)));
        }
    }
}
