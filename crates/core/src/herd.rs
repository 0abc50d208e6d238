//! The composition: what is told to which part, in which order, and what others may see.

use crate::action::{Action, Notice, RequestOutcome};
use crate::condition::Instance;
use crate::counters::Counters;
use crate::elastic::{Elastic, Outlook};
use crate::escalation::{CONFIG, Ending, Escalation};
use crate::event::{Event, Request};
use crate::fleet::{Effect, Fleet, Occurrence};
use crate::ids::{Generation, QueueId, RequestId, SlotId, WorkerId};
use crate::load::Load;
use crate::notifier::Notifier;
use crate::policies::Policies;
use crate::policy::{Policy, Probe, Scaling, Spec};
use crate::probe::{self, InstanceProbe};
use crate::queues::{self, Queues};
use crate::reason::{Hang, Lost};
use crate::recycle::{self, Recycler};
use crate::reload::{Closed, Reload, Verdict};
use crate::report::Report;
use crate::requests::{MOST_WORKERS, Requests, strength};
use crate::sampling::Sampling;
use crate::settle::{self, Memory, Settle};
use crate::shown::{Condition, PastReload, Progress, WorkerLine, WorkerView};
use crate::stall::Stalls;
use crate::time::{Span, Time};
use crate::turn::Turn;
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// A service's workers: which are there, which are wanted, and what is being done about the difference.
///
/// Call [`handle`](Herd::handle) for each event, in the order in which things happened, then [`tell`](Herd::tell) once,
/// then wait until the [`deadline`](Herd::deadline) for more. Orders are carried out in the order given, and the
/// outcome of each comes back as an event.
///
/// Each field is a part that owns its own fields: nothing but the part's module can write them.
#[derive(Debug)]
pub struct Herd {
    turn: Turn,
    started: Time,
    /// Slots and workers.
    fleet: Fleet,
    /// Which settings count, and how many workers are wanted.
    policies: Policies,
    reload: Reload,
    /// What operators wait for.
    requests: Requests,
    recycler: Recycler,
    elastic: Elastic,
    stalls: Stalls,
    sampling: Sampling,
    probe: InstanceProbe,
    queues: Queues,
    memory: Memory,
    escalation: Escalation,
    /// How herder ends, once that is decided.
    ending: Option<Ending>,
    notifier: Notifier,
    exited: bool,
}

impl Herd {
    /// The herd of a first generation, and its first orders.
    ///
    /// `seed` feeds the jitter (the same seed gives the same orders); `watchdog` is systemd's `WATCHDOG_USEC`, when it
    /// wants pings.
    pub fn start(
        now: Time,
        seed: u64,
        generation: Generation,
        policy: Policy,
        watchdog: Option<Span>,
        actions: &mut Vec<Action>,
    ) -> Herd {
        let spec = Rc::new(Spec { generation, policy });
        let mut queues = Queues::default();
        queues.add_groups(&spec.policy.queues);
        let mut herd = Herd {
            turn: Turn::new(now, seed),
            started: now,
            fleet: Fleet::default(),
            memory: Memory::new(spec.policy.workers),
            policies: Policies::new(spec),
            reload: Reload::default(),
            requests: Requests::default(),
            recycler: Recycler::default(),
            elastic: Elastic::new(),
            stalls: Stalls::default(),
            sampling: Sampling::default(),
            probe: InstanceProbe::default(),
            queues,
            escalation: Escalation::default(),
            ending: None,
            notifier: Notifier::new(now, watchdog),
            exited: false,
        };
        herd.handle(now, Event::Tick, actions);
        herd
    }

