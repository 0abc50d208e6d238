//! Which series there are, and where each takes its figures from.
//!
//! Slots, not workers, are what per-worker figures are of: a slot's number stays, a worker's changes
//! with every replacement, and each change would be a new series. While a worker is replaced its slot
//! has two; figures that add up are the sum of both. A slot's CPU time therefore begins again when its
//! worker is replaced, which `rate()` takes for what it is.

use crate::status::{Counters, Socket, State, Status, Usage, Verdict, Worker, WorkerState};
use std::collections::BTreeMap;

/// The series that is 0 for an instance that does not answer.
pub const UP: &str = "herder_up";

/// A label and its value.
pub type Label = (&'static str, String);

/// What a series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up, and back to the start only.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Always 1; the labels are what it says.
    Info,
}

impl Kind {
    /// Its name in OpenMetrics.
    pub fn in_openmetrics(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Info => "info",
        }
    }

    /// Its name in the text format of Prometheus, which has no word for an info.
    pub fn in_prometheus(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Info => "gauge",
        }
    }
}

/// A name, and what is behind it.
pub struct Series {
    /// As it is queried; for ever.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it means, in one sentence.
    pub help: &'static str,
    pub(super) samples: fn(&Status) -> Vec<Sample>,
}

impl Series {
    /// The name of its family in OpenMetrics.
    pub fn family(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge => "",
        };
        self.name.strip_suffix(suffix).unwrap_or(self.name)
    }

    /// Its unit, which its name ends with.
    pub fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes"].into_iter().find(|unit| self.family().ends_with(&format!("_{unit}")))
    }
}

/// A figure, and of what besides the instance it is.
pub struct Sample {
    pub labels: Vec<Label>,
    pub value: f64,
}

macro_rules! series {
    ($($kind:ident $name:ident $help:literal $samples:expr;)+) => {
        /// All there are, in the order they are written.
        pub const SERIES: [Series; [$(stringify!($name)),+].len()] = [$(Series {
            name: stringify!($name), kind: Kind::$kind, help: $help, samples: $samples,
        }),+];
    };
}

