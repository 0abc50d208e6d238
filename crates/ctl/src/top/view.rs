//! The whole screen, drawn from the state.
//!
//! Pure. One instance has, from the top: what it is about, the table of its workers, the selected worker,
//! and one line with news, a question or the keys. Works at any size, down to none; what there is no room
//! for is left out from the bottom of each part.

use super::dialog::Dialog;
use super::pane::Pane;
use super::state::{Screen, State, Tone};
use super::theme::Theme;
use super::{header, list, overlay, table};
use crate::human;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// Rows the table needs before there is room for details of the selected worker.
const ROWS_BEFORE_DETAILS: u16 = 4;

/// The longest news, in lines.
const LONGEST_NOTICE: usize = 3;

/// The keys to know, on the last line.
const HINTS: [(&str, &str); 9] = [
    ("?", "help"),
    ("q", "quit"),
    ("s", "sort"),
    ("r", "reverse"),
    ("R", "reload"),
    ("+ -", "scale"),
    ("c", "recycle"),
    ("k", "stop"),
    ("Space", "pause"),
];

const LIST_HINTS: [(&str, &str); 5] =
    [("?", "help"), ("q", "quit"), ("Up Down", "choose"), ("Enter", "open"), ("Space", "pause")];

/// Where the parts of the screen are.
struct Plan {
    header: u16,
    table: u16,
    details: u16,
    footer: Vec<String>,
}

impl Plan {
    fn of(state: &State, pane: &Pane) -> Plan {
        let height = state.size.height;
        let footer = footer_lines(state);
        let last = footer.len().max(1) as u16;
        let left = height.saturating_sub(last);
        // The table's headings and two rows are worth more than the end of the header.
        let header = header::lines(state, pane, Theme::new(false)).len() as u16;
        let header = header.min(left.saturating_sub(3).max(left.min(1)));
        let left = left - header;
        let details = if pane.selected.is_some() { table::DETAILS } else { 0 };
        let details = if left > details + ROWS_BEFORE_DETAILS { details } else { 0 };
        Plan { header, table: left - details, details, footer }
    }
}

/// How many workers the table has room for.
pub fn table_height(state: &State) -> usize {
    let Some(pane) = state.pane() else { return 0 };
    usize::from(Plan::of(state, pane).table.saturating_sub(1))
}

/// Draws everything.
pub fn render(state: &State, theme: Theme, frame: &mut Frame<'_>) {
    let whole = frame.area();
    if whole.is_empty() {
        return;
    }
    match state.screen {
        Screen::List => {
            let footer = footer_lines(state);
            let (body, last) = split(whole, footer.len().max(1) as u16);
            list::render(state, theme, frame.buffer_mut(), body);
            render_footer(state, theme, frame, last, &footer, String::new());
        }
        Screen::Instance(_) => {
            if let Some(pane) = state.pane() {
                render_instance(state, pane, theme, frame, whole);
            }
        }
    }
    match &state.dialog {
        Some(Dialog::Help) => overlay::help(theme, frame),
        Some(Dialog::Sort { at }) => overlay::sort(*at, theme, frame),
        Some(Dialog::Confirm { .. } | Dialog::Number { .. }) | None => {}
    }
}

fn render_instance(state: &State, pane: &Pane, theme: Theme, frame: &mut Frame<'_>, whole: Rect) {
    let plan = Plan::of(state, pane);
    let (body, last) = split(whole, plan.footer.len().max(1) as u16);
    let header = Rect { height: plan.header.min(body.height), ..body };
    let table = Rect { y: header.bottom(), height: body.height - header.height, ..body };
    let (table, details) = split(table, plan.details.min(table.height));

    let buffer = frame.buffer_mut();
    let lines = header::lines(state, pane, theme);
    let rows = (header.y..header.bottom()).zip(&lines);
    for (y, line) in rows {
        buffer.set_line(header.x, y, line, header.width);
    }
    let shown = table::render(state, pane, theme, buffer, table);
    if let Some(worker) = pane.selected_worker().filter(|_| !details.is_empty()) {
        table::details(worker, state.now.wall_usec, theme, buffer, details);
    }
    if !pane.is_current(state.now.monotonic, state.interval) {
        // All but the lines that say so.
        let told = header::trouble_lines(state, pane).len() as u16 + 1;
        let told = told.min(body.height);
        let past = Rect { y: body.y + told, height: body.height - told, ..body };
        buffer.set_style(past, Style::reset().add_modifier(Modifier::DIM));
    }
    render_footer(state, theme, frame, last, &plan.footer, shown);
}

