//! One worker: a process's life from the order to start it until nothing of it is left.

use super::state::{Change, Facts, Start, State, assumed_at};
use crate::asking::Asking;
use crate::event::Sight;
use crate::ids::{Generation, QueueId, WorkerId};
use crate::policy::{Policy, Ready, Spec};
use crate::reason::{Ending, Evidence, Hang, PastLife};
use crate::time::{Span, Time};
use crate::watchdog::Watchdog;
use crate::wear::WearState;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A worker. Its state and what follows from it are written in this module only; its watchdog, its wear and its probes
/// belong to the parts that have them.
#[derive(Debug)]
pub(crate) struct Worker {
    id: WorkerId,
    spec: Rc<Spec>,
    state: State,
    queues: Vec<QueueId>,
    born: Time,
    ready: Option<(Time, Evidence)>,
    sight: Option<Sight>,
    proved: bool,
    vouched_for: bool,
    unwanted: bool,
    oom_kills: u64,
    hang: Option<Hang>,
    pub watchdog: Watchdog,
    pub wear: WearState,
    pub probes: Asking,
}

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
            proved: false,
            vouched_for: false,
            unwanted: false,
            oom_kills: 0,
            hang: None,
            watchdog,
            wear: WearState::default(),
            probes: Asking::default(),
        }
    }

    pub fn id(&self) -> WorkerId {
        self.id
    }

    pub fn generation(&self) -> Generation {
        self.spec.generation
    }

    /// The rules it lives by: those of its own generation.
    pub fn policy(&self) -> &Policy {
        &self.spec.policy
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn facts(&self) -> Facts {
        self.state.facts()
    }

    /// The queues it was given, where workers do not share them all.
    pub fn queues(&self) -> &[QueueId] {
        &self.queues
    }

    /// When it was ordered.
    pub fn born(&self) -> Time {
        self.born
    }

    pub fn is_ready(&self) -> bool {
        self.facts().serves
    }

    /// Since when it has been ready, and why that is believed.
    pub fn ready(&self) -> Option<(Time, Evidence)> {
        self.ready
    }

    /// It was ready for `min-lifetime`.
    pub fn is_proved(&self) -> bool {
        self.proved
    }

    /// It is proved and, if it pings, has pinged after that: one that has not may have hung all the time.
    pub fn is_vouched_for(&self) -> bool {
        self.vouched_for
    }

    /// An operator has asked that it stops.
    pub fn is_unwanted(&self) -> bool {
        self.unwanted
    }

    /// Its processes that the kernel killed for want of memory.
    pub fn oom_kills(&self) -> u64 {
        self.oom_kills
    }

    /// Why it was given up as hung, if it was.
    pub fn hang(&self) -> Option<&Hang> {
        self.hang.as_ref()
    }

    /// For how long it has been ready.
    pub fn served(&self, now: Time) -> Span {
        self.ready.map_or(Span::ZERO, |(since, _)| now - since)
    }

    /// When a ready worker has been watched for long enough to replace another.
    pub fn trial_over(&self) -> Option<Time> {
        let (since, _) = self.ready.filter(|_| self.is_ready())?;
        Some(since + self.policy().soak())
    }

    /// When a ready worker is proved, and that was not noted yet.
    pub fn proof_at(&self) -> Option<Time> {
        let (since, _) = self.ready.filter(|_| self.is_ready() && !self.proved)?;
        Some(since + self.policy().min_lifetime)
    }

    /// When it counts as ready merely by staying alive.
    pub fn assumed_at(&self) -> Option<Time> {
        let since = self.state.start()?.since;
        let unreadable = matches!(self.sight, Some(Sight::Unreadable(_)));
        assumed_at(self.policy(), since, !self.policy().has_socket || unreadable)
    }

    /// What it was last seen doing that keeps it from being ready.
    pub fn diagnosis(&self) -> Option<&str> {
        match self.sight.as_ref()? {
            Sight::Waiting => None,
            Sight::NotYet(why) | Sight::Astray(why) | Sight::Unreadable(why) => Some(why),
        }
    }

    /// The same, if it also explains why a worker ends of its own accord.
    pub fn mistake(&self) -> Option<&str> {
        match self.sight.as_ref()? {
            Sight::Astray(why) => Some(why),
            Sight::Waiting | Sight::NotYet(_) | Sight::Unreadable(_) => None,
        }
    }

    /// What its slot remembers of it, if it ends now in this way.
    pub fn past(&self, ending: Ending, now: Time) -> PastLife {
        PastLife {
            worker: self.id,
            ending,
            at: now,
            lived: now - self.born,
            was_ready: self.ready.is_some(),
        }
    }

    /// When something has to happen to it at the latest.
    pub fn deadline(&self) -> Option<Time> {
        let of_state = self.state.deadline();
        let next = match self.state.start() {
            Some(Start { .. }) => of_state.into_iter().chain(self.assumed_at()).min(),
            None if self.is_ready() => {
                let parts =
                    [self.watchdog.deadline(), self.wear.deadline(), self.probes.deadline()];
                parts.into_iter().flatten().min()
            }
            None => of_state,
        };
        next.filter(|&time| time != Time(u64::MAX))
    }

    /// Changes its state. Returns the state before; `None` if the change means nothing in it.
    pub(super) fn change(&mut self, change: Change, now: Time) -> Option<State> {
        let before = self.state;
        self.state = before.after(change, &self.spec.policy, now)?;
        Some(before)
    }

    pub(super) fn note_ready(&mut self, evidence: Evidence, now: Time) {
        self.ready = Some((now, evidence));
        self.sight = None;
        self.watchdog.begin(now);
    }

    /// The worker says that it is ready, after it had been taken for ready on weaker evidence.
    pub(super) fn confirm_ready(&mut self) {
        if let Some((_, evidence)) = &mut self.ready {
            *evidence = Evidence::Notified;
        }
    }

    pub(super) fn note_sight(&mut self, sight: Sight) {
        self.sight = Some(sight);
    }

    pub(super) fn note_hang(&mut self, why: Hang) {
        self.hang = Some(why);
    }

    pub(super) fn note_unwanted(&mut self) {
        self.unwanted = true;
    }

    pub(super) fn note_oom_kills(&mut self, processes: u64) {
        self.oom_kills += processes;
    }

    /// Notes that it has been ready for `min-lifetime`.
    pub(super) fn note_proved(&mut self) {
        self.proved = true;
    }

    /// Notes that it is known to have lived as long as that. `true` if that is news.
    pub(super) fn vouch(&mut self) -> bool {
        let Some((since, _)) = self.ready.filter(|_| self.is_ready()) else { return false };
        let lived_until = since + self.policy().min_lifetime;
        let news = self.proved && !self.vouched_for && self.watchdog.vouches_for(lived_until);
        self.vouched_for |= news;
        news
    }

    /// Other rules for its generation.
    pub(super) fn adjust(&mut self, spec: Rc<Spec>, now: Time) {
        self.state = self.state.under(&self.spec.policy, &spec.policy, now);
        self.spec = spec;
    }

    /// Whether READY=1 from it counts.
    pub(super) fn may_notify(&self) -> bool {
        matches!(self.policy().ready, Ready::Auto | Ready::Notify)
    }
}
