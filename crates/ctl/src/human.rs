//! Figures and texts as people read them, no wider than their terminal.
//!
//! Sizes and spans are written as systemd writes them. Widths are those of the characters on a screen
//! (a Chinese one takes two columns, a combining accent none), not their number.

use herder_core::Span;
use herder_wire::text::harmless;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The width to fit a text to: that of the terminal, unless `COLUMNS` says otherwise. In a pipe
/// nothing is cut.
pub fn terminal_width() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    asked.or_else(terminal).filter(|&columns| columns >= 20)
}

/// The columns a text takes on a screen.
pub fn width_of(text: &str) -> usize {
    text.width()
}

/// One line without anything a terminal acts on.
pub fn one_line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

/// The text, cut to so many columns.
pub fn fit(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used >= width {
            break;
        }
        kept.push(letter);
    }
    if width > 0 {
        kept.truncate(kept.trim_end().len());
        kept.push('…');
    }
    kept
}

/// The text in lines of at most so many columns, broken between words where that is possible.
pub fn wrap(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width.map(|width| width.max(1)) else { return vec![text.to_owned()] };
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && width_of(&line) + 1 + width_of(word) > width {
            lines.push(std::mem::take(&mut line));
        } else if !line.is_empty() {
            line.push(' ');
        }
        for letter in word.chars() {
            if width_of(&line) + letter.width().unwrap_or(0) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(letter);
        }
    }
    lines.push(line);
    lines
}

/// Bytes as systemd writes them: `512B`, `12.3M`; a decimal where it is not zero, cut off.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u32); 6] =
        [("E", 60), ("P", 50), ("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    let Some((unit, shift)) = UNITS.into_iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes}B");
    };
    let whole = bytes >> shift;
    // The rest is less than 2^60, and ten times that still a u64.
    match ((bytes - (whole << shift)) * 10) >> shift {
        0 => format!("{whole}{unit}"),
        tenth => format!("{whole}.{tenth}{unit}"),
    }
}

/// CPU time per time: `12.5%`, where 100% is one CPU kept busy.
pub fn percent(share: f64) -> String {
    let percent = share.max(0.0) * 100.0;
    if percent < 99.95 { format!("{percent:.1}%") } else { format!("{percent:.0}%") }
}

/// A span in microseconds as systemd writes it, without fractions of a second: `1min 30s`.
pub fn age(usec: u64) -> String {
    Span::secs(usec / 1_000_000).to_string()
}

/// A span in microseconds as systemd writes it, to the millisecond below a minute: `1.5s`, `20ms`.
pub fn span(usec: u64) -> String {
    let millis = usec.div_ceil(1_000);
    if !(1_000..60_000).contains(&millis) {
        return if millis < 1_000 { Span::millis(millis).to_string() } else { age(usec) };
    }
    let text = format!("{}.{:03}", millis / 1_000, millis % 1_000);
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_systemd_writes_them() {
        for (size, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1K"),
            (1536, "1.5K"),
            (12_897_485, "12.3M"),
            (104_857_600, "100M"),
            (u64::MAX, "15.9E"),
        ] {
            assert_eq!(bytes(size), text);
        }
    }

    #[test]
    fn shares_and_spans_are_short() {
        for (share, text) in
            [(0.0, "0.0%"), (0.1254, "12.5%"), (0.9999, "100%"), (3.999, "400%"), (-0.1, "0.0%")]
        {
            assert_eq!(percent(share), text);
        }
        assert_eq!(age(3_723_400_000), "1h 2min");
        assert_eq!(age(999_999), "0s");
        for (usec, text) in [
            (0, "0s"),
            (1, "1ms"),
            (1_000_000, "1s"),
            (1_500_000, "1.5s"),
            (20_034_000, "20.034s"),
            (61_500_000, "1min 1s"),
        ] {
            assert_eq!(span(usec), text);
        }
    }

    #[test]
    fn what_is_cut_fits_whatever_its_letters_are() {
        assert_eq!(fit("four", 4), "four");
        assert_eq!(fit("five!", 4), "fiv…");
        assert_eq!(fit("a bcd", 3), "a…");
        assert_eq!(fit("工人工人", 8), "工人工人");
        assert_eq!(fit("工人工人", 7), "工人工…");
        assert_eq!(fit("工人工人", 6), "工人…");
        assert_eq!(fit("e\u{301}e\u{301}e\u{301}", 3), "e\u{301}e\u{301}e\u{301}");
        assert_eq!(
            (fit("x", 1), fit("xy", 1), fit("xy", 0)),
            ("x".into(), "…".into(), String::new())
        );
    }

    #[test]
    fn long_texts_are_broken_between_words_or_else_anywhere() {
        assert_eq!(wrap("one two three", None), ["one two three"]);
        assert_eq!(wrap("one two three", Some(7)), ["one two", "three"]);
        assert_eq!(wrap("one twothree", Some(4)), ["one", "twot", "hree"]);
        assert_eq!(wrap("", Some(4)), [""]);
        assert_eq!(wrap("工人 工人", Some(3)), ["工", "人", "工", "人"]);
    }
}