/// All but the last rows, and those.
fn split(area: Rect, last: u16) -> (Rect, Rect) {
    let last = last.min(area.height);
    let above = Rect { height: area.height - last, ..area };
    (above, Rect { y: above.bottom(), height: last, ..area })
}

/// News or a question; none if the keys are to be shown.
fn footer_lines(state: &State) -> Vec<String> {
    let width = usize::from(state.size.width);
    let text = match (&state.dialog, state.notice()) {
        (Some(Dialog::Confirm { question, .. }), _) => {
            format!("{question} y yes, any other key no")
        }
        (Some(Dialog::Number { what, text, mistake, .. }), _) => {
            let mistake = mistake.as_ref().map(|why| format!("  ({why})")).unwrap_or_default();
            format!("{}{text}{mistake}", what.prompt())
        }
        (_, Some(notice)) => human::one_line(&notice.text),
        (_, None) => return Vec::new(),
    };
    wrapped(&text, width, LONGEST_NOTICE)
}

fn render_footer(
    state: &State,
    theme: Theme,
    frame: &mut Frame<'_>,
    area: Rect,
    lines: &[String],
    right: String,
) {
    let style = match (&state.dialog, state.notice()) {
        (Some(Dialog::Confirm { .. } | Dialog::Number { .. }), _) => theme.chosen(),
        (_, Some(notice)) => match notice.tone {
            Tone::Good => theme.strong(),
            Tone::Bad => theme.bad(),
            Tone::Busy => theme.busy(),
        },
        _ => Style::new(),
    };
    if !lines.is_empty() {
        frame.buffer_mut().set_style(area, style);
    }
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        frame.buffer_mut().set_stringn(area.x, y, line, area.width.into(), style);
    }
    if let (Some(Dialog::Number { what, text, .. }), false) = (&state.dialog, area.is_empty()) {
        let before = human::width_of(what.prompt()) + human::width_of(text);
        let x =
            area.x + u16::try_from(before).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
        frame.set_cursor_position(Position { x, y: area.y });
    }
    if lines.is_empty() {
        let hints: &[(&str, &str)] =
            if state.screen == Screen::List { &LIST_HINTS } else { &HINTS };
        let buffer = frame.buffer_mut();
        let taken = u16::try_from(human::width_of(&right)).unwrap_or(0).min(area.width);
        let room = area.width.saturating_sub(if taken == 0 { 0 } else { taken + 2 });
        buffer.set_line(area.x, area.y, &hinted(hints, theme, room.into()), room);
        buffer.set_stringn(area.right() - taken, area.y, right, taken.into(), theme.faint());
    }
}

/// The hints that fit as a whole.
fn hinted(hints: &[(&'static str, &'static str)], theme: Theme, width: usize) -> Line<'static> {
    let mut line = Line::default();
    for (key, what) in hints {
        let gap = if line.spans.is_empty() { "" } else { "   " };
        let more =
            [Span::raw(gap), Span::styled(*key, theme.key()), Span::raw(" "), Span::raw(*what)];
        if line.width() + more.iter().map(Span::width).sum::<usize>() > width {
            break;
        }
        line.spans.extend(more);
    }
    line
}

/// The text in lines of this width; what is more than `most` lines is cut.
pub fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut lines = human::wrap(text, Some(width));
    if lines.len() > most {
        let rest = lines.split_off(most.saturating_sub(1)).join(" ");
        lines.push(human::fit(&rest, width));
    }
    lines
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
