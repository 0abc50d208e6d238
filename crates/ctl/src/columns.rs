//! A table that fits a width: the least important columns are left out first, and no line is wrapped.
//!
//! Columns that hold only `-` and zeros are left out before any other. Columns of texts are cut before a column
//! is left out. Spare width goes to the texts, in their order.

use super::human::{fit, width_of};

/// Between two columns.
const GAP: usize = 2;

/// A cell without a value.
pub const NOTHING: &str = "-";

/// A column: its heading, and how to treat it.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What stands above it.
    pub heading: &'static str,
    /// Columns with a higher rank are left out earlier; those of rank 0 never.
    rank: u8,
    /// The width it may be cut to; `None` if it may not be cut.
    least: Option<usize>,
    right: bool,
}

impl Column {
    /// Of numbers, aligned to the right.
    pub const fn number(heading: &'static str, rank: u8) -> Column {
        Column { heading, rank, least: None, right: true }
    }

    /// Of words, as wide as the longest.
    pub const fn word(heading: &'static str, rank: u8) -> Column {
        Column { heading, rank, least: None, right: false }
    }

    /// Of texts, which may be cut to so many columns of the screen.
    pub const fn text(heading: &'static str, rank: u8, least: usize) -> Column {
        Column { heading, rank, least: Some(least), right: false }
    }
}

/// A column and the width of its widest cell.
struct Fitted<'a> {
    column: &'a Column,
    index: usize,
    natural: usize,
    says_nothing: bool,
}

impl Fitted<'_> {
    fn least(&self) -> usize {
        self.column.least.map_or(self.natural, |least| least.min(self.natural))
    }
}

/// The lines, headings first, each at most `width` wide unless the columns of rank 0 are wider.
pub fn table(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> Vec<String> {
    let mut shown: Vec<Fitted<'_>> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cells = || rows.iter().map(|row| row[index].as_str());
            let natural = cells().chain([column.heading]).map(width_of).max().unwrap_or(0);
            let says_nothing = cells().all(|cell| [NOTHING, "0"].contains(&cell));
            Fitted { column, index, natural, says_nothing }
        })
        .collect();
    while width.is_some_and(|width| least(&shown) > width) {
        let order = |one: &Fitted<'_>| (one.says_nothing, one.column.rank);
        let candidates = shown.iter().enumerate().filter(|(_, one)| one.column.rank > 0);
        let Some((goes, _)) = candidates.max_by_key(|(_, one)| order(one)) else { break };
        shown.remove(goes);
    }
    let mut spare = match width {
        Some(width) => width.saturating_sub(least(&shown)),
        None => usize::MAX,
    };
    let widths: Vec<usize> = shown
        .iter()
        .map(|one| {
            let more = spare.min(one.natural - one.least());
            spare -= more;
            one.least() + more
        })
        .collect();
    let line = |cell: &dyn Fn(&Fitted<'_>) -> String| {
        let cells = shown.iter().zip(&widths).map(|(one, &width)| {
            let text = fit(&cell(one), width);
            let blank = " ".repeat(width - width_of(&text).min(width));
            if one.column.right { blank + &text } else { text + &blank }
        });
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    let head = line(&|one| one.column.heading.to_owned());
    let body = rows.iter().map(|row| line(&|one| row[one.index].clone()));
    [head].into_iter().chain(body).collect()
}

/// The width of a line when every text is cut as far as it may be.
fn least(shown: &[Fitted<'_>]) -> usize {
    shown.iter().map(Fitted::least).sum::<usize>() + GAP * shown.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 5] = [
        Column::number("SLOT", 0),
        Column::word("STATE", 1),
        Column::number("OOM", 2),
        Column::text("LAST EXIT", 4, 5),
        Column::text("STATUS", 3, 6),
    ];

    fn lines(oom: &str, width: Option<usize>) -> Vec<String> {
        let row = |slot: &str, state: &str| {
            [slot, state, oom, "killed by SIGKILL", "10 requests"].map(str::to_owned).to_vec()
        };
        table(&COLUMNS, &[row("0", "ready"), row("10", "draining")], width)
    }

    #[test]
    fn without_a_width_everything_is_shown() {
        assert_eq!(
            lines("1", None),
            [
                "SLOT  STATE     OOM  LAST EXIT          STATUS",
                "   0  ready       1  killed by SIGKILL  10 requests",
                "  10  draining    1  killed by SIGKILL  10 requests",
            ]
        );
    }

    #[test]
    fn texts_are_cut_before_a_column_goes_and_the_least_column_goes_first() {
        assert_eq!(lines("1", Some(40))[2], "  10  draining    1  killed by…   10 re…");
        assert_eq!(lines("1", Some(34))[2], "  10  draining    1  kill…  10 re…");
        assert_eq!(lines("1", Some(33))[2], "  10  draining    1  10 requests");
        // A column of zeros is left out before all others.
        assert_eq!(lines("0", Some(33))[2], "  10  draining  killed b…  10 re…");
        assert_eq!(lines("-", Some(33)), lines("0", Some(33)));
        assert_eq!(lines("1", Some(5))[2], "  10");
        // There is always something.
        assert_eq!(lines("1", Some(2))[2], "  10");
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        for width in 4..80 {
            for line in lines("1", Some(width)) {
                assert!(width_of(&line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn wide_letters_keep_the_columns_straight() {
        let columns = [Column::word("NAME", 1), Column::number("N", 1)];
        let row = |name: &str| vec![name.to_owned(), "1".to_owned()];
        assert_eq!(
            table(&columns, &[row("工人"), row("e\u{301}")], None),
            ["NAME  N", "工人  1", "e\u{301}     1"]
        );
    }
}