    /// Takes note of an event and appends what is to be done about it.
    ///
    /// `now` never goes back. The outcome of every order has to come back as an event, later: the caller queues events
    /// and never calls this while it carries out an order.
    pub fn handle(&mut self, now: Time, event: Event, actions: &mut Vec<Action>) {
        if self.exited {
            return;
        }
        if self.notifier.has_watchdog() {
            let late = self.deadline().map_or(Span::ZERO, |due| now - due);
            self.notifier.note_lateness(late);
        }
        self.turn.set_now(now);
        self.turn.begin_events();
        self.fleet.begin_event();
        let generation = self.policies.for_slots().generation;
        let mut sweeps = Vec::new();

        // 1. Workers that have been ready for long enough are proved, before this event may be the one of their death.
        self.prove(&mut sweeps);
        // 2. The event becomes a fact: states, counters and records change, and nothing is started.
        self.record(event, &mut sweeps);
        // 3. So does everything that time has made due.
        self.expire(&mut sweeps);
        // 4. A reload takes its next step, since what a slot is to have depends on it.
        self.reload.advance(&mut self.policies, &mut self.fleet, &mut self.turn);
        // 5. Recycling takes its next step: what is no longer needed must be known before it is decided what may go.
        self.recycler.advance(&mut self.fleet, &self.policies, &mut self.requests, &mut self.turn);
        self.give_up_on_requests();
        // 6. herder gives up, if it is time, before anything is started: a worker that is to be drained at once would only
        //    take a connection with it.
        self.escalate_if_due();
        // 7. What is wanted is compared with what is there, and the difference is ordered.
        self.settle();
        // 8. Queues follow the workers that have just been decided about.
        if self.ending.is_none() {
            self.queues.settle(&self.fleet, &self.policies, &mut self.turn);
        }
        // 9. What dead workers have left behind can wait for their replacements.
        for (worker, kill) in sweeps {
            self.turn.order(Action::Sweep { worker, kill });
        }
        // 10. Reloads, requests and herder itself are over when nothing more had to be ordered for them.
        self.conclude(generation);
        // 11. Last, what is needed to know of load, stalls and health is ordered.
        self.ask();
        self.turn.take_orders(actions);
    }

    /// Ends a turn: tells systemd what it should know by now. To be called once there are no more events to
    /// [`handle`](Herd::handle), before waiting for the [`deadline`](Herd::deadline).
    pub fn tell(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.exited {
            return;
        }
        self.turn.set_now(now);
        if self.ending.is_none() && !self.notifier.is_serving() && self.instance().is_up() {
            self.notifier.become_ready(&mut self.turn);
            self.tell_status_now();
            self.turn.order(Action::Notify(Notice::Ready));
            let (wanted, ready) = self.strength();
            self.turn.report(Report::Serving { ready, wanted });
        }
        let (instance, notifier, turn) = self.telling();
        notifier.tell(&instance, turn);
        self.turn.take_orders(actions);
    }

    /// When [`Event::Tick`] is wanted at the latest; `None` while only events can change anything.
    ///
    /// Each part says when it needs time to pass; this is all that can make herder wake up on its own.
    pub fn deadline(&self) -> Option<Time> {
        if self.exited {
            return None;
        }
        let handled = self.turn.handled();
        let (fleet, policies) = (&self.fleet, &self.policies);
        let always = [fleet.deadline(), self.notifier.deadline()];
        let others = match &self.ending {
            Some(ending) => {
                [ending.deadline(handled), None, None, None, None, None, None, None, None]
            }
            None => [
                settle::next_try(fleet, policies, &self.queues, handled),
                self.reload.deadline(fleet),
                self.requests.deadline(policies),
                self.recycler.deadline(fleet, policies, &self.requests, handled),
                self.elastic.deadline(self.scaling()),
                self.stalls.deadline(self.stall_timeout()),
                self.probe.deadline(),
                self.queues.deadline(self.turn.now()),
                self.escalation_deadline(),
            ],
        };
        always.into_iter().chain(others).flatten().min()
    }
}

/// Stages of an event.
impl Herd {
    fn prove(&mut self, sweeps: &mut Vec<(WorkerId, bool)>) {
        let mut effects = Vec::new();
        self.fleet.prove(self.turn.now(), &mut effects);
        self.spread(effects, sweeps);
    }

