//! A status for people: what the instance is about, then a line for each worker.

use crate::herd::Span;
use crate::log::{harmless, timestamp};
use crate::wire::status::{Counters, PastReload, Socket, Status, Verdict, Worker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HEADINGS: [&str; 10] = [
    "SLOT",
    "WORKER",
    "PID",
    "STATE",
    "GEN",
    "READY BY",
    "AGE",
    "RESPAWNS",
    "PREVIOUS EXIT",
    "STATUS",
];

/// Columns that hold numbers and are aligned to the right.
const NUMBERS: [bool; 10] = [true, true, true, false, true, false, true, true, false, false];

/// The whole of `herder status`.
pub fn render(status: &Status, now: SystemTime, width: Option<usize>) -> String {
    let mut lines = head(status, now);
    lines.push(String::new());
    lines.extend(workers(&status.workers));
    let mut text = String::new();
    for line in lines {
        text.push_str(&fit(line.trim_end(), width));
        text.push('\n');
    }
    text
}

fn head(status: &Status, now: SystemTime) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {}, {} of {} workers ready{}{}, generation {}",
        one_line(&status.name),
        status.state,
        status.ready,
        status.wanted,
        some(status.starting, "starting"),
        some(status.draining, "draining"),
        status.generation
    )];
    let mut line = |what: &str, text: String| lines.push(format!("  {what:<8} {text}"));
    line("status", one_line(&status.status));
    line("herder", format!("pid {}, version {}", status.pid, one_line(&status.version)));
    let sockets: Vec<String> = status.sockets.iter().map(socket).collect();
    line("sockets", if sockets.is_empty() { "none".to_owned() } else { sockets.join(", ") });
    if let Some(last) = status.reloads.first() {
        line("reload", reload(last, now));
    }
    line("so far", counters(&status.counters));
    lines
}

fn some(count: u32, what: &str) -> String {
    if count == 0 { String::new() } else { format!(", {count} {what}") }
}

fn socket(socket: &Socket) -> String {
    let address = socket.address.as_deref().unwrap_or("without address");
    one_line(&format!("{} {address} ({})", socket.name, socket.kind))
}

fn reload(last: &PastReload, now: SystemTime) -> String {
    let at = UNIX_EPOCH + Duration::from_micros(last.at_usec);
    let ago = now.duration_since(at).map(age).unwrap_or_default();
    let mut text = match (last.generation, last.verdict) {
        (Some(generation), verdict) => format!("to generation {generation} {verdict}"),
        (None, verdict) => verdict.to_string(),
    };
    text.push_str(&format!(" {ago} ago ({})", timestamp(at)));
    if let (Some(reason), false) = (&last.reason, last.verdict == Verdict::Done) {
        text.push_str(&format!(": {}", one_line(reason)));
    }
    text
}

fn counters(counters: &Counters) -> String {
    let mut text = format!(
        "{} respawns, {} crashes, {} failures",
        counters.respawns, counters.crashes, counters.failures
    );
    if counters.notify_dropped > 0 {
        text.push_str(&format!(", {} foreign notify messages dropped", counters.notify_dropped));
    }
    if counters.log_lost > 0 {
        text.push_str(&format!(", {} log entries lost", counters.log_lost));
    }
    text
}

fn workers(workers: &[Worker]) -> Vec<String> {
    if workers.is_empty() {
        return vec!["no workers".to_owned()];
    }
    let mut sorted: Vec<&Worker> = workers.iter().collect();
    sorted.sort_by_key(|worker| (worker.slot, worker.id));
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(sorted.into_iter().map(row));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    rows.iter().map(|row| aligned(row, &widths)).collect()
}

fn row(worker: &Worker) -> [String; 10] {
    let text = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), one_line);
    [
        worker.slot.to_string(),
        worker.id.to_string(),
        worker.pid.map_or("-".to_owned(), |pid| pid.to_string()),
        worker.state.to_string(),
        worker.generation.to_string(),
        worker.evidence.map_or("-".to_owned(), |evidence| evidence.to_string()),
        age(Duration::from_micros(worker.age_usec)),
        worker.respawns_of_slot.to_string(),
        text(&worker.last_exit.as_ref().map(|last| last.text.clone())),
        text(&worker.status),
    ]
}

