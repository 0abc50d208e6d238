//! The snapshot of an instance: the types of `io.herder.Control` that say how it is doing.
//!
//! One source of truth with many faces: the table, JSON, `herder top`, metrics and the status page are
//! all made from [`Status`]. Field by field as [`DESCRIPTION`](super::control::DESCRIPTION) explains
//! it, which a test holds to these types.

pub mod counters;
mod worker;

pub use counters::Counters;
pub use worker::{Evidence, ExitCause, LastExit, Usage, Worker, WorkerState, imbalance};

use super::level::LogLevel;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How an instance is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The instance's name.
    pub name: String,
    /// herder's process.
    pub pid: u32,
    /// herder's version.
    pub version: String,
    /// When herder started, in microseconds since 1970.
    #[serde(rename = "startedAtUSec")]
    pub started_at_usec: u64,
    /// The generation in service, or being rolled out.
    pub generation: u64,
    /// What the instance is about.
    pub state: State,
    /// The line systemd shows.
    pub status: String,
    /// Workers wanted.
    pub wanted: u32,
    /// Workers wanted at least.
    pub min: u32,
    /// Workers wanted at most; more than `min` if the load decides.
    pub max: u32,
    /// Workers that serve.
    pub ready: u32,
    /// Workers on the way there.
    pub starting: u32,
    /// Workers told to stop.
    pub draining: u32,
    /// What the workers serve on.
    pub sockets: Vec<Socket>,
    /// Since when no worker has accepted one of the connections that wait, in microseconds since 1970, if
    /// that is longer than `stall-timeout`.
    #[serde(rename = "stalledSinceUSec")]
    pub stalled_since_usec: Option<u64>,
    /// How unevenly ready workers are busy: the most CPU time of one, of late, by the mean.
    pub imbalance: Option<f64>,
    /// The reload under way.
    pub reload: Option<Progress>,
    /// Settings that were changed while herder was running, until the next reload that succeeds.
    pub set: Vec<Changed>,
    /// The last reloads that are over, the newest first.
    pub reloads: Vec<PastReload>,
    /// What has happened since herder started.
    pub counters: Counters,
    /// What herder itself costs.
    pub usage: Usage,
    /// Every process there is.
    pub workers: Vec<Worker>,
}

/// What an instance is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Before systemd was told READY=1.
    Starting,
    /// All is well.
    Serving,
    /// Fewer workers are ready than wanted because of failures, or they do not serve as they should.
    Degraded,
    /// Workers are being replaced.
    Reloading,
    /// herder was asked to stop, or gives up.
    Stopping,
}

/// A socket handed to the workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Socket {
    /// As in LISTEN_FDNAMES.
    pub name: String,
    /// As systemd writes it; none for what has no address.
    pub address: Option<String>,
    /// `stream`, `datagram`, `fifo`, …
    pub kind: String,
    /// Connections that wait to be accepted.
    pub waiting: Option<u64>,
    /// How many may wait.
    pub limit: Option<u64>,
    /// What the kernel has dropped because the queue was full.
    pub dropped: Option<u64>,
    /// The slots whose workers serve it; none if every worker does.
    pub slots: Option<Vec<u32>>,
    /// New connections go to others of its group, because no ready worker has it.
    #[serde(default)]
    pub closed: bool,
    /// What has changed about it since herder was given it.
    pub changes: Vec<SocketChange>,
}

/// A setting that was changed while herder was running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// Which, dotted where it stands in a table.
    pub key: String,
    /// In TOML.
    pub value: Option<String>,
    /// What it was, and will be again, in TOML.
    pub before: Option<String>,
}

/// What workers have done to a socket, for every process that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketChange {
    /// What.
    pub kind: ChangeKind,
    /// An operator should do something about it.
    pub harmful: bool,
    /// What is the matter, and what to change.
    pub text: String,
}

/// What can change about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// `O_NONBLOCK` was set.
    Nonblocking,
    /// `O_NONBLOCK` was cleared.
    Blocking,
    /// Other than before may wait: listen(2) was called again.
    Backlog,
    /// Its file is gone.
    Unlinked,
    /// Another file is in the place of its own.
    Replaced,
}