    fn record(&mut self, event: Event, sweeps: &mut Vec<(WorkerId, bool)>) {
        let (worker, what) = match event {
            Event::Spawned { worker } => (worker, Occurrence::Spawned),
            Event::SpawnFailed { worker, failure } => (worker, Occurrence::NotSpawned(failure)),
            Event::Ready { worker } => (worker, Occurrence::SaidReady),
            Event::Seen { worker, sight } => (worker, Occurrence::Seen(sight)),
            Event::Stopping { worker } => (worker, Occurrence::SaidStopping),
            Event::Extend { worker, by } => (worker, Occurrence::AskedForTime(by)),
            Event::Alive { worker } => (worker, Occurrence::Pinged),
            Event::Stuck { worker } => (worker, Occurrence::Hangs(Hang::Triggered)),
            Event::Interval { worker, interval } => (worker, Occurrence::SaidInterval(interval)),
            Event::Listened { worker } => match self.hang_by_watchdog(worker) {
                Some(why) => (worker, Occurrence::Hangs(why)),
                None => return,
            },
            Event::Probed { worker: Some(worker), outcome } => {
                let (wanted, now) = (self.policies.wanted(), self.turn.now());
                match probe::answered(&mut self.fleet, worker, outcome, wanted, now) {
                    Some(why) => (worker, Occurrence::Hangs(why)),
                    None => return,
                }
            }
            Event::Exited { worker, exit } => (worker, Occurrence::Exited(exit)),
            Event::Gone { worker } => (worker, Occurrence::Gone),
            Event::OutOfMemory { worker, processes } => {
                (worker, Occurrence::OutOfMemory(processes))
            }
            Event::Tick => return,
            Event::Weighed { worker, weight } => {
                return recycle::weighed(&mut self.fleet, worker, weight, self.turn.now());
            }
            Event::Checked { generation, outcome } => {
                let (policies, turn) = (&mut self.policies, &mut self.turn);
                return self.reload.checked(generation, outcome, policies, turn);
            }
            Event::Adjusted { generation, policy } => return self.adjust(generation, policy),
            Event::Refused { reason } => {
                if self.ending.is_none() {
                    self.reload.refuse(reason, self.notifier.is_serving(), &mut self.turn);
                }
                return;
            }
            Event::Scale { by } => return self.scale(by),
            Event::Asked { request, what } => return self.take_request(request, what),
            Event::QueueWaits { queue } => {
                return self.queues.waits(queue, &self.fleet, &self.policies, self.turn.now());
            }
            Event::Sampled(load) => return self.sampled(&load, sweeps),
            Event::Knocked => {
                if self.sampling.knocked() {
                    self.elastic.knocked(&self.fleet, self.turn.now());
                    self.stalls.knocked(self.stall_timeout(), self.turn.now());
                }
                return;
            }
            Event::Probed { worker: None, outcome } => {
                let probe = self.instance_probe();
                return self.probe.answered(outcome, probe, &mut self.turn);
            }
            Event::Resumed => return self.fleet.excuse_watchdogs(self.turn.now()),
            Event::Stop => return self.stop(),
        };
        self.happened(worker, what, sweeps);
    }

    fn happened(&mut self, worker: WorkerId, what: Occurrence, sweeps: &mut Vec<(WorkerId, bool)>) {
        let mut effects = Vec::new();
        self.fleet.take(worker, what, &mut self.turn, &mut effects);
        self.spread(effects, sweeps);
    }

    fn expire(&mut self, sweeps: &mut Vec<(WorkerId, bool)>) {
        for worker in self.fleet.due(self.turn.now()) {
            let mut effects = Vec::new();
            self.fleet.expire(worker, &mut self.turn, &mut effects);
            self.spread(effects, sweeps);
        }
    }

    /// Tells the other parts what has happened to a worker.
    fn spread(&mut self, effects: Vec<Effect>, sweeps: &mut Vec<(WorkerId, bool)>) {
        for effect in effects {
            match effect {
                Effect::BecameReady { worker, slot, generation } => {
                    self.reload.done_in(slot, generation);
                    recycle::begin_wear(&mut self.fleet, worker, &mut self.turn);
                    probe::begin(&mut self.fleet, worker, &mut self.turn);
                }
                Effect::Proved | Effect::WasOfUse => self.escalation.relax(),
                Effect::LeftNormally { worker, slot } => {
                    self.newcomer_lost(worker, slot, "left while it was on trial");
                }
                Effect::CannotBeExecuted { why } => {
                    let first_start = !self.fleet.has_ever_served() && !self.notifier.is_serving();
                    if first_start && self.ending.is_none() {
                        self.give_up(CONFIG, why);
                    }
                }
                Effect::Failed { worker, slot, generation, ending, blame } => {
                    self.escalation.blame(blame);
                    self.failed(worker, slot, generation, &ending.to_string());
                }
                Effect::IsGone { worker, slot, ending } => {
                    self.requests.worker_gone(worker, slot, ending.as_ref(), &mut self.turn);
                }
                Effect::Sweep { worker, kill } => sweeps.push((worker, kill)),
                Effect::PartIsDue { worker } => {
                    recycle::wear_on(&mut self.fleet, worker, &mut self.turn);
                    let now = self.turn.now();
                    if self.fleet.edit(worker, |worker| worker.watchdog.doubt(now)) == Some(true) {
                        self.turn.order(Action::Listen { worker });
                    }
                    probe::ask(&mut self.fleet, worker, &mut self.turn);
                }
            }
        }
    }

