//! Sizes in bytes as systemd.resource-control(5) writes them: `512M`, `1.5G`, a bare number of bytes,
//! `infinity`. The suffixes are powers of 1024.

use herder_core::Size;

const UNITS: [(&str, u32); 8] =
    [("", 0), ("B", 0), ("K", 1), ("M", 2), ("G", 3), ("T", 4), ("P", 5), ("E", 6)];

/// Reads a size; an error says what is wrong with it, and what to write.
pub fn parse(text: &str) -> Result<Size, (String, &'static str)> {
    const ADVICE: &str =
        "write a number of bytes, or one with K, M, G or T after it such as `512M`";
    let text = text.trim();
    if text == "infinity" {
        return Ok(Size::MAX);
    }
    let number_ends = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let unit = unit.trim_start();
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let Some((_, power)) = known else {
        let like = UNITS.iter().skip(2).find(|(name, _)| {
            let rest =
                unit.strip_prefix(|c: char| c.eq_ignore_ascii_case(&name.as_bytes()[0].into()));
            rest.is_some_and(|rest| matches!(rest, "" | "B" | "b" | "iB" | "ib"))
        });
        let advice =
            if like.is_some() { "write the letter alone, as a capital: `512M`" } else { ADVICE };
        return Err((format!("has an unknown unit `{}`", unit.escape_debug()), advice));
    };
    let wrong = || (format!("has no number of bytes, `{}`", number.escape_debug()), ADVICE);
    let size = scale(number, 1_u64 << (10 * power)).ok_or_else(wrong)?;
    Ok(Size(size))
}

/// `number` (with or without a fraction) times `unit`, rounded down.
fn scale(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (number, "0"),
    };
    // Nine digits of a fraction are one byte of a gigabyte.
    if fraction.len() > 9 {
        return None;
    }
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit)
        / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let sum = u128::from(whole.parse::<u64>().ok()?) * u128::from(unit) + part;
    u64::try_from(sum).ok().filter(|&size| size != u64::MAX)
}

/// The size with the largest unit that does not round it, so that it reads back as it was; unlike
/// `Display`, which is for people.
pub fn exact(size: Size) -> String {
    if size == Size::MAX || size.0 == 0 {
        return size.to_string();
    }
    let (name, power) = UNITS[2..]
        .iter()
        .rev()
        .find(|(_, power)| size.0 % (1 << (10 * power)) == 0)
        .unwrap_or(&UNITS[0]);
    format!("{}{name}", size.0 >> (10 * power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_reads_is_read() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1K", 1024),
            ("512M", 512 << 20),
            ("512 M", 512 << 20),
            ("1.5G", 3 << 29),
            ("0.25K", 256),
            ("12B", 12),
            ("2T", 2 << 40),
            ("infinity", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_to_write() {
        for text in ["", "M", "-1", "1.", ".5M", "5 parsecs", "99999999999T", "1,5G", "1 2", "+1"] {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["512MB", "512MiB", "512m", "1gb"] {
            assert!(parse(text).unwrap_err().1.contains("the letter alone"), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for bytes in [0, 1, 1023, 1024, 1025, 512 << 20, (1 << 30) + 1024, 5 << 40, u64::MAX] {
            assert_eq!(parse(&exact(Size(bytes))), Ok(Size(bytes)));
        }
    }
}
