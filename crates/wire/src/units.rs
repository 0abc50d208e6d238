//! Time spans, sizes and shares as text: read from settings, and written the same way wherever a figure
//! is shown (the log, `herder status`, `herder top`; the status page does the same in JavaScript).
//!
//! There are two forms for each: the short one, for people, is rounded; the exact one, for settings, reads
//! back as the same value.

use std::time::Duration;

/// A span that never ends, or a size without a limit: systemd's `infinity`.
pub const INFINITY: u64 = u64::MAX;

const MILLISECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The units of systemd.time(7) and their names, in microseconds. A month is 30.44 days, a year 365.25.
const SPAN_UNITS: [(&[&str], u64); 9] = [
    (&["usec", "us", "µs", "μs"], 1),
    (&["msec", "ms"], MILLISECOND),
    (&["seconds", "second", "sec", "s", ""], SECOND),
    (&["minutes", "minute", "min", "m"], MINUTE),
    (&["hours", "hour", "hr", "h"], HOUR),
    (&["days", "day", "d"], DAY),
    (&["weeks", "week", "w"], 7 * DAY),
    (&["months", "month", "M"], 2_629_800 * SECOND),
    (&["years", "year", "y"], 31_557_600 * SECOND),
];

/// Those that are written, the largest first.
const WRITTEN_SPAN_UNITS: [(&str, u64); 6] =
    [("d", DAY), ("h", HOUR), ("min", MINUTE), ("s", SECOND), ("ms", MILLISECOND), ("us", 1)];

/// The suffixes of sizes, and which power of 1024 each stands for.
const SIZE_UNITS: [(&str, u32); 8] =
    [("", 0), ("B", 0), ("K", 1), ("M", 2), ("G", 3), ("T", 4), ("P", 5), ("E", 6)];

/// Reads a span as systemd.time(7) describes it, in microseconds: `1min 30s`, `500ms`, `infinity`, or a
/// number of seconds. An error is a clause that says what is wrong with the text.
pub fn parse_span(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if text == "infinity" {
        return Ok(INFINITY);
    }
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let unit_ends = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_ends);
        if number.is_empty() {
            return Err(format!("has no number before `{}`", rest.escape_debug()));
        }
        let (_, length) = SPAN_UNITS
            .iter()
            .find(|(names, _)| names.contains(&unit))
            .ok_or_else(|| format!("has an unknown unit `{unit}`"))?;
        let part = scaled(number, *length)
            .ok_or_else(|| format!("has a number out of range, `{number}`"))?;
        total = total.checked_add(part).ok_or("is longer than time itself")?;
        rest = after.trim_start();
    }
    Ok(total)
}

/// A span as people read it: its two largest units (`1min 30s`, `1s 500ms`), and no microseconds beside
/// a longer unit.
pub fn span(usec: u64) -> String {
    match usec {
        0..MILLISECOND | INFINITY => written_span(usec, 2),
        _ => written_span(usec - usec % MILLISECOND, 2),
    }
}

/// [`span`] of a [`Duration`].
pub fn duration(duration: Duration) -> String {
    span(u64::try_from(duration.as_micros()).unwrap_or(INFINITY))
}

/// A span in whole seconds, for ages, whose fractions are out of date when they are read: `1h 2min`.
pub fn age(usec: u64) -> String {
    match usec {
        INFINITY => span(INFINITY),
        _ => span(usec - usec % SECOND),
    }
}

/// A span with every unit it needs, so that [`parse_span`] reads the same value back.
pub fn exact_span(usec: u64) -> String {
    written_span(usec, WRITTEN_SPAN_UNITS.len())
}

fn written_span(usec: u64, most_units: usize) -> String {
    match usec {
        INFINITY => return "infinity".to_owned(),
        0 => return "0s".to_owned(),
        _ => {}
    }
    let mut left = usec;
    let mut parts = Vec::new();
    for (unit, length) in WRITTEN_SPAN_UNITS {
        if left >= length && parts.len() < most_units {
            parts.push(format!("{}{unit}", left / length));
        }
        left %= length;
    }
    parts.join(" ")
}

