//! What an instance is about, in the lines above the table.

use super::columns::ago;
use super::pane::{Link, Pane};
use super::state::State;
use super::theme::Theme;
use super::{figures, view};
use crate::human::{self, one_line};
use herder_wire::status::{PastReload, Phase, Progress, Socket, Status, Usage, Verdict};
use herder_wire::units;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

/// The column of what a line is about.
const LABEL: usize = 9;

/// The most sockets that are shown, in a low terminal and in a high one.
const SOCKETS: (usize, usize) = (4, 12);
const HIGH: u16 = 40;

/// The most characters of a picture of the past.
const WIDEST_PICTURE: usize = 60;

/// The most lines that say what is wrong.
const TROUBLE: usize = 3;

/// The lines, from the most important to the least.
pub fn lines(state: &State, pane: &Pane, theme: Theme) -> Vec<Line<'static>> {
    let width = usize::from(state.size.width);
    let trouble = trouble_lines(state, pane);
    let mut lines = Vec::new();
    let Some(status) = &pane.status else {
        lines.push(Line::from(vec![
            Span::styled(one_line(&pane.name), theme.strong()),
            Span::raw(if trouble.is_empty() { ": connecting…" } else { "" }),
        ]));
        lines.extend(trouble.into_iter().map(|line| Line::styled(line, theme.bad())));
        return lines;
    };
    lines.push(title(state, pane, status, theme, width));
    lines.extend(trouble.into_iter().map(|line| Line::styled(line, theme.bad())));
    lines.push(labelled("status", vec![one_line(&status.status).into()], theme));
    lines.push(labelled("reload", reload(status, state.now.wall_usec, theme, width), theme));
    lines.extend(sockets(state, pane, status, theme, width));
    lines.push(labelled("cost", cost(status), theme));
    lines.push(labelled("so far", vec![counters(status).into()], theme));
    lines.iter_mut().for_each(|line| cut(line, width));
    lines
}

/// Why the status shown is out of date, if it is.
pub fn trouble_lines(state: &State, pane: &Pane) -> Vec<String> {
    let trouble = pane.trouble(state.now.monotonic, state.interval);
    let text = trouble.map(|text| one_line(&text)).unwrap_or_default();
    view::wrapped(&text, state.size.width.into(), TROUBLE)
}

fn labelled(label: &str, mut spans: Vec<Span<'static>>, theme: Theme) -> Line<'static> {
    spans.insert(0, Span::styled(format!("{label:<LABEL$}"), theme.faint()));
    Line::from(spans)
}

/// Ends a line that is too long with an ellipsis.
fn cut(line: &mut Line<'static>, width: usize) {
    if line.width() <= width {
        return;
    }
    let mut left = width;
    for span in &mut line.spans {
        if span.width() > left || left == 0 {
            span.content = human::fit(&span.content, left).into();
        } else if span.width() == left {
            // Something follows, or the line would not be too long.
            span.content = human::fit(&format!("{} ", span.content), left).into();
        }
        left -= span.width();
    }
}

fn title(state: &State, pane: &Pane, status: &Status, theme: Theme, width: usize) -> Line<'static> {
    let up = state.now.wall_usec.saturating_sub(status.started_at_usec);
    let silent = || pane.trouble(state.now.monotonic, state.interval).is_some();
    let mut line = Line::from(match &pane.link {
        Link::Lost(_) => Span::styled(" gone ", theme.alarm()),
        Link::New { .. } | Link::Live { .. } if silent() => {
            Span::styled(" no answer ", theme.alarm())
        }
        Link::New { .. } | Link::Live { .. } => {
            Span::styled(format!(" {} ", status.state), theme.state(status.state))
        }
    });
    if state.paused {
        line.extend([Span::raw(" "), Span::styled(" paused ", theme.alarm())]);
    }
    line.extend([
        Span::raw(" "),
        Span::styled(one_line(&status.name), theme.strong()),
        Span::raw(format!("  {}/{} ready", status.ready, status.wanted)),
    ]);
    for (count, what) in [(status.starting, "starting"), (status.draining, "draining")] {
        if count > 0 {
            line.extend([", ".into(), Span::styled(format!("{count} {what}"), theme.busy())]);
        }
    }
    line.push_span(format!("  generation {}", status.generation));
    line.push_span(format!("  up {}", units::age(up)));
    let right = format!("every {}s", state.interval.as_secs_f64());
    let right = Span::styled(right, theme.faint());
    if let Some(gap) = width.checked_sub(line.width() + right.width()).filter(|gap| *gap > 0) {
        line.push_span(" ".repeat(gap));
        line.push_span(right);
    }
    line
}

