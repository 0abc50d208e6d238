//! What lies over the rest for a moment: the help, and the choice of a column.

use super::columns::ALL;
use super::keys::{BindingGroup, GROUPS};
use super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

/// The width of the names of keys in the help.
const LABELS: usize = 11;

/// The width of one column of the help.
const COLUMN: u16 = 38;

/// Explains the keys.
pub fn help(theme: Theme, frame: &mut Frame<'_>) {
    let columns = GROUPS.split_at(GROUPS.len() / 2);
    let columns = [columns.0, columns.1].map(|groups| explained(groups, theme));
    let height = columns.iter().map(Vec::len).max().unwrap_or(0) as u16;
    let inner = boxed(" Keys ", " any key closes this ", 2 * COLUMN, height, theme, frame);
    let (mut x, mut left) = (inner.x, inner.width);
    for lines in columns {
        let width = left.min(COLUMN);
        frame.render_widget(Paragraph::new(lines), Rect { x, width, ..inner });
        (x, left) = (x + width, left - width);
    }
}

fn explained(groups: &[BindingGroup], theme: Theme) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for group in groups {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::styled(group.title, theme.faint()));
        lines.extend(group.bindings.iter().map(|binding| {
            let label = Span::styled(format!("{:<LABELS$}", binding.label), theme.key());
            Line::from(vec![label, Span::raw(binding.what)])
        }));
    }
    lines
}

/// The columns, one of which is chosen.
pub fn sort(at: usize, theme: Theme, frame: &mut Frame<'_>) {
    let width = ALL.iter().map(|column| column.meaning().len()).max().unwrap_or(0) as u16 + 13;
    let inner = boxed(" Sort by ", " Enter, Esc ", width, ALL.len() as u16, theme, frame);
    let skipped = (at + 1).saturating_sub(inner.height.into());
    let shown = ALL.iter().enumerate().skip(skipped);
    for (y, (place, column)) in (inner.y..inner.bottom()).zip(shown) {
        let row = Rect { y, height: 1, ..inner };
        let name = Span::styled(format!(" {:<10} ", column.heading()), theme.key());
        frame.render_widget(Line::from(vec![name, column.meaning().into()]), row);
        if place == at {
            frame.buffer_mut().set_style(row, theme.chosen());
        }
    }
}

/// An empty box in the middle; what is inside of it.
fn boxed(
    title: &'static str,
    below: &'static str,
    width: u16,
    height: u16,
    theme: Theme,
    frame: &mut Frame<'_>,
) -> Rect {
    let whole = frame.area();
    let (width, height) = ((width + 4).min(whole.width), (height + 2).min(whole.height));
    let area = Rect {
        x: whole.x + (whole.width - width) / 2,
        y: whole.y + (whole.height - height) / 2,
        width,
        height,
    };
    let block = Block::bordered()
        .title(Span::styled(title, theme.strong()))
        .title_bottom(Line::styled(below, theme.faint()).right_aligned());
    let inner = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    Rect { x: inner.x + 1.min(inner.width), width: inner.width.saturating_sub(2), ..inner }
}
