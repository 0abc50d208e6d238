//! One worker's life, as the core sees it.
//!
//! ```text
//! Spawning ──► Starting ──► Ready ──► Retiring ─┐        its process …
//!     │            │          │                 ├─► Sweeping ──► forgotten
//!     │            └────► Draining ──► Killing ─┘        … and what it left behind (Burying)
//!     │                   Aborting ──►                   (as Draining, of one that hangs)
//!     └─► forgotten (there never was a process)
//! ```
//!
//! A worker is *active* while it serves or is on its way there (the first three), *leaving* until
//! its process has ended, and *swept* until nothing it forked is left. Each deadline lives in the
//! state it ends.

use super::hang::{Hang, Watchdog};
use super::policy::Ready;
use super::probe::Probing;
use super::recycle::Use;
use super::report::Evidence;
use super::slot::{Ending, PastLife};
use super::{Generation, Policy, QueueId, Sight, Span, Time, WorkerId};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// An accepted set of settings: its number and its rules.
#[derive(Debug)]
pub(super) struct Spec {
    pub generation: Generation,
    pub policy: Policy,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub id: WorkerId,
    pub spec: Rc<Spec>,
    pub state: State,
    /// The queues it was given, where workers do not share them all.
    pub queues: Vec<QueueId>,
    /// When it was ordered.
    pub born: Time,
    /// Since when it has been ready, and why that is believed.
    pub ready: Option<(Time, Evidence)>,
    /// What was seen of it when it was last looked at, while it was starting.
    pub sight: Option<Sight>,
    /// While it serves: how worn it is.
    pub wear: Use,
    /// It was ready for `min-lifetime`.
    pub proved: bool,
    /// And, if it pings, has pinged after that: one that has not may have hung all the time.
    pub vouched_for: bool,
    /// Somebody asked that it stops.
    pub unwanted: bool,
    /// Its processes that the kernel killed for want of memory.
    pub oom_kills: u64,
    pub watchdog: Watchdog,
    pub probing: Probing,
    /// It was given up, and why.
    pub hang: Option<Hang>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Ordered; the shell has not answered yet.
    Spawning,
    /// Executed; not ready by `until` means failed. `extended`: the worker asked for more time.
    Starting { since: Time, until: Time, extended: bool, looking: Looking },
    /// It serves.
    Ready,
    /// It said STOPPING=1 of its own accord and leaves, or is killed at `kill_at`.
    Retiring { kill_at: Time },
    /// It was told to stop, and is killed at `kill_at`.
    Draining { kill_at: Time },
    /// It hangs, was sent SIGABRT, and is killed at `kill_at`.
    Aborting { kill_at: Time },
    /// It was sent SIGKILL; if even that does not end it by `until`, it is given up.
    Killing { until: Time },
    /// Its process has ended; what it left behind was told to stop, and is killed at `kill_at`.
    Sweeping { kill_at: Time },
    /// What it left behind was killed, and is again at `again_at`; given up at `until`.
    Burying { again_at: Time, until: Time },
}

/// Whether a starting worker is looked at, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looking {
    /// What counts is nothing that could be seen.
    No,
    /// Next time.
    At(Time),
    /// Somebody looks.
    Now,
}

/// A worker is looked at again after an eighth of the time it has taken so far, within these bounds: a
/// quick one is not kept waiting, and a slow one costs little.
const SOONEST_LOOK: Span = Span::millis(5);
const LATEST_LOOK: Span = Span::millis(250);

impl Looking {
    pub fn begin(policy: &Policy, now: Time) -> Looking {
        if policy.looks() { Looking::again(now, now) } else { Looking::No }
    }

    /// After a look in vain at a worker that has been starting since then.
    pub fn again(since: Time, now: Time) -> Looking {
        Looking::At(now + (now - since).part(8).max(SOONEST_LOOK).min(LATEST_LOOK))
    }

    fn next(self) -> Option<Time> {
        match self {
            Looking::At(time) => Some(time),
            Looking::No | Looking::Now => None,
        }
    }
}

/// How long SIGKILL may take to end a process before nobody waits for it any more.
const UNKILLABLE: Span = Span::secs(10);

