//! One instance for people: what it is about, then a line for each worker.

use super::columns::{Column, NOTHING, table};
use super::human::{one_line, wrap};
use super::paint::{Paint, Tone};
use herder_wire::status::{
    Changed, Counters, ExitCause, LastExit, PastReload, Phase, Progress, Socket, State, Status,
    Usage, Verdict, Worker, WorkerState,
};
use herder_wire::text::timestamp;
use herder_wire::units::{age, percent, size, span};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From left to right. The number is the rank: columns with a higher one are left out earlier.
const COLUMNS: [Column; 17] = [
    Column::number("SLOT", 0),
    Column::number("WORKER", 6),
    Column::number("PID", 3),
    Column::word("STATE", 0),
    Column::number("GEN", 10),
    Column::word("READY BY", 15),
    Column::number("AGE", 4),
    Column::number("CPU", 1),
    Column::number("CPU TIME", 14),
    Column::number("MEMORY", 2),
    Column::number("PEAK", 11),
    Column::number("TASKS", 12),
    Column::number("FDS", 13),
    Column::number("OOM", 9),
    Column::number("RESPAWNS", 8),
    Column::text("LAST EXIT", 5, 20),
    Column::text("STATUS", 7, 12),
];

/// Before the values of the head.
const INDENT: usize = 11;

/// A space at which lines are not broken (U+00A0); replaced by a plain space at the end.
const TIE: &str = "\u{a0}";

/// The whole of `herder status NAME`.
pub fn render(status: &Status, now: SystemTime, width: Option<usize>, paint: Paint) -> String {
    let head = head(status, now, width);
    let tone = match status.state {
        State::Serving => Tone::Strong,
        State::Degraded | State::Reloading | State::Starting => Tone::Warning,
        State::Stopping => Tone::Bad,
    };
    let mut text = String::new();
    for (number, line) in head.iter().enumerate() {
        let tone = if number == 0 { tone } else { Tone::Plain };
        text.push_str(&paint.paint(tone, line));
        text.push('\n');
    }
    text.push('\n');
    if status.workers.is_empty() {
        return text + "no workers\n";
    }
    let mut workers: Vec<&Worker> = status.workers.iter().collect();
    workers.sort_by_key(|worker| (worker.slot, worker.id));
    let rows: Vec<Vec<String>> = workers.iter().map(|worker| row(worker, now)).collect();
    let tones = workers.iter().map(|worker| match worker.state {
        WorkerState::Ready => Tone::Plain,
        WorkerState::Starting => Tone::Warning,
        WorkerState::Retiring | WorkerState::Draining | WorkerState::Ended => Tone::Dim,
    });
    for (tone, line) in [Tone::Strong].into_iter().chain(tones).zip(table(&COLUMNS, &rows, width)) {
        text.push_str(&paint.paint(tone, &line));
        text.push('\n');
    }
    text
}

fn head(status: &Status, now: SystemTime, width: Option<usize>) -> Vec<String> {
    let title = format!(
        "{}: {}, {} of {} workers ready{}{}{}, generation {}",
        one_line(&status.name),
        status.state,
        status.ready,
        status.wanted,
        match status.min < status.max {
            true => format!(" ({} to {})", status.min, status.max),
            false => String::new(),
        },
        some(status.starting, "starting"),
        some(status.draining, "draining"),
        status.generation
    );
    let mut lines = wrap(&title, width);
    let mut say = |what: &str, values: Vec<String>| {
        let room = width.map(|width| width.saturating_sub(INDENT));
        let parts = values.iter().flat_map(|value| wrap(value, room));
        let labels = [what].into_iter().chain(std::iter::repeat(""));
        let line = |(what, part): (&str, String)| format!("  {what:<8} {}", part.replace(TIE, " "));
        lines.extend(labels.zip(parts).map(line));
    };
    say("status", vec![one_line(&status.status)]);
    say("herder", vec![herder(status, now)]);
    match status.sockets.as_slice() {
        [] => say("sockets", vec!["none".to_owned()]),
        sockets => say("sockets", sockets.iter().flat_map(socket).collect()),
    }
    say("balance", uneven(status).into_iter().collect());
    say("set", status.set.iter().map(set).collect());
    say("reload", status.reload.iter().map(|reload| under_way(reload, now)).collect());
    say("reloads", status.reloads.iter().map(|reload| past(reload, now)).collect());
    say("starting", starting(&status.workers));
    say("so far", vec![so_far(&status.counters)]);
    lines
}

/// The line about an uneven load, if it is so uneven that a change of `balance` or `queues` may help.
fn uneven(status: &Status) -> Option<String> {
    const UNEVEN: f64 = 1.5;
    let imbalance = status.imbalance.filter(|imbalance| *imbalance >= UNEVEN)?;
    Some(format!(
        "the busiest worker has {imbalance:.1} times the CPU share of the mean (BALANCE in herder.toml(5))"
    ))
}