series! {
    Gauge herder_up "Whether the instance answers: 1, or 0 if it is there and could not be asked."
        |_| one(1);
    Info herder_build_info "The version of herder, as a label."
        |status| vec![of("version", &status.version, 1)];
    Gauge herder_start_time_seconds "When herder started, in seconds since 1970."
        |status| vec![Sample { labels: vec![], value: seconds(status.started_at_usec) }];
    Gauge herder_state "What the instance is about: 1 for the state it is in, 0 for the others."
        |status| STATES.iter().map(|state| of("state", state, u64::from(*state == status.state))).collect();
    Gauge herder_generation "The generation of settings in service, or being rolled out."
        |status| one(status.generation);
    Gauge herder_workers_wanted "Workers there should be."
        |status| one(status.wanted.into());
    Gauge herder_workers_min "Workers there should be at least."
        |status| one(status.min.into());
    Gauge herder_workers_max "Workers there should be at most."
        |status| one(status.max.into());
    Gauge herder_workers "Workers there are, by state."
        |status| WORKER_STATES.iter().map(|state| of("state", state, count(status, *state))).collect();

    Counter herder_worker_respawns_total "Workers started to take the place of one that had ended by itself."
        |status| one(status.counters.respawns);
    Counter herder_worker_crashes_total "Workers that ended by themselves after they had proved themselves."
        |status| one(status.counters.crashes);
    Counter herder_worker_failures_total "Workers that could not be started, were not ready in time, or died young, by reason."
        |status| failures(&status.counters);
    Counter herder_worker_retired_total "Workers that left of their own accord, normally."
        |status| one(status.counters.retired);
    Counter herder_worker_recycled_total "Workers replaced although they served, by reason."
        |status| recycled(&status.counters);
    Counter herder_worker_hung_total "Workers that ran and did nothing, and were aborted, by what has shown it."
        |status| vec![of("reason", "watchdog", status.counters.hung), of("reason", "stall", status.counters.stalled),
            of("reason", "probe", status.counters.unfit)];
    Counter herder_worker_oom_kills_total "Processes of workers that the kernel killed for want of memory."
        |status| one(status.counters.oom_kills);

    Counter herder_scale_ups_total "Steps to more workers, because connections waited."
        |status| one(status.counters.scale_ups);
    Counter herder_scale_downs_total "Steps to fewer workers, because they would do."
        |status| one(status.counters.scale_downs);
    Counter herder_scale_limits_total "Times that more workers were needed than there may be."
        |status| one(status.counters.scale_limits);

    Counter herder_reloads_total "Reloads that are over, by how they went."
        |status| reloads(&status.counters);
    Gauge herder_last_reload_success "Whether the last reload that ran to its end succeeded: 1 or 0; 1 before the first."
        |status| one(u64::from(last_reload(status).is_none_or(|(verdict, _)| verdict == Verdict::Done)));
    Gauge herder_last_reload_timestamp_seconds "When that reload ended, in seconds since 1970; the start of herder before the first."
        |status| vec![Sample { labels: vec![], value: seconds(last_reload(status).map_or(status.started_at_usec, |(_, at)| at)) }];
    Counter herder_degraded_seconds_total "Time with fewer workers ready than wanted because of failures."
        |status| vec![Sample { labels: vec![], value: seconds(status.counters.degraded_usec) }];

    Gauge herder_socket_waiting_connections "Connections that wait to be accepted."
        |status| sockets(status, |socket| socket.waiting);
    Gauge herder_socket_waiting_connections_limit "How many connections may wait."
        |status| sockets(status, |socket| socket.limit);
    Gauge herder_stalled "Whether connections wait and no worker accepts any, for longer than stall-timeout: 1 or 0."
        |status| one(u64::from(status.stalled_since_usec.is_some()));
    Counter herder_socket_dropped_total "Connections or datagrams that the kernel has dropped because the queue was full."
        |status| sockets(status, |socket| socket.dropped);

    Gauge herder_cpu_imbalance_ratio "The largest CPU share of a ready worker by the mean of all: 1 is even."
        |status| status.imbalance.map(|value| Sample { labels: vec![], value }).into_iter().collect();

    Gauge herder_slot_waiting_connections "Connections that wait in the slot's own queues."
        |status| waiting_by_slot(status);
    Gauge herder_slot_ready "Whether a worker serves in this slot: 1 or 0."
        |status| slots(status, |workers| Some(u64::from(workers.iter().any(|worker| serves(worker))) as f64));
    Gauge herder_slot_worker_age_seconds "How long the slot's newest worker has been running."
        |status| slots(status, |workers| workers.iter().map(|worker| worker.age_usec).min().map(seconds));
    Counter herder_slot_respawns_total "How often the slot got a new worker because the one before had ended by itself."
        |status| slots(status, |workers| workers.iter().map(|worker| worker.respawns_of_slot as f64).reduce(f64::max));
    Counter herder_slot_cpu_seconds_total "CPU time of the slot's workers; begins again when one is replaced."
        |status| slots(status, |workers| sum(workers, |usage| usage.cpu_usec).map(|usec| usec / MICRO));
    Gauge herder_slot_memory_bytes "Memory of the slot's workers: of their cgroups, else resident memory."
        |status| slots(status, |workers| sum(workers, |usage| usage.memory_bytes));
    Gauge herder_slot_memory_peak_bytes "The most memory that one of the slot's workers has had at any time."
        |status| slots(status, |workers| usages(workers, |usage| usage.memory_peak_bytes).reduce(f64::max));
    Gauge herder_slot_tasks "Processes and threads of the slot's workers."
        |status| slots(status, |workers| sum(workers, |usage| usage.tasks));
    Gauge herder_slot_file_descriptors "Open file descriptors of the slot's workers."
        |status| slots(status, |workers| sum(workers, |usage| usage.file_descriptors));

    Counter herder_process_cpu_seconds_total "CPU time of herder itself."
        |status| some(status.usage.cpu_usec.map(seconds));
    Gauge herder_process_memory_bytes "Memory of herder itself."
        |status| some(status.usage.memory_bytes.map(|bytes| bytes as f64));
    Gauge herder_process_file_descriptors "Open file descriptors of herder itself."
        |status| some(status.usage.file_descriptors.map(|number| number as f64));
    Counter herder_notify_messages_dropped_total "Messages to notify sockets that did not come from the socket's worker."
        |status| one(status.counters.notify_dropped);
    Counter herder_notify_messages_lost_total "Messages that systemd did not take in time."
        |status| one(status.counters.notify_lost);
    Counter herder_log_entries_lost_total "Log entries that were not taken in time, and dropped."
        |status| one(status.counters.log_lost);
}

const MICRO: f64 = 1e6;

/// No instance wants more workers; what says it does is not herder.
const MOST_SLOTS: u32 = 10_000;

const STATES: [State; 5] =
    [State::Starting, State::Serving, State::Degraded, State::Reloading, State::Stopping];

const WORKER_STATES: [WorkerState; 5] = [
    WorkerState::Starting,
    WorkerState::Ready,
    WorkerState::Retiring,
    WorkerState::Draining,
    WorkerState::Ended,
];

// Figures are f64 in every consumer too; a counter is exact up to 2^53.

