//! Properties that every run has to keep. The watch sees a herd from outside only: its orders, and its public view
//! before and after each event.

use super::answers::Answers;
use super::behaviour::{Fault, Quality};
use super::lives::{Life, Lives};
use super::queues::Queues;
use super::wear::Wears;
use super::world::has_process;
use herder_core::{
    Action, Condition, Event, Evidence, Generation, Herd, Manner, Notice, Policy, Ready,
    ReloadPhase, Report, Request, RequestId, RequestOutcome, Sight, SlotId, Span, Time, WorkerId,
    WorkerState,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Watch {
    answers: Answers,
    pub lives: Lives,
    wears: Wears,
    before: BTreeMap<WorkerId, (SlotId, WorkerState)>,
    /// The most slots that were wanted since the herd last had no leaving worker and no reload under way.
    peak: u32,
    wanted_before: u32,
    accepted: BTreeSet<Generation>,
    answered: BTreeMap<Generation, RequestOutcome>,
    /// Requests for reloads, with what they are to bring.
    reloads: BTreeMap<RequestId, Generation>,
    /// Generations of which no worker is to be started again.
    forgotten: BTreeSet<Generation>,
    /// Generations that were answered in this turn.
    just_answered: BTreeSet<Generation>,
    instant: (Time, usize),
    stops: u32,
    ready_sent: bool,
    stopping_sent: bool,
    reloading: bool,
    escalated: bool,
    status_at: Vec<Time>,
    /// The number of turns in a row, at one instant, whose only event was that time passed.
    ticks: (Time, u32),
    /// The caller has ended the turn with `tell`.
    pub turn_ends: bool,
    /// Since when each worker has been ready.
    ready_at: BTreeMap<WorkerId, Time>,
    /// Workers that have been ready for `min-lifetime`.
    proved: BTreeSet<WorkerId>,
    started_at: BTreeMap<WorkerId, Time>,
    /// When a proved worker was last ready, or no worker was wanted.
    trust: Time,
    /// Failures of each slot since then.
    failures: BTreeMap<SlotId, u32>,
    /// Starting workers that are being looked at, and what was seen of others at the last look.
    looks: BTreeMap<WorkerId, Option<Sight>>,
}

fn states(herd: &Herd) -> BTreeMap<WorkerId, (SlotId, WorkerState)> {
    herd.view().map(|worker| (worker.id, (worker.slot, worker.state))).collect()
}

fn ready_slots(states: &BTreeMap<WorkerId, (SlotId, WorkerState)>, wanted: u32) -> u32 {
    let slots: BTreeSet<SlotId> = states
        .values()
        .filter(|(slot, state)| *state == WorkerState::Ready && slot.0 < wanted)
        .map(|(slot, _)| *slot)
        .collect();
    slots.len() as u32
}

/// The number of slots that have a worker which has not been told to stop.
fn active_slots(states: &BTreeMap<WorkerId, (SlotId, WorkerState)>) -> u32 {
    let active = states
        .values()
        .filter(|(_, state)| matches!(state, WorkerState::Starting | WorkerState::Ready));
    active.map(|(slot, _)| slot.0 + 1).max().unwrap_or(0)
}

/// The settings that a turn goes by: those that are being brought in, unless a reload is rolled back, and
/// otherwise those of the last complete generation.
fn rules<'a>(herd: &Herd, policies: &'a BTreeMap<Generation, Policy>) -> &'a Policy {
    let forward = herd.progress().filter(|progress| progress.phase != ReloadPhase::RollingBack);
    &policies[&forward.map_or(herd.generation(), |progress| progress.generation)]
}

impl Watch {
    pub fn before(
        &mut self,
        now: Time,
        herd: &Herd,
        event: &Event,
        policies: &BTreeMap<Generation, Policy>,
    ) {
        self.answers.before(herd, event);
        for worker in herd.view().filter(|worker| worker.state == WorkerState::Ready) {
            let min_lifetime = policies[&worker.generation].min_lifetime;
            if self.ready_at.get(&worker.id).is_some_and(|at| *at + min_lifetime <= now) {
                self.proved.insert(worker.id);
            }
        }
        self.before = states(herd);
        self.just_answered.clear();
        self.wanted_before = herd.strength().0;
        match event {
            Event::Asked { request, what: Request::Reload { generation, .. } } => {
                self.accepted.insert(*generation);
                self.reloads.insert(*request, *generation);
            }
            Event::Stop => self.stops += 1,
            _ => {}
        }
    }