fn reload(status: &Status, now: u64, theme: Theme, width: usize) -> Vec<Span<'static>> {
    match (&status.reload, status.reloads.first()) {
        (Some(progress), _) => under_way(progress, now, theme, width),
        (None, Some(past)) => over(past, now, theme),
        (None, None) => vec![Span::styled("none so far", theme.faint())],
    }
}

fn under_way(progress: &Progress, now: u64, theme: Theme, width: usize) -> Vec<Span<'static>> {
    let (replaced, wanted) = (progress.replaced.into(), progress.wanted.into());
    let (done, left) = figures::bar(replaced, wanted, (width / 4).min(40) as u16);
    let doing = match progress.phase {
        Phase::Checking => "checking settings",
        Phase::Canary => "first worker on trial",
        Phase::Rolling => "replacing workers",
        Phase::RollingBack => "rolling back",
    };
    let text = format!(
        "  {replaced}/{wanted} to generation {}, {doing} for {}",
        progress.generation,
        ago(progress.started_at_usec, now)
    );
    vec![Span::styled(done, theme.busy()), Span::styled(left, theme.faint()), Span::raw(text)]
}

fn over(past: &PastReload, now: u64, theme: Theme) -> Vec<Span<'static>> {
    let style = match past.verdict {
        Verdict::Failed | Verdict::Refused => theme.bad(),
        Verdict::Done | Verdict::Superseded | Verdict::Stopped => Style::new(),
    };
    let to = past.generation.map(|to| format!("to generation {to} ")).unwrap_or_default();
    let mut after = format!(" {} ago", ago(past.at_usec, now));
    if let Some(took) = past.took_usec {
        after.push_str(&format!(", took {}", units::span(took)));
    }
    if let Some(reason) = &past.reason {
        after.push_str(&format!(": {}", one_line(reason)));
    }
    vec![to.into(), Span::styled(past.verdict.to_string(), style), after.into()]
}

/// Name, address, what waits, what was dropped, and a picture of what waited.
fn sockets(
    state: &State,
    pane: &Pane,
    status: &Status,
    theme: Theme,
    width: usize,
) -> Vec<Line<'static>> {
    let sockets = &status.sockets;
    if sockets.is_empty() {
        return vec![labelled("sockets", vec![Span::styled("none", theme.faint())], theme)];
    }
    let most = if state.size.height < HIGH { SOCKETS.0 } else { SOCKETS.1 };
    // A line “and 1 more” would take as much room as the one socket that is left out.
    let shown = if sockets.len() <= most { sockets.len() } else { most - 1 };
    let widest = |text: fn(&Socket) -> String, most: usize| {
        let texts = sockets[..shown].iter().map(text);
        texts.map(|text| human::width_of(&text)).max().unwrap_or(0).min(most)
    };
    let names = widest(name, width / 8);
    let addresses = widest(address, width / 4);
    let queues = widest(queue, width);
    let dropped = widest(dropped, width);
    let mut lines = Vec::new();
    for (at, socket) in sockets[..shown].iter().enumerate() {
        let pad = |text: String, width: usize| format!("{:<width$}  ", human::fit(&text, width));
        let mut spans = vec![
            Span::raw(pad(name(socket), names)),
            Span::raw(pad(address(socket), addresses)),
            Span::styled(format!("{:>queues$}", queue(socket)), queue_style(socket, theme)),
        ];
        if dropped > 0 {
            let style = if socket.dropped > Some(0) { theme.bad() } else { Style::new() };
            spans.push(Span::styled(format!("  {:<dropped$}", self::dropped(socket)), style));
        }
        let taken = LABEL + spans.iter().map(Span::width).sum::<usize>() + 2;
        if socket.waiting.is_some() {
            let room = width.saturating_sub(taken).min(WIDEST_PICTURE);
            let picture = figures::spark(pane.history.waiting(at, room));
            spans.push(Span::styled(format!("  {picture}"), theme.busy()));
        }
        lines.push(labelled(if at == 0 { "sockets" } else { "" }, spans, theme));
    }
    if shown < sockets.len() {
        let more = format!("and {} more", sockets.len() - shown);
        lines.push(labelled("", vec![Span::styled(more, theme.faint())], theme));
    }
    lines
}