/// Reads a size in bytes as systemd.resource-control(5) describes it: `512M`, `1.5G`, `infinity`, or a
/// number of bytes. Suffixes are powers of 1024. An error is what is wrong, and what to write instead.
pub fn parse_size(text: &str) -> Result<u64, (String, &'static str)> {
    const ADVICE: &str =
        "write a number of bytes, or one with K, M, G or T after it such as `512M`";
    let text = text.trim();
    if text == "infinity" {
        return Ok(INFINITY);
    }
    let (number, unit) = split_number(text);
    let Some((_, power)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let advice = match resembles_size_unit(unit) {
            true => "write the letter alone, as a capital: `512M`",
            false => ADVICE,
        };
        return Err((format!("has an unknown unit `{}`", unit.escape_debug()), advice));
    };
    let bytes = scaled(number, 1 << (10 * power)).filter(|&bytes| bytes != INFINITY);
    bytes.ok_or_else(|| (format!("has no number of bytes, `{}`", number.escape_debug()), ADVICE))
}

/// `MB`, `mib`, `g`: a suffix that others write for one of ours.
fn resembles_size_unit(unit: &str) -> bool {
    SIZE_UNITS.iter().skip(2).any(|(name, _)| {
        let rest = unit.strip_prefix(|c: char| c.eq_ignore_ascii_case(&name.as_bytes()[0].into()));
        rest.is_some_and(|rest| matches!(rest, "" | "B" | "b" | "iB" | "ib"))
    })
}

/// A size as people read it, in its largest unit: `512B`, `12.3M`. It has a decimal where that is not
/// zero, cut off and not rounded: a size below a limit never reads as if it had reached it.
pub fn size(bytes: u64) -> String {
    if bytes == INFINITY {
        return "infinity".to_owned();
    }
    let unit = SIZE_UNITS.iter().rev().find(|(_, power)| bytes >> (10 * power) > 0);
    let &(name, power) = unit.filter(|(_, power)| *power > 0).unwrap_or(&SIZE_UNITS[1]);
    let whole = bytes >> (10 * power);
    // The rest is less than 2^60, and ten times that still a u64.
    match ((bytes - (whole << (10 * power))) * 10) >> (10 * power) {
        0 => format!("{whole}{name}"),
        tenth => format!("{whole}.{tenth}{name}"),
    }
}

/// A size in the largest unit that does not round it, so that [`parse_size`] reads the same value back.
pub fn exact_size(bytes: u64) -> String {
    match bytes {
        INFINITY => return "infinity".to_owned(),
        0 => return "0".to_owned(),
        _ => {}
    }
    let divides = |power: u32| bytes % (1 << (10 * power)) == 0;
    let unit = SIZE_UNITS.iter().skip(2).rev().find(|(_, power)| divides(*power));
    let (name, power) = unit.unwrap_or(&SIZE_UNITS[0]);
    format!("{}{name}", bytes >> (10 * power))
}

/// Reads a share such as `150%` or `12.5%`, in hundredths of a per cent; `None` if it is no such thing.
pub fn parse_percent(text: &str) -> Option<u32> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let hundredths = scaled(number, 100).filter(|_| is_number && decimals <= 2)?;
    u32::try_from(hundredths).ok()
}

/// A share of a setting, given in hundredths of a per cent, so that [`parse_percent`] reads it back:
/// `12.5%`.
pub fn exact_percent(hundredths: u32) -> String {
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:02}") };
    format!("{whole}{}%", fraction.trim_end_matches('0'))
}

/// A share that was measured, 1 being the whole: one decimal below 100% (`12.5%`), none above (`250%`).
pub fn percent(share: f64) -> String {
    let percent = share.max(0.0) * 100.0;
    if percent < 99.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

/// The number a text begins with, and what follows it after blanks.
fn split_number(text: &str) -> (&str, &str) {
    let ends = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(ends);
    (number, rest.trim_start())
}

/// `number`, with or without a fraction, times `unit`, rounded down; `None` if it is no number or does
/// not fit.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (number, "0"),
    };
    // Below the ninth digit there is not one byte of a gigabyte, nor a microsecond of a minute.
    if fraction.len() > 9 {
        return None;
    }
    let digits = u128::from(fraction.parse::<u64>().ok()?);
    let part = digits * u128::from(unit) / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
#[path = "units_tests.rs"]
mod tests;