    /// The settings of a generation are others from this event on.
    pub fn adjusted(&mut self, now: Time, generation: Generation, old: &Policy, new: &Policy) {
        self.lives.adjusted(now, generation, old, new);
        self.wears.adjusted(generation, old, new);
    }

    pub fn after(
        &mut self,
        now: Time,
        herd: &Herd,
        event: &Event,
        actions: &[Action],
        policies: &BTreeMap<Generation, Policy>,
    ) {
        self.lives.after(now, herd, event, actions, policies);
        self.answers.after(herd, actions, policies);
        self.bounded_work(now, actions, herd);
        self.capacity(herd, actions, policies);
        self.processes(herd, actions, policies);
        self.surge(herd, actions, policies);
        self.starting(herd, actions, policies);
        self.forgets(actions);
        self.systemd(now, actions);
        self.answers(actions);
        self.the_end(event, actions);
        self.trust(now, herd, actions, policies);
        self.looks(herd, event, actions, policies);
        self.wears.after(now, herd, event, actions, policies);
        // A deadline that stays in the past would make the loop spin. (Messages to systemd are sent at the end of a
        // turn, so their deadline may stay until then.)
        let deadline = herd.deadline();
        self.ticks = match (event, self.ticks) {
            (Event::Tick, (at, ticks)) if at == now => (now, ticks + u32::from(self.turn_ends)),
            _ => (now, 0),
        };
        assert!(
            self.ticks.1 < 4 || deadline.is_none_or(|time| time > now),
            "due at {deadline:?}: {:?} {}",
            herd.condition(),
            herd.status_line()
        );
    }

    /// The number of events and orders in one instant is bounded.
    fn bounded_work(&mut self, now: Time, actions: &[Action], herd: &Herd) {
        if self.instant.0 != now {
            self.instant = (now, 0);
        }
        self.instant.1 += 1 + actions.len();
        let bound = 400 + 100 * (herd.strength().0 as usize + self.before.len());
        assert!(self.instant.1 < bound, "{} events and orders in one instant", self.instant.1);
    }

    /// herder's own orders never leave fewer ready workers than `workers - max-unavailable`.
    fn capacity(&self, herd: &Herd, actions: &[Action], policies: &BTreeMap<Generation, Policy>) {
        if herd.condition() == Condition::Stopping {
            return;
        }
        let after = states(herd);
        let wanted = herd.strength().0;
        // The slots that would be ready without the drains of this turn: drained workers count if they were ready
        // before or became ready in this turn.
        let mut undrained = after.clone();
        let mut drained_ready = false;
        for action in actions {
            let Action::Drain { worker } = action else { continue };
            let Some((_, state)) = self.before.get(worker) else { continue };
            if self.answers.unwanted.contains(worker) {
                continue;
            }
            let got_ready = actions.iter().any(|action| {
                matches!(action, Action::Report(Report::Ready { worker: ready, .. }) if ready == worker)
            });
            let serves = *state == WorkerState::Ready || got_ready;
            if let Some(entry) = undrained.get_mut(worker).filter(|_| serves) {
                entry.1 = WorkerState::Ready;
                drained_ready = true;
            }
        }
        if !drained_ready {
            return;
        }
        let allowed = rules(herd, policies).max_unavailable.down(wanted);
        let floor = ready_slots(&undrained, wanted).min(wanted.saturating_sub(allowed));
        let ready = ready_slots(&after, wanted);
        assert!(
            ready >= floor,
            "{ready} slots ready after draining, {floor} promised, {wanted} wanted"
        );
    }

    /// At most wanted + max-surge + max-draining processes, counted whenever one is started.
    fn processes(
        &mut self,
        herd: &Herd,
        actions: &[Action],
        policies: &BTreeMap<Generation, Policy>,
    ) {
        let after = states(herd);
        let leaving = self.before.values().any(|(_, state)| {
            has_process(*state) && !matches!(state, WorkerState::Starting | WorkerState::Ready)
        });
        let wanted = herd.strength().0;
        let highest = active_slots(&after).max(active_slots(&self.before)).max(wanted);
        let highest = highest.max(self.wanted_before);
        let reloading = self.accepted.len() > self.answered.len();
        self.peak = if leaving || reloading { self.peak.max(highest) } else { highest };
        if !actions.iter().any(|action| matches!(action, Action::Spawn { .. })) {
            return;
        }
        let live = after.values().filter(|(_, state)| has_process(*state)).count() as u32;
        let bound = rules(herd, policies).most_processes_since(wanted, self.peak);
        assert!(live <= bound, "{live} processes, {bound} allowed, peak {}", self.peak);
    }