/// How often what a dead worker left behind is looked for and killed: it may fork meanwhile, and
/// its end may be told to nobody here.
pub(super) const BURY_EVERY: Span = Span::millis(500);

impl Worker {
    pub fn new(id: WorkerId, spec: Rc<Spec>, queues: Vec<QueueId>, born: Time) -> Worker {
        let watchdog = Watchdog::new(spec.policy.watchdog);
        Worker {
            id,
            spec,
            state: State::Spawning,
            queues,
            born,
            ready: None,
            sight: None,
            wear: Use::default(),
            proved: false,
            vouched_for: false,
            unwanted: false,
            oom_kills: 0,
            watchdog,
            probing: Probing::default(),
            hang: None,
        }
    }

    pub fn generation(&self) -> Generation {
        self.spec.generation
    }

    pub fn policy(&self) -> &Policy {
        &self.spec.policy
    }

    /// What is to be remembered of it when it ends now, and so.
    pub fn past(&self, ending: Ending, now: Time) -> PastLife {
        PastLife {
            worker: self.id,
            ending,
            at: now,
            lived: now - self.born,
            was_ready: self.ready.is_some(),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// For how long it has been ready.
    pub fn served(&self, now: Time) -> Span {
        self.ready.map_or(Span::ZERO, |(since, _)| now - since)
    }

    /// Between the order to start it and ready.
    pub fn is_starting(&self) -> bool {
        matches!(self.state, State::Spawning | State::Starting { .. })
    }

    pub fn is_active(&self) -> bool {
        self.is_ready() || self.is_starting()
    }

    /// Its process is there and is on its way out.
    pub fn is_leaving(&self) -> bool {
        matches!(
            self.state,
            State::Retiring { .. }
                | State::Draining { .. }
                | State::Aborting { .. }
                | State::Killing { .. }
        )
    }

    /// It counts towards the bound on processes.
    pub fn has_process(&self) -> bool {
        self.is_active() || self.is_leaving()
    }

    /// When it will count as ready merely by staying alive.
    pub fn assumed_at(&self) -> Option<Time> {
        let policy = self.policy();
        let State::Starting { since, .. } = self.state else { return None };
        let nothing_to_see = !policy.has_socket || matches!(self.sight, Some(Sight::Unreadable(_)));
        match policy.ready {
            Ready::Auto if !nothing_to_see => None,
            Ready::Auto | Ready::Alive => Some(since + policy.ready_after),
            Ready::Notify | Ready::Accepting | Ready::Exec => None,
        }
    }

    /// What was last seen of it that keeps it from being ready.
    pub fn diagnosis(&self) -> Option<&str> {
        match self.sight.as_ref()? {
            Sight::Waiting => None,
            Sight::NotYet(why) | Sight::Astray(why) | Sight::Unreadable(why) => Some(why),
        }
    }

    /// The same, if it explains also that a worker ends of its own accord.
    pub fn mistake(&self) -> Option<&str> {
        match self.sight.as_ref()? {
            Sight::Astray(why) => Some(why),
            Sight::Waiting | Sight::NotYet(_) | Sight::Unreadable(_) => None,
        }
    }

    /// When something has to happen to it at the latest.
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Spawning => None,
            State::Ready => {
                let (wear, probing) = (self.wear.deadline(), self.probing.deadline());
                self.watchdog.deadline().into_iter().chain(wear).chain(probing).min()
            }
            State::Starting { until, looking, .. } => {
                [Some(until), self.assumed_at(), looking.next()].into_iter().flatten().min()
            }
            State::Retiring { kill_at }
            | State::Draining { kill_at }
            | State::Aborting { kill_at }
            | State::Sweeping { kill_at } => Some(kill_at),
            State::Killing { until } => Some(until),
            State::Burying { again_at, until } => Some(again_at.min(until)),
        }
        .filter(|&time| time != Time(u64::MAX))
    }

    pub fn killing(now: Time) -> State {
        State::Killing { until: now + UNKILLABLE }
    }

    pub fn burying(now: Time) -> State {
        State::Burying { again_at: now + BURY_EVERY, until: now + UNKILLABLE }
    }
}
