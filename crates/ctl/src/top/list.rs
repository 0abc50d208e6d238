//! Several instances, one line each.

use super::figures::{self, UNKNOWN};
use super::pane::Pane;
use super::state::State;
use super::theme::Theme;
use crate::human::{fit, one_line};
use herder_wire::status::Status;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// The narrowest and the widest column of names.
const NAMES: (usize, usize) = (8, 24);

/// Draws the list.
pub fn render(state: &State, theme: Theme, buffer: &mut Buffer, area: Rect) {
    if area.is_empty() {
        return;
    }
    let width = usize::from(area.width);
    let names = state.panes.iter().map(|pane| pane.name.chars().count()).max().unwrap_or(0);
    let names = names.clamp(NAMES.0, NAMES.1);
    let paused = if state.paused { "  paused" } else { "" };
    let title = Line::from(vec![
        Span::styled(
            figures::count(state.panes.len() as u64, "instance", "instances"),
            theme.strong(),
        ),
        Span::styled(paused, theme.strong()),
    ]);
    buffer.set_line(area.x, area.y, &title, area.width);

    let heading = format!(
        "{:<names$}  {:<9}  {:>9}  {:>7}  {:>5}  {:>5}  STATUS",
        "INSTANCE", "STATE", "READY", "WAITING", "CPU%", "MEM"
    );
    let rows = Rect { y: area.y + 1, height: area.height - 1, ..area };
    if !rows.is_empty() {
        buffer.set_style(Rect { height: 1, ..rows }, theme.heading(false));
        buffer.set_stringn(rows.x, rows.y, heading, width, theme.heading(false));
    }
    let body = Rect { y: rows.y + 1, height: rows.height.saturating_sub(1), ..rows };
    let skipped = (state.chosen + 1).saturating_sub(body.height.into());
    let panes = state.panes.iter().enumerate().skip(skipped);
    for (y, (at, pane)) in (body.y..body.bottom()).zip(panes) {
        buffer.set_line(body.x, y, &row(state, pane, names, width, theme), body.width);
        if at == state.chosen {
            buffer.set_style(Rect { y, height: 1, ..body }, theme.chosen());
        }
    }
}

fn row(state: &State, pane: &Pane, names: usize, width: usize, theme: Theme) -> Line<'static> {
    let name = format!("{:<names$}", fit(&one_line(&pane.name), names));
    let mut line = Line::from(vec![Span::styled(name, theme.strong()), Span::raw("  ")]);
    let trouble = pane.trouble(state.now.monotonic, state.interval);
    match (&pane.status, trouble) {
        (_, Some(trouble)) => line.push_span(Span::styled(one_line(&trouble), theme.bad())),
        (None, None) => line.push_span(Span::styled("connecting…", theme.faint())),
        (Some(status), None) => {
            line.push_span(Span::styled(format!("{:<9}", status.state), theme.state(status.state)));
            line.push_span(figures_of(status));
            line.push_span(one_line(&status.status));
        }
    }
    if line.width() <= width {
        return line;
    }
    if let Some(last) = line.spans.pop() {
        let room = width.saturating_sub(line.width());
        line.push_span(Span::styled(fit(&last.content, room), last.style));
    }
    line
}

fn figures_of(status: &Status) -> String {
    let ready = format!("{}/{}", status.ready, status.wanted);
    let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let waiting: Vec<u64> = status.sockets.iter().filter_map(|socket| socket.waiting).collect();
    let waiting = (!waiting.is_empty()).then(|| waiting.iter().sum::<u64>().to_string());
    let shares: Vec<f64> =
        status.workers.iter().filter_map(|worker| worker.usage.cpu_share).collect();
    let share = (!shares.is_empty()).then(|| figures::percent(shares.iter().sum()));
    let sizes: Vec<u64> =
        status.workers.iter().filter_map(|worker| worker.usage.memory_bytes).collect();
    let size = (!sizes.is_empty()).then(|| figures::bytes(sizes.iter().sum()));
    format!("  {ready:>9}  {:>7}  {:>5}  {:>5}  ", known(waiting), known(share), known(size))
}