    /// A second worker in a slot is started only within wanted + max-surge; outside a reload one more than
    /// wanted is always allowed, to replace a worker that is worn or of settings that were given up.
    fn surge(&self, herd: &Herd, actions: &[Action], policies: &BTreeMap<Generation, Policy>) {
        let wanted = herd.strength().0;
        let spawned = |id: WorkerId| {
            actions.iter().any(|a| matches!(a, Action::Spawn { worker, .. } if *worker == id))
        };
        // A worker that has not been started yet may already be waiting to be told to stop.
        let active: Vec<(SlotId, WorkerId)> = herd
            .view()
            .filter(|view| view.slot.0 < wanted)
            .filter(|view| match self.lives.of(view.id) {
                Some(Life::Starting | Life::Ready) => true,
                Some(Life::Spawning) => spawned(view.id),
                _ => false,
            })
            .map(|view| (view.slot, view.id))
            .collect();
        let beside = |slot: SlotId| active.iter().filter(|(other, _)| *other == slot).count() > 1;
        let surge = rules(herd, policies).surge(wanted);
        let surge = if herd.progress().is_some() { surge } else { surge.max(1) };
        for (slot, id) in active.iter().filter(|(slot, id)| spawned(*id) && beside(*slot)) {
            let bound = wanted + surge;
            assert!(active.len() as u32 <= bound, "{id} ({slot}) exceeds {bound}: {active:?}");
        }
    }

    /// A worker is started only while fewer than max-starting workers are starting.
    fn starting(&self, herd: &Herd, actions: &[Action], policies: &BTreeMap<Generation, Policy>) {
        if !actions.iter().any(|action| matches!(action, Action::Spawn { .. })) {
            return;
        }
        let starting = herd.view().filter(|view| view.state == WorkerState::Starting).count();
        let most = rules(herd, policies).max_starting;
        let within = most.is_none_or(|most| starting as u32 <= most);
        assert!(within, "{starting} workers are starting, {most:?} allowed");
    }

