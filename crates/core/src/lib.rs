//! **Decides**: the pure, deterministic state machine. Events in, actions out, time is an argument.
//!
//! [`Herd::handle`] is told what happened and answers with orders; [`Herd::deadline`] says when it
//! wants to be told that time passed. It touches nothing: no clock, descriptor, pid, environment,
//! log or random source, which is why `tests/sim` can run it through millions of crashes, reloads
//! and stops under simulated time.
//!
//! Each event is handled in the same three steps, each a file:
//!
//! 1. `record`: the event and every deadline that has come become *facts*; nothing is started.
//! 2. `rollout` and `request`: a reload under way takes its next step, or is over, and what operators
//!    asked for is there; who is worn without having been asked after is `recycle`'s. A herd that is in trouble for too long ends (`ending`).
//!    `elastic` takes what it was told of the load, and changes what is wanted.
//! 3. `settle`: compares what is wanted with what is there and orders the difference. The one
//!    place where a worker is started, and the one where a serving worker is drained.
//!
//! And once all events of a turn have been handled, so that nothing urgent waits for it:
//!
//! 4. `tell`: what systemd should know of it ([`Herd::tell`]).
//!
//! `hang` is about workers that run and do nothing, `stall` about how that shows in their sockets, `probe` about asking them,
//! `queues` says which slot serves which accept queue, where each worker has its own, `ending` is the way out: a stop, or an
//! escalation when the workers keep dying. The words are those of herder(8); the states of a worker are drawn in `worker`.

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types, clippy::wildcard_enum_match_arm)]

extern crate alloc;

mod action;
mod adjust;
mod elastic;
mod ending;
mod event;
mod exit;
mod hang;
mod ids;
mod jitter;
mod policy;
mod probe;
mod queues;
mod record;
mod recycle;
mod report;
mod request;
mod rollout;
mod sample;
mod scale;
mod settle;
mod size;
mod slot;
mod stall;
mod tell;
mod time;
mod view;
mod worker;

pub use action::{Action, Notice, RequestOutcome, Verdict};
pub use event::{Cause, Event, Request, Sight, SpawnFailure};
pub use exit::{Exit, ExitSet, signal_name, signal_number};
pub use hang::Hang;
pub use ids::{Generation, QueueId, RequestId, SlotId, WorkerId};
pub use policy::{Amount, Policy, Ready, ReadyWhen, Scaling, ServiceWatchdog};
pub use probe::Probe;
pub use recycle::{Wear, Weight};
pub use report::{Evidence, Manner, Report};
pub use sample::{Load, Queue};
pub use size::Size;
pub use slot::{Ending, PastLife};
pub use time::{Span, Time};
pub use view::{
    Condition, Counters, Outcome, PastReload, Progress, ReloadPhase, WorkerState, WorkerView,
};

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use jitter::Jitter;
use rollout::Rollout;
use slot::Slot;
use worker::{Spec, State, Worker};

/// A service's workers: which are there, which are wanted, and what is being done about the difference.
#[derive(Debug)]
pub struct Herd {
    now: Time,
    /// When events were last handled: what was due by then is done. What has become due since, while
    /// systemd was told, is not.
    handled: Time,
    started: Time,
    jitter: Jitter,
    out: Vec<Action>,
    /// Workers whose processes ended in this turn. Their replacements come first: what is left of
    /// the dead can wait.
    sweeps: Vec<(WorkerId, bool)>,
    /// The last complete generation: what a slot is given unless a reload says otherwise.
    good: Rc<Spec>,
    rollout: Option<Rollout>,
    asked: Option<Asked>,
    elastic: elastic::Elastic,
    /// What operators wait for.
    open: Vec<request::Open>,
    /// The most slots that were wanted since a worker last left; draining workers come on top.
    peak: u32,
    slots: Vec<Slot>,
    queues: queues::Queues,
    last_worker: WorkerId,
    /// READY=1 was sent.
    serving: bool,
    /// Some worker was ready, once.
    ever_ready: bool,
    trouble: Option<ending::Trouble>,
    degraded_since: Option<Time>,
    recycler: recycle::Recycler,
    ending: Option<ending::Ending>,
    counters: Counters,
    past_reloads: VecDeque<PastReload>,
    probing: probe::Probing,
    sampling: sample::Sampling,
    stalls: stall::Stalls,
    told: tell::Told,
    exited: bool,
}

/// A number of workers asked for at run time.
#[derive(Clone, Copy, Debug)]
struct Asked {
    workers: u32,
    /// The newest generation then: a later one that succeeds makes the file's number count again.
    under: Generation,
}

impl Herd {
    fn new(now: Time, seed: u64, good: Rc<Spec>, watchdog: Option<Span>) -> Herd {
        Herd {
            now,
            handled: now,
            started: now,
            jitter: Jitter::new(seed),
            out: Vec::new(),
            sweeps: Vec::new(),
            peak: good.policy.workers,
            good,
            rollout: None,
            asked: None,
            elastic: elastic::Elastic::new(),
            open: Vec::new(),
            slots: Vec::new(),
            queues: queues::Queues::default(),
            last_worker: WorkerId(0),
            serving: false,
            ever_ready: false,
            trouble: None,
            degraded_since: None,
            recycler: recycle::Recycler::default(),
            ending: None,
            counters: Counters::default(),
            past_reloads: VecDeque::new(),
            probing: probe::Probing::default(),
            sampling: sample::Sampling::default(),
            stalls: stall::Stalls::default(),
            told: tell::Told::new(now, watchdog),
            exited: false,
        }
    }