/// A list that is broken into lines between its parts only.
fn list(parts: &[String]) -> String {
    let tied = |part: &String| part.replace(' ', TIE).replace(&format!(",{TIE}"), ", ");
    parts.iter().map(tied).collect::<Vec<_>>().join(", ")
}

fn some(count: u32, what: &str) -> String {
    if count == 0 { String::new() } else { format!(", {count} {what}") }
}

fn herder(status: &Status, now: SystemTime) -> String {
    let Usage { cpu_usec, memory_bytes, file_descriptors, .. } = status.usage;
    let mut parts = vec![
        format!("pid {}", status.pid),
        format!("version {}", one_line(&status.version)),
        format!("up {}", ago(status.started_at_usec, now)),
    ];
    parts.extend(cpu_usec.map(|usec| format!("{} of CPU time", span(usec))));
    parts.extend(memory_bytes.map(|bytes| format!("{} of memory", size(bytes))));
    parts.extend(file_descriptors.map(|count| format!("{count} file descriptors")));
    list(&parts)
}

fn set(changed: &Changed) -> String {
    let value = |text: &Option<String>| text.as_deref().map_or("not set".to_owned(), one_line);
    let Changed { key, value: is, before } = changed;
    format!("{} = {}, else {}", one_line(key), value(is), value(before))
}

/// A line for the socket, and one for each harmful change of it.
fn socket(socket: &Socket) -> Vec<String> {
    let harm = socket.changes.iter().filter(|change| change.harmful);
    let harm = harm.map(|change| format!("! {}", one_line(&change.text)));
    [queue(socket)].into_iter().chain(harm).collect()
}

fn queue(socket: &Socket) -> String {
    let mut text = match &socket.address {
        Some(address) => format!("{} {address} ({})", socket.name, socket.kind),
        None => format!("{} ({})", socket.name, socket.kind),
    };
    match (socket.waiting, socket.limit) {
        (Some(waiting), Some(limit)) => text.push_str(&format!(": {waiting} of {limit} waiting")),
        (Some(waiting), None) => text.push_str(&format!(": {waiting} waiting")),
        (None, _) => {}
    }
    if let Some(dropped) = socket.dropped {
        text.push_str(if socket.waiting.is_some() { ", " } else { ": " });
        text.push_str(&format!("{dropped} dropped"));
    }
    if let Some(slots) = &socket.slots {
        let numbers: Vec<String> = slots.iter().map(u32::to_string).collect();
        match slots.len() {
            0 => text.push_str(", no slot's"),
            1 => text.push_str(&format!(", slot {}", numbers[0])),
            _ => text.push_str(&format!(", slots {}", numbers.join(" "))),
        }
    }
    if socket.closed {
        text.push_str(", nothing new");
    }
    one_line(&text)
}

fn under_way(reload: &Progress, now: SystemTime) -> String {
    let doing = match reload.phase {
        Phase::Checking => "its check command runs",
        Phase::Canary => "its first worker is on trial",
        Phase::Rolling => "replacing workers",
        Phase::RollingBack => "it has failed, rolling back",
    };
    format!(
        "to generation {}, since {}: {doing}, {} of {} replaced",
        reload.generation,
        ago(reload.started_at_usec, now),
        reload.replaced,
        reload.wanted
    )
}

fn past(reload: &PastReload, now: SystemTime) -> String {
    // The fraction of a second is of no interest.
    let at = timestamp(reload.at_usec);
    let at = at.split('.').next().unwrap_or_default().replace('T', " ");
    let mut text = format!("{at} UTC, {} ago: ", ago(reload.at_usec, now));
    if let Some(generation) = reload.generation {
        text.push_str(&format!("to generation {generation}, "));
    }
    text.push_str(&reload.verdict.to_string());
    if let Some(took) = reload.took_usec {
        text.push_str(&format!(" after {}", span(took).replace(' ', TIE)));
    }
    if let (Some(reason), false) = (&reload.reason, reload.verdict == Verdict::Done) {
        text.push_str(&format!(": {}", one_line(reason)));
    }
    text
}

/// What keeps workers from being ready, each reason once.
fn starting(workers: &[Worker]) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for worker in workers {
        let Some(diagnosis) = worker.diagnosis.as_deref() else { continue };
        let id = worker.id.to_string();
        match reasons.iter_mut().find(|(reason, _)| *reason == diagnosis) {
            Some((_, ids)) => ids.push(id),
            None => reasons.push((diagnosis, vec![id])),
        }
    }
    let line = |(reason, ids): (&str, Vec<String>)| {
        let word = if ids.len() == 1 { "worker" } else { "workers" };
        format!("{word} {}: {}", ids.join(", "), one_line(reason))
    };
    reasons.into_iter().map(line).collect()
}