    /// A worker was not ready, or not for long, and no operator had asked for its end.
    fn failed(&mut self, worker: WorkerId, slot: SlotId, generation: Generation, why: &str) {
        if self.ending.is_some() {
            return;
        }
        // The failure of new settings says nothing about the slot: the old ones start there at once.
        if self.reload.is_failed_by(generation) {
            let reason = format!("{worker} ({slot}) {why}");
            let (policies, turn) = (&mut self.policies, &mut self.turn);
            return self.reload.abort(reason, Some(worker), policies, turn);
        }
        if self.newcomer_lost(worker, slot, why) {
            return;
        }
        let chance = self.turn.chance();
        let (failures, delay) = self.fleet.back_off(slot, self.turn.now(), chance);
        self.turn.report(Report::BackingOff { slot, failures, delay });
        self.reload.failed_in(slot, generation, &self.policies, &self.fleet);
        let serving = recycle::serving_worn(&self.fleet, &self.policies, &self.requests, slot);
        let serving = serving.map(|worker| worker.id());
        let (fleet, policies) = (&self.fleet, &self.policies);
        let lost = Lost { worker, slot, why };
        self.requests.worker_failed(lost, serving, fleet, policies, &mut self.turn);
    }

    /// A worker has failed or left. `true` if it was to replace another, which serves on.
    fn newcomer_lost(&mut self, worker: WorkerId, slot: SlotId, why: &str) -> bool {
        let (fleet, policies, turn) = (&self.fleet, &self.policies, &mut self.turn);
        let (requests, lost) = (&mut self.requests, Lost { worker, slot, why });
        let old = self.recycler.newcomer_lost(lost, fleet, policies, requests, turn);
        if old.is_some() {
            requests.worker_failed(lost, old, fleet, policies, turn);
        }
        old.is_some()
    }

    fn hang_by_watchdog(&self, worker: WorkerId) -> Option<Hang> {
        let (_, worker) = self.fleet.worker(worker)?;
        worker.watchdog.verdict().filter(|_| worker.is_ready())
    }

    fn give_up_on_requests(&mut self) {
        let (fleet, policies, now) = (&self.fleet, &self.policies, self.turn.now());
        let wanted = policies.wanted();
        let cramped = !self.requests.is_empty()
            && policies.for_instance().most_processes(wanted) <= wanted
            && self.recycler.next(fleet, policies, &self.requests, now).is_some();
        self.requests.give_up(cramped, fleet, policies, &mut self.turn);
    }

    fn escalate_if_due(&mut self) {
        self.make_room();
        if self.ending.is_some() {
            return;
        }
        let now = self.turn.now();
        self.escalation.watch(&mut self.fleet, self.policies.wanted(), now);
        if self.reload.may_end_an_outage() {
            return;
        }
        if let Some((code, reason)) = self.escalation.verdict(&self.fleet, &self.policies, now) {
            self.give_up(code, reason);
        }
    }

    fn make_room(&mut self) {
        self.settling().make_room();
    }