    /// The herd of a first generation, and its first orders.
    ///
    /// `seed` feeds the jitter (the same seed gives the same actions); `watchdog` is systemd's
    /// `WATCHDOG_USEC`, when it wants pings.
    pub fn start(
        now: Time,
        seed: u64,
        generation: Generation,
        policy: Policy,
        watchdog: Option<Span>,
        actions: &mut Vec<Action>,
    ) -> Herd {
        let spec = Rc::new(Spec { generation, policy });
        let mut herd = Herd::new(now, seed, spec, watchdog);
        herd.handle(now, Event::Tick, actions);
        herd
    }

    /// Takes note of an event and appends what is to be done about it.
    ///
    /// `now` never goes back. The outcome of every action has to come back as an event, later: the
    /// caller queues events and never calls this while carrying out an action.
    pub fn handle(&mut self, now: Time, event: Event, actions: &mut Vec<Action>) {
        if self.exited {
            return;
        }
        self.told.late = self.told.late.max(self.lateness(now));
        self.now = self.now.max(now);
        self.handled = self.now;
        self.prove();
        self.record(event);
        self.expire();
        self.advance();
        self.advance_requests();
        self.make_room();
        self.judge_trouble();
        self.settle();
        self.settle_queues();
        let sweeps = self.sweeps.drain(..);
        self.out.extend(sweeps.map(|(worker, kill)| Action::Sweep { worker, kill }));
        self.conclude();
        self.keep_sampling();
        self.keep_probing();
        actions.append(&mut self.out);
    }

    /// Ends a turn: tells systemd what it should know by now. To be called once there are no more
    /// events to [`handle`](Herd::handle), before waiting for the [`deadline`](Herd::deadline).
    pub fn tell(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.exited {
            return;
        }
        self.now = self.now.max(now);
        self.tell_systemd();
        actions.append(&mut self.out);
    }

    /// When [`Event::Tick`] is wanted at the latest; `None` while only events can change anything.
    pub fn deadline(&self) -> Option<Time> {
        if self.exited {
            return None;
        }
        let workers = self.workers().filter_map(|(_, worker)| worker.deadline());
        workers
            .chain(self.next_try())
            .chain(self.rollout_deadline())
            .chain(self.requests_deadline())
            .chain(self.sampling_deadline())
            .chain(self.probe_deadline())
            .chain(self.queues_deadline())
            .chain(self.ending_deadline())
            .chain(self.tell_deadline())
            .min()
    }

    fn order(&mut self, action: Action) {
        self.out.push(action);
    }

    fn report(&mut self, report: Report) {
        self.out.push(Action::Report(report));
    }

    /// How many slots are wanted now: what the load asks for, within the bounds.
    fn wanted(&self) -> u32 {
        let (least, most) = self.bounds();
        self.elastic.scaler.wants.clamp(least, most)
    }

    /// How many slots are wanted at least and at most; the same if the number is fixed.
    pub fn bounds(&self) -> (u32, u32) {
        let forward = self.rollout.as_ref().filter(|rollout| rollout.is_forward());
        let policy = &forward.map_or(&self.good, |rollout| &rollout.to).policy;
        let least = self.asked_now().unwrap_or(policy.workers);
        (least, policy.scaling.map_or(least, |scaling| scaling.max.max(least)))
    }

    /// The number asked for at run time, while it counts.
    fn asked_now(&self) -> Option<u32> {
        let forward = self.rollout.as_ref().filter(|rollout| rollout.is_forward());
        // What was asked before these settings were accepted is over once they are in force.
        let counts =
            |asked: &Asked| forward.is_none_or(|rollout| asked.under >= rollout.to.generation);
        Some(self.asked.filter(counts)?.workers)
    }

    /// The rules for the herd as a whole: those of the settings that are being brought in.
    fn rules(&self) -> &Policy {
        match &self.rollout {
            Some(rollout) if !rollout.is_back() => &rollout.to.policy,
            Some(_) | None => &self.good.policy,
        }
    }

    fn workers(&self) -> impl Iterator<Item = (SlotId, &Worker)> {
        self.slots.iter().zip(0..).flat_map(|(slot, number)| {
            slot.workers.iter().map(move |worker| (SlotId(number), worker))
        })
    }

    fn find(&mut self, id: WorkerId) -> Option<(SlotId, &mut Worker)> {
        self.slots.iter_mut().zip(0..).find_map(|(slot, number)| {
            let worker = slot.workers.iter_mut().find(|worker| worker.id == id)?;
            Some((SlotId(number), worker))
        })
    }

    fn slot(&mut self, id: SlotId) -> &mut Slot {
        &mut self.slots[id.0 as usize]
    }

    fn wanted_slots(&self) -> &[Slot] {
        let wanted = (self.wanted() as usize).min(self.slots.len());
        &self.slots[..wanted]
    }

    /// Wanted slots with a ready worker.
    fn ready(&self) -> u32 {
        self.wanted_slots().iter().map(|slot| u32::from(slot.has_ready())).sum()
    }

    /// As many of the wanted workers as serve, stand-ins in surplus slots included.
    fn serving_slots(&self) -> u32 {
        let serving: u32 = self.slots.iter().map(|slot| u32::from(slot.has_ready())).sum();
        serving.min(self.wanted())
    }

    /// Whether any worker at all is ready.
    fn serves(&self) -> bool {
        self.slots.iter().any(Slot::has_ready)
    }

    fn count(&self, what: impl Fn(&Worker) -> bool) -> u32 {
        self.workers().map(|(_, worker)| u32::from(what(worker))).sum()
    }
}