fn aligned(row: &[String; 10], widths: &[usize]) -> String {
    let cells: Vec<String> = row
        .iter()
        .zip(widths)
        .zip(NUMBERS)
        .map(
            |((cell, &width), number)| {
                if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            },
        )
        .collect();
    cells.join("  ")
}

/// As systemd writes spans, without fractions of a second.
fn age(age: Duration) -> String {
    Span::secs(age.as_secs()).to_string()
}

/// One line without anything a terminal acts on.
fn one_line(text: &str) -> String {
    harmless(text).replace('\n', " ")
}

fn fit(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            line.chars().take(width - 1).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::status::{Evidence, ExitCause, LastExit, State, Usage, WorkerState};

    fn worker(slot: u32, id: u64) -> Worker {
        Worker {
            id,
            slot,
            pid: Some(4000 + u32::try_from(id).unwrap()),
            state: WorkerState::Ready,
            generation: 2,
            evidence: Some(Evidence::Notified),
            age_usec: 3_723_400_000,
            respawns_of_slot: 0,
            last_exit: None,
            usage: Usage::default(),
            oom_kills: None,
            cgroup: None,
            status: None,
        }
    }

    fn status() -> Status {
        let failed = Worker {
            pid: None,
            state: WorkerState::Starting,
            evidence: None,
            age_usec: 400_000,
            respawns_of_slot: 12,
            last_exit: Some(LastExit {
                text: "was killed by SIGSEGV".to_owned(),
                cause: ExitCause::Killed,
                exit_status: None,
                signal: Some("SIGSEGV".to_owned()),
                at_usec: 1_795_420_740_000_000,
                lived_usec: 20_000_000,
                was_ready: true,
            }),
            status: Some("evil\n\x1b[2Jtext".to_owned()),
            ..worker(0, 117)
        };
        Status {
            name: "web".to_owned(),
            pid: 100,
            version: "0.1.0".to_owned(),
            started_at_usec: 1_795_420_000_000_000,
            generation: 2,
            state: State::Degraded,
            status: "degraded 1/2: slot 0 was killed by SIGSEGV".to_owned(),
            wanted: 2,
            ready: 1,
            starting: 1,
            draining: 0,
            sockets: vec![Socket {
                name: "web".to_owned(),
                address: Some("[::]:80".to_owned()),
                kind: "stream".to_owned(),
                waiting: Some(0),
                limit: Some(4096),
                dropped: Some(0),
            }],
            reload: None,
            reloads: vec![PastReload {
                generation: Some(3),
                at_usec: 1_795_420_740_000_000,
                took_usec: Some(1_500_000),
                verdict: Verdict::Failed,
                reason: Some("worker 9 exited with status 1".to_owned()),
            }],
            counters: Counters { respawns: 12, crashes: 1, failures: 11, ..Counters::default() },
            usage: Usage::default(),
            workers: vec![worker(1, 2), failed],
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_420_800)
    }

    #[test]
    fn everything_is_said_in_order() {
        assert_eq!(
            render(&status(), now(), None),
            "\
web: degraded, 1 of 2 workers ready, 1 starting, generation 2
  status   degraded 1/2: slot 0 was killed by SIGSEGV
  herder   pid 100, version 0.1.0
  sockets  web [::]:80 (stream)
  reload   to generation 3 failed 1min ago (2026-11-23T07:59:00.000Z): worker 9 exited with status 1
  so far   12 respawns, 1 crashes, 11 failures

SLOT  WORKER   PID  STATE     GEN  READY BY      AGE  RESPAWNS  PREVIOUS EXIT          STATUS
   0     117     -  starting    2  -              0s        12  was killed by SIGSEGV  evil \\u{1b}[2Jtext
   1       2  4002  ready       2  notified  1h 2min         0  -                      -
"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let text = render(&status(), now(), Some(60));
        assert!(text.lines().all(|line| line.chars().count() <= 60));
        assert!(text.lines().any(|line| line.ends_with('…')));
    }

    #[test]
    fn nothing_running_is_no_table() {
        let idle =
            Status { workers: Vec::new(), sockets: Vec::new(), reloads: Vec::new(), ..status() };
        let text = render(&idle, now(), None);
        assert!(text.contains("  sockets  none\n") && text.ends_with("\nno workers\n"), "{text}");
    }
}
