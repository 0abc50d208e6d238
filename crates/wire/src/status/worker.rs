//! A worker in the snapshot: where it is in its life, what it costs, and how the one before it ended.

use serde::{Deserialize, Serialize};

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Counts up for ever.
    pub id: u64,
    /// Its place.
    pub slot: u32,
    /// Its process; none before it has one.
    pub pid: Option<u32>,
    /// Where it is in its life.
    pub state: WorkerState,
    /// The settings it was started with.
    pub generation: u64,
    /// Why it counts as ready.
    pub evidence: Option<Evidence>,
    /// While it is starting: what it was seen doing when herder last looked, and what to change. Of one
    /// that hangs: why that is believed.
    pub diagnosis: Option<String>,
    /// Since it was started, in microseconds.
    #[serde(rename = "ageUSec")]
    pub age_usec: u64,
    /// How often its slot got a new worker because the one before had ended by itself.
    pub respawns_of_slot: u64,
    /// How the one before it in this slot ended.
    pub last_exit: Option<LastExit>,
    /// What it costs.
    pub usage: Usage,
    /// Its processes that the kernel killed for want of memory.
    pub oom_kills: Option<u64>,
    /// Its cgroup, below /sys/fs/cgroup.
    pub cgroup: Option<String>,
    /// What it said of itself with STATUS=.
    pub status: Option<String>,
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Not ready yet.
    Starting,
    /// Serving.
    Ready,
    /// It said that it is about to leave.
    Retiring,
    /// Told to stop.
    Draining,
    /// Its process has ended; what it left behind is being stopped.
    Ended,
}

/// Why a worker counts as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// It said READY=1.
    Notified,
    /// It was seen waiting on a socket it was given.
    Accepting,
    /// It was executed, and that is enough by the settings.
    Executed,
    /// It stayed alive; it was not seen to serve.
    Assumed,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// In words: `exited with status 1 before it was ready`.
    pub text: String,
    /// Its kind.
    pub cause: ExitCause,
    /// Its exit status, if it exited.
    pub exit_status: Option<u8>,
    /// The signal's name, if one ended it.
    pub signal: Option<String>,
    /// When it ended, in microseconds since 1970.
    #[serde(rename = "atUSec")]
    pub at_usec: u64,
    /// How long it lived, in microseconds.
    #[serde(rename = "livedUSec")]
    pub lived_usec: u64,
    /// It had been ready.
    pub was_ready: bool,
}

/// What ended a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitCause {
    /// It exited with a status.
    Exited,
    /// A signal.
    Killed,
    /// A signal that left a core.
    Dumped,
    /// The kernel, for want of memory.
    OutOfMemory,
    /// It was not ready in time.
    TimedOut,
    /// It ran and did nothing.
    Hung,
    /// There never was a process.
    NotStarted,
}

/// What a process, or all of a worker's processes together, cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// CPU time so far, in microseconds.
    #[serde(rename = "cpuUSec")]
    pub cpu_usec: Option<u64>,
    /// CPU time per time since the look before: 1.0 is one CPU kept busy.
    pub cpu_share: Option<f64>,
    /// How long ago that look was, in microseconds.
    #[serde(rename = "cpuShareOverUSec")]
    pub cpu_share_over_usec: Option<u64>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// The most there was at any time, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
    /// Open file descriptors.
    pub file_descriptors: Option<u64>,
}

/// The most that one of these workers is busy, by the mean of all that are ready: 1 is even, and their
/// number is all work done by one. `None` of fewer than two, and of so little work that it says nothing.
pub fn imbalance(workers: &[Worker]) -> Option<f64> {
    /// Together at least this part of a CPU.
    const WORTH_SAYING: f64 = 0.02;
    let ready = workers.iter().filter(|worker| worker.state == WorkerState::Ready);
    let shares: Vec<f64> = ready.map(|worker| worker.usage.cpu_share).collect::<Option<_>>()?;
    let (sum, most) = shares
        .iter()
        .fold((0.0, 0.0), |(sum, most): (f64, f64), share| (sum + share, most.max(*share)));
    (shares.len() > 1 && sum >= WORTH_SAYING).then(|| most * shares.len() as f64 / sum)
}
