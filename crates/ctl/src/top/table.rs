//! The table of workers, and more of the one that is selected.

use super::columns::{Column, fitting, long_exit};
use super::figures::{self, UNKNOWN};
use super::pane::Pane;
use super::state::State;
use super::theme::Theme;
use crate::human::{self, fit, one_line};
use herder_wire::status::Worker;
use herder_wire::units;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// The lines that tell more of a worker.
pub const DETAILS: u16 = 4;

/// Draws headings and rows; which rows those are, for people.
pub fn render(state: &State, pane: &Pane, theme: Theme, buffer: &mut Buffer, area: Rect) -> String {
    let Some(status) = pane.status.as_ref().filter(|_| !area.is_empty()) else {
        return String::new();
    };
    let now = state.now.wall_usec;
    let columns = fitting(&status.workers, state.sort, now, area.width.into());
    headings(&columns, state, theme, buffer, Rect { height: 1, ..area });

    let rows = pane.rows(state.sort);
    let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if rows.is_empty() {
        buffer.set_stringn(body.x, body.y, "no workers", body.width.into(), theme.faint());
    }
    let shown = (body.y..body.bottom()).zip(rows.iter().skip(pane.scroll));
    for (y, worker) in shown {
        let line = Rect { y, height: 1, ..body };
        row(worker, &columns, now, theme, buffer, line);
        if pane.selected.is_some_and(|selected| selected.worker == worker.id) {
            buffer.set_style(line, theme.chosen());
        }
    }
    let last = rows.len().min(pane.scroll + usize::from(body.height));
    match last.checked_sub(pane.scroll) {
        Some(1..) if last - pane.scroll < rows.len() => {
            format!("{}-{last} of {}", pane.scroll + 1, rows.len())
        }
        _ => String::new(),
    }
}

fn headings(
    columns: &[(Column, usize)],
    state: &State,
    theme: Theme,
    buffer: &mut Buffer,
    area: Rect,
) {
    buffer.set_style(area, theme.heading(false));
    let mut x = area.x;
    for (column, width) in columns {
        let sorted = *column == state.sort.column;
        let heading = column.heading();
        // The arrow stands at the side where there is room: a number's heading is at its right end.
        let text = if column.is_number() {
            format!("{heading:>width$}")
        } else {
            format!("{heading:<width$}")
        };
        let end = cell(buffer, x, area, *width, &text, theme.heading(sorted));
        if sorted {
            let arrow = if state.sort.is_descending() { "▼" } else { "▲" };
            let length = heading.len() as u16;
            let at = if column.is_number() { end.saturating_sub(length + 1) } else { x + length };
            if (x..area.right()).contains(&at) {
                buffer.set_string(at, area.y, arrow, theme.heading(true));
            }
        }
        x = end.saturating_add(1);
    }
}

fn row(
    worker: &Worker,
    columns: &[(Column, usize)],
    now: u64,
    theme: Theme,
    buffer: &mut Buffer,
    area: Rect,
) {
    let mut x = area.x;
    for (column, width) in columns {
        let text = fit(&column.text(worker, now, *width), *width);
        let style = style(*column, worker, &text, theme);
        let text = if column.is_number() { format!("{text:>width$}") } else { text };
        x = cell(buffer, x, area, *width, &text, style).saturating_add(1);
    }
}

/// Writes a cell; where it ends.
fn cell(buffer: &mut Buffer, x: u16, area: Rect, width: usize, text: &str, style: Style) -> u16 {
    let end = x.saturating_add(u16::try_from(width).unwrap_or(u16::MAX)).min(area.right());
    if x < end {
        buffer.set_stringn(x, area.y, text, (end - x).into(), style);
    }
    end
}

fn style(column: Column, worker: &Worker, text: &str, theme: Theme) -> Style {
    if text == UNKNOWN {
        return theme.faint();
    }
    match column {
        Column::State => theme.worker(worker.state),
        Column::LastExit => {
            let exit = worker.last_exit.as_ref();
            exit.map(|exit| theme.exit(exit.cause, exit.exit_status)).unwrap_or_default()
        }
        Column::Cpu if worker.usage.cpu_share >= Some(0.9) => theme.strong(),
        Column::Respawns if worker.respawns_of_slot > 0 => theme.strong(),
        _ => Style::new(),
    }
}

/// Draws what there was no room for in the table.
pub fn details(worker: &Worker, now: u64, theme: Theme, buffer: &mut Buffer, area: Rect) {
    let width = usize::from(area.width);
    let pid = worker.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
    let title = format!(
        "── worker {} in slot {}{pid}, generation {} ",
        worker.id, worker.slot, worker.generation
    );
    let rule = "─".repeat(width.saturating_sub(human::width_of(&title)));
    let lines = [
        (format!("{title}{rule}"), theme.faint()),
        (first_line(worker), Style::new()),
        (second_line(worker, now), Style::new()),
        (third_line(worker), Style::new()),
    ];
    for (y, (line, style)) in (area.y..area.bottom()).zip(lines) {
        buffer.set_stringn(area.x, y, fit(&line, width), width, style);
    }
}

fn first_line(worker: &Worker) -> String {
    let usage = &worker.usage;
    let mut parts = vec![match worker.evidence {
        Some(evidence) => format!("{} ({evidence})", worker.state),
        None => worker.state.to_string(),
    }];
    parts.extend(usage.cpu_usec.map(|usec| format!("CPU {}", units::span(usec))));
    parts.extend(usage.memory_bytes.map(|size| {
        let peak = usage.memory_peak_bytes.map(|peak| format!(" (peak {})", units::size(peak)));
        format!("memory {}{}", units::size(size), peak.unwrap_or_default())
    }));
    parts.extend(usage.tasks.map(|tasks| figures::count(tasks, "task", "tasks")));
    parts.extend(usage.file_descriptors.map(|count| figures::count(count, "fd", "fds")));
    parts.push(format!("age {}", units::age(worker.age_usec)));
    parts.join(", ")
}

fn second_line(worker: &Worker, now: u64) -> String {
    let mut line = match &worker.last_exit {
        Some(exit) => {
            let lived = units::span(exit.lived_usec);
            let ready = if exit.was_ready { "had been ready" } else { "never ready" };
            format!("before: {}, lived {lived}, {ready}", long_exit(exit, now))
        }
        None => figures::count(worker.respawns_of_slot, "respawn", "respawns"),
    };
    if let Some(kills @ 1..) = worker.oom_kills {
        line.push_str(&format!(", {}", figures::count(kills, "OOM kill", "OOM kills")));
    }
    line
}

fn third_line(worker: &Worker) -> String {
    let says = worker.status.as_deref().map(|status| format!("says: {}", one_line(status)));
    let lacks = worker.diagnosis.as_deref().map(|why| format!("not ready: {}", one_line(why)));
    let cgroup = || worker.cgroup.as_deref().map(|cgroup| format!("cgroup {}", one_line(cgroup)));
    match (says, lacks) {
        (Some(says), Some(lacks)) => format!("{says}, {lacks}"),
        (says, lacks) => says.or(lacks).or_else(cgroup).unwrap_or_default(),
    }
}