fn so_far(counters: &Counters) -> String {
    let named = |count: u64, one: &str, more: &str| {
        format!("{count} {}", if count == 1 { one } else { more })
    };
    let mut parts = vec![
        named(counters.respawns, "respawn", "respawns"),
        named(counters.crashes, "crash", "crashes"),
    ];
    let kinds = [
        (counters.failed_to_start, "not started"),
        (counters.died_before_ready, "died before ready"),
        (counters.timed_out, "timed out"),
        (counters.died_young, "died young"),
    ];
    let kinds = kinds.into_iter().filter(|&(count, _)| count > 0);
    let kinds: Vec<String> = kinds.map(|(count, what)| format!("{count} {what}")).collect();
    let failures = named(counters.failures, "failure", "failures");
    parts.push(match kinds.as_slice() {
        [] => failures,
        _ => format!("{failures} ({})", list(&kinds)),
    });
    let rest = [
        (counters.hung, "hung"),
        (counters.stalled, "stalled"),
        (counters.unfit, "failed their probe"),
        (counters.oom_kills, "killed for want of memory"),
        (counters.retired, "retired"),
        (counters.recycled, "recycled"),
        (counters.recycled_for_age, "of them for age"),
        (counters.recycled_for_memory, "of them for memory"),
        (counters.scale_ups, "times scaled up"),
        (counters.scale_downs, "times scaled down"),
        (counters.scale_limits, "times too few workers allowed"),
        (counters.notify_dropped, "foreign notify messages dropped"),
        (counters.notify_lost, "messages to systemd lost"),
        (counters.log_lost, "log entries lost"),
    ];
    let rest = rest.into_iter().filter(|&(count, _)| count > 0);
    parts.extend(rest.map(|(count, what)| format!("{count} {what}")));
    if counters.degraded_usec > 0 {
        parts.push(format!("degraded for {}", span(counters.degraded_usec)));
    }
    list(&parts)
}

fn row(worker: &Worker, now: SystemTime) -> Vec<String> {
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let count = |count: Option<u64>| or_nothing(count.map(|count| count.to_string()));
    let Usage {
        cpu_usec, cpu_share, memory_bytes, memory_peak_bytes, tasks, file_descriptors, ..
    } = worker.usage;
    vec![
        worker.slot.to_string(),
        worker.id.to_string(),
        count(worker.pid.map(u64::from)),
        worker.state.to_string(),
        worker.generation.to_string(),
        or_nothing(worker.evidence.map(|evidence| evidence.to_string())),
        age(worker.age_usec),
        or_nothing(cpu_share.map(percent)),
        or_nothing(cpu_usec.map(span)),
        or_nothing(memory_bytes.map(size)),
        or_nothing(memory_peak_bytes.map(size)),
        count(tasks),
        count(file_descriptors),
        count(worker.oom_kills),
        worker.respawns_of_slot.to_string(),
        or_nothing(worker.last_exit.as_ref().map(|last| last_exit(last, now))),
        or_nothing(worker.status.as_deref().map(one_line)),
    ]
}

/// In few words, the most important first: the others may be cut off.
fn last_exit(last: &LastExit, now: SystemTime) -> String {
    let signal = last.signal.as_deref().unwrap_or("a signal");
    let how = match (last.cause, last.exit_status) {
        (ExitCause::Exited, Some(status)) => format!("exit {status}"),
        (ExitCause::Exited, None) => last.text.clone(),
        (ExitCause::Killed, _) => signal.to_owned(),
        (ExitCause::Dumped, _) => format!("{signal} with core"),
        (ExitCause::OutOfMemory, _) => "out of memory".to_owned(),
        (ExitCause::TimedOut, _) => "not ready in time".to_owned(),
        (ExitCause::Hung, _) => last.text.clone(),
        (ExitCause::NotStarted, _) => "not started".to_owned(),
    };
    let ended = !matches!(last.cause, ExitCause::TimedOut | ExitCause::NotStarted);
    let when = if ended && !last.was_ready { " before ready" } else { "" };
    let lived = if ended { format!(", lived {}", span(last.lived_usec)) } else { String::new() };
    one_line(&format!("{how}{when}, {} ago{lived}", ago(last.at_usec, now)))
}

fn moment(usec: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(usec)
}

fn ago(usec: u64, now: SystemTime) -> String {
    let since = now.duration_since(moment(usec)).unwrap_or_default();
    age(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "detail_tests.rs"]
mod tests;