    fn settling(&mut self) -> Settle<'_> {
        Settle {
            fleet: &mut self.fleet,
            policies: &self.policies,
            reload: &mut self.reload,
            requests: &self.requests,
            recycler: &self.recycler,
            queues: &mut self.queues,
            memory: &mut self.memory,
            turn: &mut self.turn,
        }
    }

    fn settle(&mut self) {
        match &self.ending {
            Some(ending) if ending.drains(self.turn.now()) => {
                let hurried = ending.is_hurried();
                let ids: Vec<WorkerId> =
                    self.fleet.workers().map(|(_, worker)| worker.id()).collect();
                for id in ids {
                    match hurried {
                        true => self.fleet.kill(id, &mut self.turn),
                        false => self.fleet.drain(id, &mut self.turn),
                    }
                }
            }
            Some(_) => {}
            None => self.settling().settle(),
        }
    }

    /// `generation` is what slots were to have before this event.
    fn conclude(&mut self, generation: Generation) {
        if let Some(ending) = &self.ending {
            if self.fleet.is_deserted() {
                let (code, took) = ending.result(self.turn.now());
                self.turn.report(Report::Stopped { code, took });
                self.turn.order(Action::Exit { code });
                self.exited = true;
            }
            return;
        }
        let closed = self.reload.conclude(&mut self.policies, &self.fleet, &mut self.turn);
        if let Some(closed) = closed {
            self.finish_reload(&closed);
        }
        if self.policies.for_slots().generation != generation {
            self.fleet.all_changed();
        }
        self.requests.conclude(&self.fleet, &self.policies, &mut self.turn);
    }

    /// A reload has got where it was going.
    fn finish_reload(&mut self, closed: &Closed) {
        if closed.verdict == Verdict::Done {
            self.sampling.watch_anew();
        }
        self.recycler.reset();
        // The line comes first: what waits for READY=1, or for the answer, looks at it next.
        self.tell_status_now();
        if self.notifier.is_serving() {
            self.turn.order(Action::Notify(Notice::Ready));
        }
        self.reload_over(closed);
    }

    fn reload_over(&mut self, closed: &Closed) {
        let strength = strength(&self.fleet, &self.policies);
        self.requests.reload_over(closed, &strength, &mut self.turn);
    }

    fn ask(&mut self) {
        let (scaling, at_rest) = (self.scaling(), self.is_at_rest());
        let timeout = self.stall_timeout();
        let now = self.turn.now();
        let needs = [
            self.elastic.needs(scaling, at_rest, &self.fleet, &self.policies, now),
            self.stalls.needs(timeout, &self.fleet, &mut self.turn),
        ];
        self.sampling.order(needs, &mut self.turn);
        let probe = self.instance_probe();
        self.probe.step(probe, &mut self.turn);
    }
}

/// What operators and the shell want.
impl Herd {
    fn accept(&mut self, generation: Generation, policy: Policy) {
        self.queues.add_groups(&policy.queues);
        let serving = self.notifier.is_serving();
        let (policies, fleet, turn) = (&mut self.policies, &mut self.fleet, &mut self.turn);
        let closed = self.reload.accept(generation, policy, serving, policies, fleet, turn);
        if let Some(closed) = closed {
            self.reload_over(&closed);
        }
        if !serving {
            self.sampling.watch_anew();
            self.escalation.relax();
        }
    }

    /// Other rules for a generation that is in force, or on its way to be. Nothing is replaced for that: workers that were
    /// started by the old rules live by the new ones.
    fn adjust(&mut self, generation: Generation, policy: Policy) {
        let from = self.policies.bounds();
        let spec = Rc::new(Spec { generation, policy });
        let before = self.policies.adjust(&spec);
        let ready = self.fleet.adjust(&spec, self.turn.now());
        let wears = |policy: &Policy| (policy.max_age, policy.max_memory);
        // A generation that was rolled back may still have workers, where the one before does not start any more. What its
        // limits were is not kept, so they begin anew.
        if before.is_none_or(|before| wears(&before.policy) != wears(&spec.policy)) {
            let is_fresh = |id: &WorkerId| {
                self.fleet.worker(*id).is_some_and(|(_, worker)| worker.wear.worn().is_none())
            };
            let fresh: Vec<WorkerId> = ready.into_iter().filter(is_fresh).collect();
            for worker in fresh {
                recycle::begin_wear(&mut self.fleet, worker, &mut self.turn);
            }
        }
        self.bounds_have_changed(from);
    }

    /// This many workers were wanted at least and at most, and now it may be other numbers.
    fn bounds_have_changed(&mut self, from: (u32, u32)) {
        let to = self.policies.bounds();
        if to == from {
            return;
        }
        self.reload.wanted_at_most(self.policies.wanted());
        // Scaling needs other knowledge of the load than a fixed number does.
        if (to.0 < to.1) != (from.0 < from.1) {
            self.sampling.watch_anew();
        }
        if to.0 != from.0 {
            self.turn.report(Report::Scaled { from: from.0, to: to.0 });
        }
    }

    fn scale(&mut self, by: i32) {
        let from = self.policies.bounds();
        let to = from.0.saturating_add_signed(by).min(MOST_WORKERS.max(from.0));
        if self.ending.is_none() && to != from.0 {
            self.policies.ask_for(to);
            self.bounds_have_changed(from);
        }
    }

