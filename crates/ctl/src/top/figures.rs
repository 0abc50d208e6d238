//! Counts, bars and pictures of figures.

/// What is shown where nothing is known.
pub const UNKNOWN: &str = "-";

const GLYPHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `1 crash`, `2 crashes`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A picture of the values, one character each, the largest being a full block.
pub fn spark(values: impl Iterator<Item = u64> + Clone) -> String {
    let largest = values.clone().max().unwrap_or(0);
    let glyph = |value: u64| match (value, largest) {
        (0, _) | (_, 0) => GLYPHS[0],
        // A value above 0 is never drawn as 0.
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
    fn counts_have_the_right_number() {
        assert_eq!(count(1, "crash", "crashes"), "1 crash");
        assert_eq!(count(0, "crash", "crashes"), "0 crashes");
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
