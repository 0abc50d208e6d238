//! Figures in few characters, for a screen that is read at a glance.

use std::time::Duration;

/// What is shown where nothing is known.
pub const UNKNOWN: &str = "-";

const GLYPHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A size as systemd writes it, in at most five characters: `512K`, `9.5M`, `1.2G`.
pub fn bytes(bytes: u64) -> String {
    let units = ["B", "K", "M", "G", "T", "P", "E"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // 1023.5 would be written 1024.
    while value >= 1023.5 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 9.95);
    format!("{value:.digits$}{}", units[unit])
}

/// A share of one CPU in per cent, in at most five characters: `0.3`, `99.9`, `1600`.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = usize::from(percent < 999.95);
    format!("{percent:.digits$}")
}

/// CPU time in at most six characters: `0.25s`, `83.2s`, `27min`, `4.6h`, `12.5d`.
pub fn cpu_time(usec: u64) -> String {
    let seconds = usec as f64 / 1e6;
    match seconds {
        _ if seconds < 9.995 => format!("{seconds:.2}s"),
        _ if seconds < 99.95 => format!("{seconds:.1}s"),
        _ if seconds < 6000.0 => format!("{:.0}min", seconds / 60.0),
        _ if seconds < 172_800.0 => format!("{:.1}h", seconds / 3600.0),
        _ => format!("{:.1}d", seconds / 86400.0),
    }
}

/// A span in one unit and at most five characters: `99s`, `75min`, `36h`, `12d`.
pub fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..=99 => format!("{seconds}s"),
        seconds @ 100..=5_999 => format!("{}min", seconds / 60),
        seconds @ 6_000..=172_799 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86400),
    }
}

/// `1 crash`, `2 crashes`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A picture of the values, one character each, the largest being a full block.
pub fn spark(values: impl Iterator<Item = u64> + Clone) -> String {
    let largest = values.clone().max().unwrap_or(0);
    let glyph = |value: u64| match (value, largest) {
        (0, _) | (_, 0) => GLYPHS[0],
        // Anything is more than nothing.
        _ => {
            let steps = GLYPHS.len() as u64 - 1;
            let step = (u128::from(value) * u128::from(steps)).div_ceil(u128::from(largest));
            GLYPHS[step.min(u128::from(steps)) as usize]
        }
    };
    values.map(glyph).collect()
}

/// A bar of this width, filled to `part` of `whole`.
pub fn bar(part: u64, whole: u64, width: u16) -> (String, String) {
    let width = usize::from(width);
    let filled = match whole {
        0 => 0,
        _ => (u128::from(part.min(whole)) * width as u128 / u128::from(whole)) as usize,
    };
    ("█".repeat(filled), "░".repeat(width - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (size, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0K"),
            (10_000, "9.8K"),
            (10_189, "10K"),
            (1_048_000, "1023K"),
            (1_048_500, "1.0M"),
            (536_870_912, "512M"),
            (1_288_490_189, "1.2G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn shares_and_times() {
        let shares =
            [(0.0, "0.0"), (0.003, "0.3"), (0.999, "99.9"), (2.5, "250.0"), (16.0, "1600")];
        for (share, text) in shares {
            assert_eq!(percent(share), text);
        }
        for (usec, text) in [
            (0, "0.00s"),
            (250_000, "0.25s"),
            (9_996_000, "10.0s"),
            (83_200_000, "83.2s"),
            (99_960_000, "2min"),
            (1_620_000_000, "27min"),
            (16_560_000_000, "4.6h"),
            (1_080_000_000_000, "12.5d"),
        ] {
            assert_eq!(cpu_time(usec), text);
        }
        for (seconds, text) in
            [(0, "0s"), (99, "99s"), (100, "1min"), (6000, "1h"), (172_800, "2d")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
        assert_eq!(
            (count(1, "crash", "crashes"), count(0, "x", "y")),
            ("1 crash".into(), "0 y".into())
        );
    }

    #[test]
    fn nothing_is_too_wide() {
        for power in 0..64 {
            let number = 1u64 << power;
            assert!(bytes(number - 1).len() <= 5 && bytes(number).len() <= 5, "{number}");
        }
        for seconds in (0..200_000).chain([86_400 * 9_999]) {
            assert!(age(Duration::from_secs(seconds)).len() <= 5, "{seconds}");
            assert!(cpu_time(seconds * 1_000_000).len() <= 7, "{seconds}");
        }
    }

    #[test]
    fn pictures() {
        assert_eq!(spark([0, 1, 50, 100].into_iter()), "▁▂▅█");
        assert_eq!(spark([0, 0].into_iter()), "▁▁");
        assert_eq!(spark([u64::MAX, 0].into_iter()), "█▁");
        assert_eq!(spark([].into_iter()), "");
        assert_eq!(bar(1, 4, 8), ("██".into(), "░░░░░░".into()));
        assert_eq!(bar(9, 4, 2), ("██".into(), String::new()));
        assert_eq!(bar(0, 0, 2), (String::new(), "░░".into()));
    }
}