    fn take_request(&mut self, request: RequestId, what: Request) {
        if self.ending.is_some() {
            let outcome = RequestOutcome::Stopped;
            return self.turn.order(Action::Answer { request, outcome });
        }
        let (fleet, policies) = (&mut self.fleet, &mut self.policies);
        let (reload, turn) = (&mut self.reload, &mut self.turn);
        let taken = self.requests.take(request, what, fleet, policies, reload, turn);
        if let Some((generation, policy)) = taken.reload {
            self.accept(generation, policy);
        }
        if let Some(from) = taken.scaled_from {
            self.bounds_have_changed(from);
        }
    }

    fn sampled(&mut self, load: &Load, sweeps: &mut Vec<(WorkerId, bool)>) {
        if !self.sampling.sampled() {
            return;
        }
        let at_rest = self.notifier.is_serving() && self.is_at_rest();
        let scaling = self.scaling();
        let (fleet, policies, turn) = (&self.fleet, &mut self.policies, &mut self.turn);
        let outlook = self.elastic.sampled(load, scaling, at_rest, fleet, policies, turn);
        self.reload.wanted_at_least(self.policies.wanted());
        if let Outlook::Leave { after } = outlook {
            self.turn.report(Report::LeavingIdle { after });
            self.end(Ending::idle(self.turn.now()));
        }
        let timeout = self.stall_timeout();
        let hung = self.stalls.sampled(load, timeout, &self.fleet, &mut self.turn);
        for (worker, why) in hung {
            self.happened(worker, Occurrence::Hangs(why), sweeps);
        }
    }

    /// SIGTERM and the like. The second one kills.
    fn stop(&mut self) {
        if let Some(ending) = &mut self.ending {
            return ending.hurry();
        }
        self.turn.report(Report::Stopping { workers: self.fleet.processes() });
        let delay = self.policies.good().policy.stop_delay;
        self.end(Ending::asked(delay, self.turn.now()));
    }

    fn give_up(&mut self, code: u8, reason: String) {
        self.turn.report(Report::Escalating { code, reason: reason.clone() });
        self.end(Ending::gives_up(code, reason, self.turn.now()));
    }

    fn end(&mut self, ending: Ending) {
        let failure = ending.failure().map(str::to_owned);
        let (policies, turn) = (&mut self.policies, &mut self.turn);
        let closed = self.reload.cut_short(failure.as_deref(), policies, turn);
        if let Some(closed) = closed {
            self.reload_over(&closed);
        }
        self.requests.stop(&mut self.turn);
        self.turn.order(Action::Notify(Notice::Stopping));
        self.ending = Some(ending);
        self.tell_status_now();
    }
}

/// Questions that several parts answer together.
impl Herd {
    /// The rules of scaling, if the number of workers may change with the load.
    fn scaling(&self) -> Option<Scaling> {
        self.policies.scaling().filter(|_| self.ending.is_none())
    }

    fn stall_timeout(&self) -> Option<Span> {
        self.policies.for_instance().stall_timeout.filter(|_| self.ending.is_none())
    }

    /// The rules of asking the instance, if there is a worker to answer.
    fn instance_probe(&self) -> Option<Probe> {
        let probe = self.policies.for_instance().probe.filter(|probe| !probe.of_worker);
        probe.filter(|_| self.ending.is_none() && self.fleet.serves())
    }

    /// Nothing is wanted, nothing is there, and no request is open.
    fn is_at_rest(&self) -> bool {
        self.policies.wanted() == 0
            && !self.reload.is_under_way()
            && self.requests.is_empty()
            && self.fleet.is_deserted()
    }

    fn escalation_deadline(&self) -> Option<Time> {
        if self.fleet.serves() || self.reload.may_end_an_outage() {
            return None;
        }
        self.escalation.deadline(&self.fleet, &self.policies)
    }

    /// The instance as it is, and what is needed to tell systemd of it.
    fn telling(&mut self) -> (Instance<'_>, &mut Notifier, &mut Turn) {
        let instance = Instance {
            fleet: &self.fleet,
            policies: &self.policies,
            reload: &self.reload,
            requests: &self.requests,
            elastic: &self.elastic,
            stalls: &self.stalls,
            probe: &self.probe,
            ending: self.ending.as_ref(),
            serving: self.notifier.is_serving(),
            now: self.turn.now(),
        };
        (instance, &mut self.notifier, &mut self.turn)
    }

