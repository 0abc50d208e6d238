//! Texts that fit a terminal.
//!
//! Widths are those of the characters on a screen
//! (a Chinese one takes two columns, a combining accent none), not their number.

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

#[cfg(test)]
mod tests {
    use super::*;

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