fn name(socket: &Socket) -> String {
    one_line(&socket.name)
}

fn address(socket: &Socket) -> String {
    one_line(socket.address.as_deref().unwrap_or(&socket.kind))
}

fn queue(socket: &Socket) -> String {
    match (socket.waiting, socket.limit) {
        (Some(waiting), Some(limit)) => format!("{waiting}/{limit} waiting"),
        (Some(waiting), None) => format!("{waiting} waiting"),
        (None, _) => String::new(),
    }
}

fn dropped(socket: &Socket) -> String {
    socket.dropped.map(|count| format!("{count} dropped")).unwrap_or_default()
}

/// Bold when connections wait, alarming when half of the queue is taken.
fn queue_style(socket: &Socket, theme: Theme) -> Style {
    match (socket.waiting, socket.limit) {
        (Some(waiting), Some(limit)) if waiting > 0 && waiting >= limit / 2 => theme.bad(),
        (Some(1..), _) => theme.strong(),
        _ => Style::new(),
    }
}

fn cost(status: &Status) -> Vec<Span<'static>> {
    let usages = || status.workers.iter().map(|worker| &worker.usage);
    let of_workers = Usage {
        cpu_share: sum(usages().map(|usage| usage.cpu_share)),
        memory_bytes: sum(usages().map(|usage| usage.memory_bytes)),
        tasks: sum(usages().map(|usage| usage.tasks)),
        file_descriptors: sum(usages().map(|usage| usage.file_descriptors)),
        ..Usage::default()
    };
    let own = Usage { tasks: None, file_descriptors: None, ..status.usage };
    vec![
        format!("workers {}", figures_of(&of_workers)).into(),
        format!("   herder {}", figures_of(&own)).into(),
    ]
}

/// The sum of the known values; `None` if there is none.
fn sum<T: std::iter::Sum>(values: impl Iterator<Item = Option<T>>) -> Option<T> {
    let mut known = values.flatten().peekable();
    known.peek().is_some().then(|| known.sum())
}

fn figures_of(usage: &Usage) -> String {
    let mut parts = Vec::new();
    parts.extend(usage.cpu_share.map(|share| format!("{} CPU", units::percent(share))));
    parts.extend(usage.memory_bytes.map(units::size));
    parts.extend(usage.tasks.map(|tasks| figures::count(tasks, "task", "tasks")));
    parts.extend(usage.file_descriptors.map(|count| figures::count(count, "fd", "fds")));
    if parts.is_empty() { figures::UNKNOWN.to_owned() } else { parts.join(", ") }
}

/// The most important counters always, the others only when they are not 0.
fn counters(status: &Status) -> String {
    let counters = &status.counters;
    let always = [
        (counters.respawns, "respawn", "respawns"),
        (counters.crashes, "crash", "crashes"),
        (counters.failures, "failure", "failures"),
        (counters.oom_kills, "OOM kill", "OOM kills"),
    ];
    let sometimes = [
        (counters.hung, "hung", "hung"),
        (counters.stalled, "stalled", "stalled"),
        (counters.unfit, "probe failed", "probes failed"),
        (counters.retired, "retired", "retired"),
        (counters.recycled, "recycled", "recycled"),
        (counters.scale_ups, "time scaled up", "times scaled up"),
        (counters.scale_limits, "time at the limit", "times at the limit"),
        (counters.log_lost, "log entry lost", "log entries lost"),
        (counters.notify_lost, "message to systemd lost", "messages to systemd lost"),
        (counters.notify_dropped, "foreign message dropped", "foreign messages dropped"),
    ];
    let shown = always.into_iter().chain(sometimes.into_iter().filter(|(count, ..)| *count > 0));
    let mut parts: Vec<String> =
        shown.map(|(count, one, many)| figures::count(count, one, many)).collect();
    if counters.degraded_usec > 0 {
        parts.push(format!("degraded for {}", units::span(counters.degraded_usec)));
    }
    parts.join(", ")
}