    /// A generation is forgotten once, and no worker of it is started afterwards.
    fn forgets(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Spawn { worker, generation, .. } => {
                    assert!(!self.forgotten.contains(generation), "{worker} is of {generation}");
                }
                Action::Forget { generation } => {
                    assert!(self.forgotten.insert(*generation), "{generation} forgotten twice");
                }
                _ => {}
            }
        }
    }

    /// Messages to systemd follow the order of sd_notify(3), and STATUS= is sent once a second at most.
    fn systemd(&mut self, now: Time, actions: &[Action]) {
        let over = |action: &Action| {
            let end = matches!(action, Action::Answer { request, .. }
                if self.reloads.contains_key(request));
            end || matches!(action, Action::Notify(Notice::Stopping | Notice::Ready))
        };
        let forced = actions.iter().any(over);
        for action in actions {
            let Action::Notify(notice) = action else { continue };
            match notice {
                Notice::Ready => {
                    assert!(!self.stopping_sent, "READY=1 after STOPPING=1");
                    self.ready_sent = true;
                    self.reloading = false;
                }
                Notice::Reloading(at) => {
                    assert!(self.ready_sent && !self.stopping_sent && !self.reloading);
                    assert_eq!(*at, now);
                    self.reloading = true;
                }
                Notice::Stopping => {
                    assert!(!self.stopping_sent, "STOPPING=1 twice");
                    self.stopping_sent = true;
                }
                Notice::Watchdog => {
                    assert!(self.ready_sent, "WATCHDOG=1 before READY=1 arms the watchdog early");
                    assert!(!self.stopping_sent, "WATCHDOG=1 after STOPPING=1 arms it again");
                }
                Notice::Status(text) => {
                    assert!(!text.contains('\n') && text.len() < 2_000, "{text:?}");
                    let last = self.status_at.last().copied();
                    assert!(
                        forced || last.is_none_or(|last| now.0 - last.0 >= 1_000_000),
                        "STATUS twice within a second"
                    );
                    self.status_at.push(now);
                }
                Notice::Extend => {}
            }
        }
    }

    /// herder escalates only after the number of failures, or the time, that the settings promise. Both count from
    /// when a proved worker was last ready.
    fn trust(
        &mut self,
        now: Time,
        herd: &Herd,
        actions: &[Action],
        policies: &BTreeMap<Generation, Policy>,
    ) {
        let trusted = self
            .before
            .iter()
            .any(|(id, (_, state))| *state == WorkerState::Ready && self.proved.contains(id));
        if trusted || self.wanted_before == 0 {
            self.trust = now;
            self.failures.clear();
        }
        for action in actions {
            let Action::Report(report) = action else { continue };
            match report {
                Report::Started { worker, .. } => {
                    self.started_at.insert(*worker, now);
                }
                Report::Ready { worker, .. } => {
                    self.ready_at.insert(*worker, now);
                }
                Report::Retiring { worker, .. }
                | Report::Ended { worker, manner: Manner::Retired, .. }
                    if self.before.get(worker).is_some_and(|(_, s)| *s == WorkerState::Ready)
                        && self
                            .started_at
                            .get(worker)
                            .is_some_and(|at| (now - *at).0 >= 100_000) =>
                {
                    // A worker that retires ends the trouble only if it has lived for some time.
                    self.trust = now;
                    self.failures.clear();
                }
                Report::NotStarted { slot, .. }
                | Report::TimedOut { slot, .. }
                | Report::Hung { slot, .. }
                | Report::Ended { slot, manner: Manner::BeforeReady | Manner::Young, .. } => {
                    *self.failures.entry(*slot).or_default() += 1;
                }
                Report::Escalating { code, .. } if *code != 78 => {
                    let policy = &policies[&herd.generation()];
                    let long = now - self.trust >= policy.crash_after;
                    let count = |slot| self.failures.get(&SlotId(slot)).copied().unwrap_or(0);
                    let often = (0..self.wanted_before.min(herd.strength().0))
                        .all(|slot| count(slot) >= policy.crash_burst);
                    assert!(
                        long || often,
                        "gave up too early: {:?} of {}: {report}",
                        self.failures,
                        policy.crash_burst
                    );
                }
                _ => {}
            }
        }
    }

    /// herder looks at a worker only while it is starting and `ready` asks for looks, one look at a time. A worker
    /// becomes ready only by evidence that its settings allow.
    fn looks(
        &mut self,
        herd: &Herd,
        event: &Event,
        actions: &[Action],
        policies: &BTreeMap<Generation, Policy>,
    ) {
        let waits = match event {
            // The answer to a look that was not ordered is ignored.
            Event::Seen { worker, sight } if self.looks.get(worker) == Some(&None) => {
                self.looks.insert(*worker, Some(sight.clone()));
                (*sight == Sight::Waiting).then_some(*worker)
            }
            _ => None,
        };
        for action in actions {
            match action {
                Action::Look { worker } => {
                    let view = herd.view().find(|view| view.id == *worker).expect("it is known");
                    let policy = &policies[&view.generation];
                    // The worker may be told to stop in the same turn.
                    let before = self.before.get(worker).map(|(_, state)| *state);
                    assert_eq!(before, Some(WorkerState::Starting), "{worker}");
                    assert!(matches!(policy.ready, Ready::Auto | Ready::Accepting));
                    assert!(policy.has_socket);
                    let before = self.looks.insert(*worker, None);
                    assert_ne!(before, Some(None), "{worker} is looked at twice at a time");
                }
                Action::Report(Report::Ready { worker, generation, evidence, .. }) => {
                    let policy = &policies[generation];
                    let seen = self.looks.get(worker).cloned().flatten();
                    let allowed = match evidence {
                        Evidence::Notified => {
                            matches!(policy.ready, Ready::Auto | Ready::Notify)
                                && *event == Event::Ready { worker: *worker }
                        }
                        Evidence::Accepting => waits == Some(*worker),
                        Evidence::Executed => policy.ready == Ready::Exec,
                        Evidence::Assumed if policy.ready == Ready::Auto && policy.has_socket => {
                            // The next look may have been ordered already.
                            matches!(seen, Some(Sight::Unreadable(_)))
                                || self.looks.get(worker) == Some(&None)
                        }
                        Evidence::Assumed => matches!(policy.ready, Ready::Auto | Ready::Alive),
                    };
                    assert!(allowed, "{worker} is ready: {evidence}, by {policy:?}");
                }
                _ => {}
            }
        }
    }

    /// Every accepted reload is answered exactly once.
    fn answers(&mut self, actions: &[Action]) {
        for action in actions {
            let Action::Answer { request, outcome } = action else { continue };
            let Some(generation) = self.reloads.get(request) else { continue };
            self.just_answered.insert(*generation);
            let before = self.answered.insert(*generation, outcome.clone());
            assert_eq!(before, None, "{generation} answered twice");
        }
    }

    fn the_end(&mut self, event: &Event, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Report(Report::Escalating { code, .. }) => {
                    assert_ne!(*code, 0, "an escalation has to fail");
                    let serves = self.before.iter().any(|(id, (_, state))| {
                        let hangs = |action: &Action| *action == Action::Abort { worker: *id };
                        let ended = matches!(event, Event::Exited { worker, .. } if worker == id)
                            || matches!(event, Event::Stopping { worker } if worker == id)
                            || actions.iter().any(hangs);
                        *state == WorkerState::Ready && !ended
                    });
                    assert!(!serves, "escalated while a worker served");
                    assert_eq!(self.stops, 0, "escalated while stopping");
                    self.escalated = true;
                }
                Action::Exit { code } => {
                    assert_eq!(*code != 0, self.escalated, "exit {code}");
                    for generation in &self.accepted {
                        assert!(
                            self.answered.contains_key(generation),
                            "{generation} never answered"
                        );
                    }
                }
                _ => {}
            }
        }
    }

    /// The herd was told to stop, or it escalates.
    pub fn is_ending(&self) -> bool {
        self.stops > 0 || self.escalated
    }

    /// A surplus slot leaves no connection in its queues.
    pub fn queues_are_left_empty(
        &self,
        now: Time,
        herd: &Herd,
        actions: &[Action],
        queues: &mut Queues,
        patience: &BTreeMap<Generation, Span>,
    ) {
        let asked_for = &self.answers.unwanted;
        queues.leaves_in_time(now, herd, &self.before, actions, asked_for, patience);
    }

    /// A request in a run without faults is done.
    pub fn was_done(&self, herd: &Herd, what: &Request) {
        self.answers.was_done(herd, what);
    }

    /// Long after the last fault, when every worker works, each worn worker has been replaced.
    pub fn worn_workers_are_replaced(
        &self,
        now: Time,
        herd: &Herd,
        policies: &BTreeMap<Generation, Policy>,
    ) {
        self.wears.at_the_end(now, herd, policies);
    }

    /// Long after the last fault the herd is at full strength, or as near to it as its files allow.
    pub fn at_the_end(&self, herd: &Herd, qualities: &BTreeMap<Generation, Quality>) {
        let (wanted, ready) = herd.strength();
        let broken = matches!(qualities[&herd.generation()], Quality::Broken(_));
        // Workers that serve for some seconds before they fail can be accepted as good.
        let works_at_times = matches!(
            qualities[&herd.generation()],
            Quality::Broken(
                Fault::ReadyThenDies(_) | Fault::DiesAfter(_) | Fault::ReadyThenHangs(_)
            )
        );
        self.answers.at_the_end();
        let first = Generation(1);
        for generation in self.accepted.iter().chain([&first]) {
            let kept = *generation == herd.generation();
            let forgotten = self.forgotten.contains(generation);
            assert!(kept != forgotten, "{generation} is in force, and forgotten, or neither");
        }
        assert!(!self.escalated, "escalated, yet alive");
        assert!(!self.reloading, "RELOADING=1 was never followed by READY=1");
        assert_ne!(herd.condition(), Condition::Reloading, "a reload without end");
        for generation in &self.accepted {
            assert!(self.answered.contains_key(generation), "{generation} never answered");
        }
        if broken {
            // These settings were good when a reload brought them in, and their files are broken now: either a worker
            // still serves, or herder has escalated.
            assert!(
                ready > 0 || wanted == 0 || works_at_times,
                "no worker serves and herder has not escalated"
            );
            return;
        }
        assert_eq!(ready, wanted, "not at full strength");
        for worker in herd.view().filter(|worker| worker.state == WorkerState::Ready) {
            let right = worker.generation == herd.generation();
            assert!(right, "a worker of a generation that was given up");
        }
    }
}
