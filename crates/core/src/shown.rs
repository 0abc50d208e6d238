//! What others may see of the core, as types: for the control socket, status and tests.

use crate::ids::{Generation, QueueId, SlotId, WorkerId};
use crate::reason::{Evidence, PastLife, Wear};
use crate::time::{Span, Time};
use alloc::string::String;
use alloc::vec::Vec;

/// What the herd as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// READY=1 was not sent yet.
    Starting,
    /// All is well, or will be without help.
    Serving,
    /// Fewer workers are ready than wanted, because they fail.
    Degraded,
    /// A reload or its roll-back is under way.
    Reloading,
    /// It drains its workers and leaves.
    Stopping,
}

/// A reload under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The generation it is to bring.
    pub generation: Generation,
    /// Where it is.
    pub phase: ReloadPhase,
    /// Workers of that generation that are ready.
    pub replaced: u32,
    /// Workers wanted.
    pub wanted: u32,
    /// When it began.
    pub began: Time,
}

/// Where a reload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadPhase {
    /// Its `check` command runs.
    Checking,
    /// Its first worker is on trial.
    Canary,
    /// Workers are being replaced.
    Rolling,
    /// The generation before is being put back.
    RollingBack,
}

/// A reload that is over, and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastReload {
    /// The generation it was to bring; `None` if its settings were refused.
    pub generation: Option<Generation>,
    /// When it was over.
    pub at: Time,
    /// How long it took; `None` if its settings were refused.
    pub took: Option<Span>,
    /// How it went.
    pub outcome: Outcome,
    /// Why, unless it was done.
    pub reason: Option<String>,
}

/// How a reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every worker was replaced.
    Done,
    /// It was rolled back.
    Failed,
    /// Its settings were not accepted.
    Refused,
    /// A newer one took over.
    Superseded,
    /// herder stopped.
    Stopped,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Between the order to start it and ready.
    Starting,
    /// It serves.
    Ready,
    /// It leaves of its own accord.
    Retiring,
    /// It was told to leave.
    Draining,
    /// It was sent SIGKILL.
    Killed,
    /// It is gone; what it left behind is being stopped.
    Swept,
}

/// One worker, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Its id.
    pub id: WorkerId,
    /// Its place.
    pub slot: SlotId,
    /// The settings it was started with.
    pub generation: Generation,
    /// What it is doing.
    pub state: WorkerState,
    /// The queues it was given, where workers do not share them all.
    pub queues: Vec<QueueId>,
    /// Why it counts as ready, if it was.
    pub evidence: Option<Evidence>,
    /// While it is starting: what was last seen of it that keeps it from being ready. Of one that was
    /// given up: why.
    pub diagnosis: Option<String>,
    /// When it was started.
    pub born: Time,
    /// Why it is to be replaced although it serves, without a request, if it is.
    pub worn: Option<Wear>,
    /// How often its slot was given a new worker.
    pub respawns: u64,
    /// The last worker of its slot that ended without having been told to.
    pub last: Option<PastLife>,
    /// Its processes that the kernel killed for want of memory, as far as the core was told.
    pub oom_kills: u64,
}

/// One worker, as short as a list of thousands allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerLine {
    /// Its id.
    pub id: WorkerId,
    /// Its place.
    pub slot: SlotId,
    /// The settings it was started with.
    pub generation: Generation,
    /// What it is doing.
    pub state: WorkerState,
}
