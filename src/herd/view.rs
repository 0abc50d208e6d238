//! What others may see of a herd: for the control socket, status and tests.

use super::report::Manner;
use super::slot::Ending;
use super::worker::State;
use super::{Evidence, Generation, Herd, SlotId, Span, Time, WorkerId};

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

/// What happened so far, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Workers that died after having proved themselves.
    pub crashes: u64,
    /// Workers that could not start, died before they were ready or soon after, or timed out.
    pub failures: u64,
    /// Workers that left of their own accord, normally.
    pub retired: u64,
    /// Time spent degraded, up to the last recovery.
    pub degraded: Span,
}

impl Counters {
    pub(super) fn ended(&mut self, manner: Manner) {
        match manner {
            Manner::Crashed => self.crashes += 1,
            Manner::Retired => self.retired += 1,
            Manner::Ordered | Manner::BeforeReady | Manner::Young => {}
        }
    }
}

/// The last reload and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastReload {
    /// The generation it was to bring; `None` if its settings were refused.
    pub generation: Option<Generation>,
    /// When it was over.
    pub at: Time,
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
    /// Why it counts as ready, if it was.
    pub evidence: Option<Evidence>,
    /// When it was started.
    pub born: Time,
    /// How often its slot was given a new worker.
    pub respawns: u64,
    /// How the worker before it ended.
    pub last: Option<Ending>,
}

impl Herd {
    /// Every worker that has not been forgotten, by slot.
    pub fn view(&self) -> impl Iterator<Item = WorkerView> {
        self.workers().map(|(slot, worker)| WorkerView {
            id: worker.id,
            slot,
            generation: worker.generation(),
            state: match worker.state {
                State::Spawning | State::Starting { .. } => WorkerState::Starting,
                State::Ready => WorkerState::Ready,
                State::Retiring { .. } => WorkerState::Retiring,
                State::Draining { .. } => WorkerState::Draining,
                State::Killing { .. } => WorkerState::Killed,
                State::Sweeping { .. } | State::Burying { .. } => WorkerState::Swept,
            },
            evidence: worker.ready.map(|(_, evidence)| evidence),
            born: worker.born,
            respawns: self.slots[slot.0 as usize].respawns,
            last: self.slots[slot.0 as usize].last.clone(),
        })
    }

    /// How many workers are wanted, and how many of those serve.
    pub fn strength(&self) -> (u32, u32) {
        (self.wanted(), self.serving_slots())
    }

    /// Whether it ends because its workers keep failing.
    pub fn gives_up(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.reason.is_some())
    }

    /// The last complete generation.
    pub fn generation(&self) -> Generation {
        self.good.generation
    }

    /// The last reload that ended.
    pub fn past_reload(&self) -> Option<&PastReload> {
        self.past_reload.as_ref()
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Workers started in place of an earlier one.
    pub fn respawns(&self) -> u64 {
        self.slots.iter().map(|slot| slot.respawns).sum()
    }

    /// When the first worker was ordered.
    pub fn started(&self) -> Time {
        self.started
    }
}