    fn tell_status_now(&mut self) {
        let (instance, notifier, turn) = self.telling();
        notifier.tell_status_now(&instance, turn);
    }

    fn instance(&self) -> Instance<'_> {
        Instance {
            fleet: &self.fleet,
            policies: &self.policies,
            reload: &self.reload,
            requests: &self.requests,
            elastic: &self.elastic,
            stalls: &self.stalls,
            probe: &self.probe,
            ending: self.ending.as_ref(),
            serving: self.notifier.is_serving(),
            now: self.turn.now(),
        }
    }
}

/// What others may see.
impl Herd {
    /// What the herd as a whole is doing.
    pub fn condition(&self) -> Condition {
        self.instance().condition()
    }

    /// The status line as it reads now.
    pub fn status_line(&self) -> String {
        self.instance().status().at(self.turn.now())
    }

    /// How many workers are wanted, and how many of those serve.
    pub fn strength(&self) -> (u32, u32) {
        self.instance().strength()
    }

    /// How many slots are wanted at least and at most; the same if the number is fixed.
    pub fn bounds(&self) -> (u32, u32) {
        self.policies.bounds()
    }

    /// Every worker that has not been forgotten, by slot.
    pub fn view(&self) -> impl Iterator<Item = WorkerView> {
        self.fleet.workers().filter_map(|(slot, worker)| self.shown(slot, worker))
    }

    /// The same, without what only a reader of details needs.
    pub fn workers(&self) -> impl Iterator<Item = WorkerLine> {
        self.fleet.workers().map(|(slot, worker)| WorkerLine {
            id: worker.id(),
            slot,
            generation: worker.generation(),
            state: worker.facts().shown,
        })
    }

    /// One worker, unless it has been forgotten.
    pub fn worker(&self, id: WorkerId) -> Option<WorkerView> {
        let (slot, worker) = self.fleet.worker(id)?;
        self.shown(slot, worker)
    }

    fn shown(&self, slot: SlotId, worker: &crate::fleet::Worker) -> Option<WorkerView> {
        let place = self.fleet.slot(slot)?;
        let facts = worker.facts();
        let diagnosis = match worker.hang() {
            Some(why) => Some(format!("hung: {why}")),
            None if facts.starting => worker.diagnosis().map(str::to_owned),
            None => None,
        };
        Some(WorkerView {
            id: worker.id(),
            slot,
            generation: worker.generation(),
            state: facts.shown,
            queues: worker.queues().to_vec(),
            evidence: worker.ready().map(|(_, evidence)| evidence),
            diagnosis,
            born: worker.born(),
            worn: worker.wear.worn(),
            respawns: place.respawns(),
            last: place.last().cloned(),
            oom_kills: worker.oom_kills(),
        })
    }

    /// Whether it ends because its workers keep failing.
    pub fn gives_up(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.failure().is_some())
    }

    /// The last complete generation.
    pub fn generation(&self) -> Generation {
        self.policies.good().generation
    }

    /// The last reloads that ended, at most five, the newest first.
    pub fn past_reloads(&self) -> impl Iterator<Item = &PastReload> {
        self.reload.past()
    }

    /// The reload under way.
    pub fn progress(&self) -> Option<Progress> {
        self.reload.progress(&self.fleet, self.policies.wanted())
    }

    /// How much of an open request is done: this many workers of that many. `None` for one that is not open, or does not
    /// count in workers.
    pub fn request_progress(&self, request: RequestId) -> Option<(u32, u32)> {
        self.requests.progress(request)
    }

    /// Since when connections have been waiting that none of the workers that share a queue accepts, and how many there were
    /// when that was noticed.
    pub fn stalled(&self) -> Option<(Time, u32)> {
        self.stalls.stalled()
    }

    /// The slots whose workers serve a queue, or whose next worker will.
    pub fn slots_of(&self, queue: QueueId) -> impl Iterator<Item = SlotId> {
        queues::slots_of(queue, &self.fleet, &self.policies)
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        let counters = self.turn.counters();
        let since = self.notifier.degraded_since();
        let running = since.map_or(Span::ZERO, |since| self.turn.now() - since);
        Counters { degraded: counters.degraded + running, ..counters }
    }

    /// When the first worker was ordered.
    pub fn started(&self) -> Time {
        self.started
    }
}