fn one(value: u64) -> Vec<Sample> {
    vec![Sample { labels: vec![], value: value as f64 }]
}

fn some(value: Option<f64>) -> Vec<Sample> {
    value.map(|value| Sample { labels: vec![], value }).into_iter().collect()
}

fn of(label: &'static str, of: impl ToString, value: u64) -> Sample {
    Sample { labels: vec![(label, of.to_string())], value: value as f64 }
}

fn seconds(usec: u64) -> f64 {
    usec as f64 / MICRO
}

fn count(status: &Status, state: WorkerState) -> u64 {
    status.workers.iter().map(|worker| u64::from(worker.state == state)).sum()
}

fn failures(counters: &Counters) -> Vec<Sample> {
    vec![
        of("reason", "failed_to_start", counters.failed_to_start),
        of("reason", "died_before_ready", counters.died_before_ready),
        of("reason", "timed_out", counters.timed_out),
        of("reason", "died_young", counters.died_young),
    ]
}

fn recycled(counters: &Counters) -> Vec<Sample> {
    let worn = counters.recycled_for_age + counters.recycled_for_memory;
    vec![
        of("reason", "requested", counters.recycled.saturating_sub(worn)),
        of("reason", "max_age", counters.recycled_for_age),
        of("reason", "max_memory", counters.recycled_for_memory),
    ]
}

fn reloads(counters: &Counters) -> Vec<Sample> {
    vec![
        of("verdict", Verdict::Done, counters.reloads_done),
        of("verdict", Verdict::Failed, counters.reloads_failed),
        of("verdict", Verdict::Refused, counters.reloads_refused),
        of("verdict", Verdict::Superseded, counters.reloads_superseded),
    ]
}

/// How and when the newest reload ended that nothing else cut short.
fn last_reload(status: &Status) -> Option<(Verdict, u64)> {
    let cut_short = |verdict| matches!(verdict, Verdict::Superseded | Verdict::Stopped);
    let past = status.reloads.iter().find(|past| !cut_short(past.verdict))?;
    Some((past.verdict, past.at_usec))
}

/// A sample for each name and address: several sockets share both where SO_REUSEPORT gives each worker
/// a queue of its own, and are counted together.
fn sockets(status: &Status, figure: fn(&Socket) -> Option<u64>) -> Vec<Sample> {
    let mut sums: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for socket in &status.sockets {
        if let Some(figure) = figure(socket) {
            let address = socket.address.as_deref().unwrap_or_default();
            *sums.entry((&socket.name, address)).or_default() += figure as f64;
        }
    }
    let sample = |((name, address), value): ((&str, &str), f64)| Sample {
        labels: vec![("socket", name.to_owned()), ("address", address.to_owned())],
        value,
    };
    sums.into_iter().map(sample).collect()
}

/// What waits for each slot, where each has queues of its own. What several slots serve counts for each.
fn waiting_by_slot(status: &Status) -> Vec<Sample> {
    let mut sums: BTreeMap<u32, u64> = BTreeMap::new();
    for socket in &status.sockets {
        for slot in socket.slots.iter().flatten() {
            *sums.entry(*slot).or_default() += socket.waiting.unwrap_or_default();
        }
    }
    let sample = |(slot, waiting): (u32, u64)| Sample {
        labels: vec![("slot", slot.to_string())],
        value: waiting as f64,
    };
    sums.into_iter().map(sample).collect()
}

/// A sample for each slot that is wanted or has a worker, unless the figure is not known.
fn slots(status: &Status, figure: impl Fn(&[&Worker]) -> Option<f64>) -> Vec<Sample> {
    let mut slots: BTreeMap<u32, Vec<&Worker>> =
        (0..status.wanted.min(MOST_SLOTS)).map(|slot| (slot, Vec::new())).collect();
    for worker in &status.workers {
        slots.entry(worker.slot).or_default().push(worker);
    }
    let sample = |(slot, workers): (u32, Vec<&Worker>)| {
        let value = figure(&workers)?;
        Some(Sample { labels: vec![("slot", slot.to_string())], value })
    };
    slots.into_iter().filter_map(sample).collect()
}

/// A worker that is leaving serves until it was told to, or has found a replacement.
fn serves(worker: &Worker) -> bool {
    matches!(worker.state, WorkerState::Ready | WorkerState::Retiring)
}

fn usages(workers: &[&Worker], figure: fn(&Usage) -> Option<u64>) -> impl Iterator<Item = f64> {
    workers.iter().filter_map(move |worker| figure(&worker.usage)).map(|figure| figure as f64)
}

fn sum(workers: &[&Worker], figure: fn(&Usage) -> Option<u64>) -> Option<f64> {
    usages(workers, figure).reduce(|a, b| a + b)
}