/// A reload under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The generation it is to bring.
    pub generation: u64,
    /// Where it is.
    pub phase: Phase,
    /// Workers of the new generation that are ready.
    pub replaced: u32,
    /// Workers wanted.
    pub wanted: u32,
    /// When it began, in microseconds since 1970.
    #[serde(rename = "startedAtUSec")]
    pub started_at_usec: u64,
}

/// Where a reload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Its `check` command runs.
    Checking,
    /// Its first worker is on trial.
    Canary,
    /// Workers are being replaced.
    Rolling,
    /// The generation before is being put back.
    RollingBack,
}

/// A reload that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PastReload {
    /// The generation it was to bring; none if it was refused.
    pub generation: Option<u64>,
    /// When it ended, in microseconds since 1970.
    #[serde(rename = "atUSec")]
    pub at_usec: u64,
    /// How long it took, in microseconds; none if it was refused.
    #[serde(rename = "tookUSec")]
    pub took_usec: Option<u64>,
    /// How it went.
    pub verdict: Verdict,
    /// Why, unless it was done.
    pub reason: Option<String>,
}

/// How a reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every worker was replaced.
    Done,
    /// A worker failed; the settings before it are back in force.
    Failed,
    /// The settings were not accepted.
    Refused,
    /// A newer reload took over.
    Superseded,
    /// herder was stopped meanwhile.
    Stopped,
}

/// What an instance is and by which settings it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceDescription {
    /// The instance's name.
    pub name: String,
    /// herder's process.
    pub pid: u32,
    /// herder's version.
    pub version: String,
    /// When herder started, in microseconds since 1970.
    #[serde(rename = "startedAtUSec")]
    pub started_at_usec: u64,
    /// The settings file, if there is one.
    pub file: Option<String>,
    /// The user herder and the workers run as.
    pub uid: u32,
    /// Where the control socket is.
    pub runtime_directory: String,
    /// Where workers get cgroups of their own, below /sys/fs/cgroup.
    pub cgroup: Option<String>,
    /// The controllers that are on there.
    pub controllers: Vec<String>,
    /// The least important log entries that are written.
    pub log_level: LogLevel,
    /// The settings in force, but for the environment.
    pub settings: Vec<Setting>,
}

/// A key of herder.toml(5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// As in the file.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// Something that happened, as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When, in microseconds since 1970.
    #[serde(rename = "atUSec")]
    pub at_usec: u64,
    /// `worker_started`, `reload_failed`, …
    pub kind: String,
    /// As syslog has it.
    pub priority: u8,
    /// For people.
    pub message: String,
    /// As MESSAGE_ID in the journal.
    pub message_id: String,
    /// The fields `HERDER_…` of the journal entry.
    pub fields: BTreeMap<String, String>,
}

/// The words of the wire, for people too.
macro_rules! display_as_serialised {
    ($($type:ty { $($variant:ident => $word:literal),+ $(,)? })+) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(<$type>::$variant => $word),+ })
            }
        }
    )+};
}

display_as_serialised! {
    State {
        Starting => "starting", Serving => "serving", Degraded => "degraded",
        Reloading => "reloading", Stopping => "stopping",
    }
    WorkerState {
        Starting => "starting", Ready => "ready", Retiring => "retiring",
        Draining => "draining", Ended => "ended",
    }
    Verdict {
        Done => "done", Failed => "failed", Refused => "refused",
        Superseded => "superseded", Stopped => "stopped",
    }
    Phase {
        Checking => "checking", Canary => "canary", Rolling => "rolling",
        RollingBack => "rolling back",
    }
    ChangeKind {
        Nonblocking => "nonblocking", Blocking => "blocking", Backlog => "backlog",
        Unlinked => "unlinked", Replaced => "replaced",
    }
    Evidence {
        Notified => "notified", Accepting => "accepting", Executed => "executed",
        Assumed => "assumed",
    }
}

#[cfg(any(test, feature = "example"))]
#[path = "status_example.rs"]
pub mod example;
