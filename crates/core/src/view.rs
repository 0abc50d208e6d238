//! What others may see of a herd: for the control socket, status and tests.

use super::recycle::Wear;
use super::report::Manner;
use super::rollout::Phase;
use super::slot::PastLife;
use super::worker::State;
use super::{Evidence, Generation, Hang, Herd, QueueId, SlotId, Span, Time, WorkerId};
use alloc::borrow::ToOwned as _;
use alloc::format;
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

/// What happened so far, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Workers started in place of one that had ended without having been told to.
    pub respawns: u64,
    /// Workers that died after having proved themselves.
    pub crashes: u64,
    /// Workers for which there never was a process.
    pub failed_to_start: u64,
    /// Workers that died before they were ready.
    pub died_before_ready: u64,
    /// Workers that were not ready within `start-timeout`.
    pub timed_out: u64,
    /// Workers that died soon after they were ready.
    pub died_young: u64,
    /// Workers that said nothing for longer than their watchdog allows.
    pub hung: u64,
    /// Workers that let connections wait in sockets of their own for longer than `stall-timeout`.
    pub stalled: u64,
    /// Workers whose probe failed too often in a row.
    pub unfit: u64,
    /// Workers that left of their own accord, normally.
    pub retired: u64,
    /// Workers replaced although they served: on request, or because they were worn, as the next two.
    pub recycled: u64,
    /// Workers replaced because of `max-age`.
    pub recycled_for_age: u64,
    /// Workers replaced because of `max-memory`.
    pub recycled_for_memory: u64,
    /// Processes of workers that the kernel killed for want of memory.
    pub oom_kills: u64,
    /// Steps up because connections waited.
    pub scale_ups: u64,
    /// Steps down because fewer workers would do.
    pub scale_downs: u64,
    /// Times that more workers were needed than there may be.
    pub scale_limits: u64,
    /// Reloads that replaced every worker.
    pub reloads_done: u64,
    /// Reloads that failed, or were aborted on request.
    pub reloads_failed: u64,
    /// Reloads whose settings were not accepted.
    pub reloads_refused: u64,
    /// Reloads that gave way to a newer one.
    pub reloads_superseded: u64,
    /// Time spent degraded so far.
    pub degraded: Span,
}

impl Counters {
    /// Workers that could not start, died before they were ready or soon after, or timed out.
    pub fn failures(&self) -> u64 {
        self.failed_to_start + self.died_before_ready + self.timed_out + self.died_young
    }

    pub(super) fn ended(&mut self, manner: Manner) {
        match manner {
            Manner::Ordered => {}
            Manner::BeforeReady => self.died_before_ready += 1,
            Manner::Young => self.died_young += 1,
            Manner::Crashed => self.crashes += 1,
            Manner::Retired => self.retired += 1,
        }
    }

    pub(super) fn recycled(&mut self, why: Wear) {
        self.recycled += 1;
        match why {
            Wear::Asked => {}
            Wear::Age { .. } => self.recycled_for_age += 1,
            Wear::Memory { .. } => self.recycled_for_memory += 1,
        }
    }

    pub(super) fn hung(&mut self, why: &Hang) {
        match why {
            Hang::Silent(_) | Hang::Mute(_) | Hang::Triggered => self.hung += 1,
            Hang::Stalled { .. } => self.stalled += 1,
            Hang::Unfit { .. } => self.unfit += 1,
        }
    }

    pub(super) fn reloaded(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.reloads_done += 1,
            Outcome::Failed => self.reloads_failed += 1,
            Outcome::Refused => self.reloads_refused += 1,
            Outcome::Superseded => self.reloads_superseded += 1,
            Outcome::Stopped => {}
        }
    }
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
    /// Why it is to be replaced although it serves and nobody asked for it, if it is.
    pub worn: Option<Wear>,
    /// How often its slot was given a new worker.
    pub respawns: u64,
    /// The last worker of its slot that ended without having been told to.
    pub last: Option<PastLife>,
    /// Its processes that the kernel killed for want of memory, as far as the core was told.
    pub oom_kills: u64,
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
                State::Draining { .. } | State::Aborting { .. } => WorkerState::Draining,
                State::Killing { .. } => WorkerState::Killed,
                State::Sweeping { .. } | State::Burying { .. } => WorkerState::Swept,
            },
            queues: worker.queues.clone(),
            evidence: worker.ready.map(|(_, evidence)| evidence),
            diagnosis: match worker.state {
                _ if worker.hang.is_some() => {
                    worker.hang.as_ref().map(|why| format!("hung: {why}"))
                }
                State::Spawning | State::Starting { .. } => worker.diagnosis().map(str::to_owned),
                State::Ready
                | State::Retiring { .. }
                | State::Draining { .. }
                | State::Aborting { .. }
                | State::Killing { .. }
                | State::Sweeping { .. }
                | State::Burying { .. } => None,
            },
            born: worker.born,
            worn: worker.wear.worn,
            respawns: self.slots[slot.0 as usize].respawns,
            last: self.slots[slot.0 as usize].last.clone(),
            oom_kills: worker.oom_kills,
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

    /// The last reloads that ended, at most five, the newest first.
    pub fn past_reloads(&self) -> impl Iterator<Item = &PastReload> {
        self.past_reloads.iter()
    }

    /// The reload under way.
    pub fn progress(&self) -> Option<Progress> {
        let rollout = self.rollout.as_ref()?;
        let generation = rollout.to.generation;
        let phase = match rollout.phase {
            Phase::Checking { .. } => ReloadPhase::Checking,
            Phase::Canary { .. } => ReloadPhase::Canary,
            Phase::Rolling | Phase::Replacing => ReloadPhase::Rolling,
            Phase::RollingBack { .. } => ReloadPhase::RollingBack,
        };
        let replaced = self.count(|w| w.is_ready() && w.generation() == generation);
        Some(Progress { generation, phase, replaced, wanted: self.wanted(), began: rollout.began })
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        let running = self.degraded_since.map_or(Span::ZERO, |since| self.now - since);
        Counters { degraded: self.counters.degraded + running, ..self.counters }
    }

    /// When the first worker was ordered.
    pub fn started(&self) -> Time {
        self.started
    }
}
