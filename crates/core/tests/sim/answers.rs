//! Properties of requests and of counters that every run has to keep. Like the watch in `properties`, the checks
//! see a herd from outside only: its events, orders, reports and answers.

use herder_core::{
    Action, Condition, Counters, Event, Generation, Hang, Herd, Manner, Outcome, Policy, Report,
    Request, RequestId, RequestOutcome, SlotId, Span, Wear, WorkerId, WorkerState, WorkerView,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct Answers {
    open: BTreeMap<RequestId, Asked>,
    asked: BTreeSet<RequestId>,
    before: BTreeMap<WorkerId, (SlotId, WorkerState)>,
    wanted_before: u32,
    /// A reload or its roll-back was under way.
    reloading: bool,
    /// Workers that an operator asked to stop.
    pub unwanted: BTreeSet<WorkerId>,
    last_worker: Option<WorkerId>,
    counted: Counters,
    reloads: usize,
    respawns: u64,
    degraded: Span,
    last: Option<(Request, RequestOutcome)>,
    /// Generations for which a reload began.
    accepted: BTreeSet<Generation>,
}

struct Asked {
    what: Request,
    /// Workers that the request is to replace.
    ready: BTreeMap<WorkerId, SlotId>,
    /// An earlier request for a recycling is still open, and this one joins it.
    joins: bool,
}

fn states(herd: &Herd) -> BTreeMap<WorkerId, (SlotId, WorkerState)> {
    herd.view().map(|worker| (worker.id, (worker.slot, worker.state))).collect()
}

fn is_recycling(what: &Request) -> bool {
    matches!(what, Request::Recycle { .. })
}

impl Answers {
    pub fn before(&mut self, herd: &Herd, event: &Event) {
        self.before = states(herd);
        self.wanted_before = herd.strength().0;
        self.reloading = herd.progress().is_some();
        let Event::Asked { request, what } = event else { return };
        if let Request::Reload { generation, .. } = what {
            let newest = self.accepted.last().copied().unwrap_or(herd.generation());
            if *generation > newest && herd.condition() != Condition::Stopping {
                self.accepted.insert(*generation);
            }
        }
        let covered = |slot: SlotId| match what {
            Request::Recycle { slot: Some(one) } => slot == *one,
            _ => slot.0 < herd.strength().0,
        };
        let ready = self
            .before
            .iter()
            .filter(|(_, (slot, state))| *state == WorkerState::Ready && covered(*slot));
        // A worker that is replacing a worn one is new already, so the request need not replace it.
        let is_new = |id: WorkerId, slot: SlotId| {
            herd.view().any(|one| one.slot == slot && one.id < id && one.worn.is_some())
        };
        let ready = ready.filter(|(id, (slot, _))| !is_new(**id, *slot));
        let ready = ready.map(|(id, (slot, _))| (*id, *slot)).collect();
        let joins = is_recycling(what) && self.open.values().any(|asked| is_recycling(&asked.what));
        assert!(self.asked.insert(*request), "the simulator numbers requests");
        self.open.insert(*request, Asked { what: what.clone(), ready, joins });
    }

    pub fn after(
        &mut self,
        herd: &Herd,
        actions: &[Action],
        policies: &BTreeMap<Generation, Policy>,
    ) {
        let after = states(herd);
        self.workers_count_up(actions);
        self.old_ones_go_last(herd, &after, actions, policies);
        self.one_slot_at_a_time(herd, &after, actions);
        self.counters(herd, actions);
        for action in actions {
            if let Action::Answer { request, outcome } = action {
                let asked = self.open.remove(request).expect("one answer to each request");
                self.is_true(herd, &after, &asked, outcome);
                self.last = Some((asked.what, outcome.clone()));
            }
            if let Action::Exit { .. } = action {
                assert!(self.open.is_empty(), "left without an answer to {:?}", self.open.keys());
            }
        }
        self.in_time(herd, &after);
    }

    fn workers_count_up(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::Spawn { worker, .. } = action {
                assert!(self.last_worker < Some(*worker), "{worker} is not a new one");
                self.last_worker = Some(*worker);
            }
            if let Action::Report(Report::StopRequested { worker, .. }) = action {
                assert!(self.unwanted.insert(*worker), "{worker} was told to stop twice");
            }
        }
    }

    /// Without a reload, herder drains the ready worker of a slot only in four cases: the slot has another ready
    /// worker, the slot is surplus, an operator asked for it, or the worker has settings that were given up and
    /// the settings in force leave no room for a second worker in a slot.
    fn old_ones_go_last(
        &self,
        herd: &Herd,
        after: &BTreeMap<WorkerId, (SlotId, WorkerState)>,
        actions: &[Action],
        policies: &BTreeMap<Generation, Policy>,
    ) {
        let reloading = self.reloading || herd.progress().is_some();
        if reloading || herd.condition() == Condition::Stopping {
            return;
        }
        let wanted = herd.strength().0;
        let no_room = policies
            .get(&herd.generation())
            .is_some_and(|policy| policy.most_processes(wanted) <= wanted);
        for action in actions {
            let Action::Drain { worker } = action else { continue };
            let Some((slot, WorkerState::Ready)) = self.before.get(worker) else { continue };
            let surplus = slot.0 >= wanted;
            let given_up =
                |one: WorkerView| one.id == *worker && one.generation != herd.generation();
            if no_room && herd.view().any(given_up) {
                continue;
            }
            let followed =
                after.values().any(|(place, state)| place == slot && *state == WorkerState::Ready);
            assert!(
                surplus || followed || self.unwanted.contains(worker),
                "{worker} was drained before another worker was ready in {slot}"
            );
        }
        for action in actions {
            let Action::Report(Report::Recycled { worker, slot, by, why, .. }) = action else {
                continue;
            };
            let wanted = |asked: &Asked| match asked.what {
                Request::Recycle { slot: one } => one.is_none_or(|one| one == *slot),
                _ => false,
            };
            let wanted = *why != Wear::Asked || self.open.values().any(wanted);
            assert!(wanted, "no open request is to recycle {worker}");
            assert!(by > worker && actions.contains(&Action::Drain { worker: *worker }));
            // The slot may have become surplus in this very turn; then the replacement is told to stop, too.
            let dropped =
                slot.0 >= herd.strength().0 && actions.contains(&Action::Drain { worker: *by });
            assert!(dropped || after.get(by) == Some(&(*slot, WorkerState::Ready)));
        }
    }

    /// Without a reload the second worker of a slot is started only while no other slot has one.
    fn one_slot_at_a_time(
        &self,
        herd: &Herd,
        after: &BTreeMap<WorkerId, (SlotId, WorkerState)>,
        actions: &[Action],
    ) {
        let mixed = herd.view().any(|worker| worker.generation != herd.generation());
        if self.reloading || herd.progress().is_some() || mixed {
            return;
        }
        let mut active: BTreeMap<SlotId, u32> = BTreeMap::new();
        for (id, (slot, state)) in after {
            // A worker that an operator asked to stop may have to be started before it can be told to.
            let counts = matches!(state, WorkerState::Starting | WorkerState::Ready)
                && !self.unwanted.contains(id);
            *active.entry(*slot).or_default() += u32::from(counts);
        }
        for action in actions {
            let Action::Spawn { slot, .. } = action else { continue };
            let beside = active.get(slot).is_some_and(|count| *count > 1);
            let others = active.iter().filter(|(other, count)| *other != slot && **count > 1);
            assert!(!beside || others.count() == 0, "two slots are recycled at once");
            let worn = herd.view().any(|worker| worker.slot == *slot && worker.worn.is_some());
            assert!(!beside || worn || self.open.values().any(|asked| is_recycling(&asked.what)));
        }
    }

    /// When a request is answered as done, the herd is in the state that was asked for.
    fn is_true(
        &self,
        herd: &Herd,
        after: &BTreeMap<WorkerId, (SlotId, WorkerState)>,
        asked: &Asked,
        outcome: &RequestOutcome,
    ) {
        let wanted = herd.strength().0;
        match (outcome, &asked.what) {
            (RequestOutcome::Stopped, _) => {
                assert_eq!(
                    herd.condition(),
                    Condition::Stopping,
                    "answered as stopped by a herd that does not stop"
                );
            }
            (RequestOutcome::Done(_), Request::Scale { workers }) => {
                assert_eq!(herd.bounds().0, *workers);
                let surplus = after.values().any(|(slot, state)| {
                    slot.0 >= wanted && matches!(state, WorkerState::Starting | WorkerState::Ready)
                });
                assert!(!surplus, "a worker too many was not told to stop");
            }
            (RequestOutcome::Done(_), Request::Recycle { .. }) => {
                for (id, slot) in asked.ready.iter().filter(|_| !asked.joins) {
                    let still = matches!(after.get(id), Some((_, WorkerState::Ready)));
                    assert!(!still || slot.0 >= wanted, "{id} ({slot}) was not replaced");
                }
            }
            (RequestOutcome::Done(_), Request::StopWorker { worker }) => {
                let state = after.get(worker).map(|(_, state)| *state);
                assert!(matches!(state, None | Some(WorkerState::Swept)), "{worker}: {state:?}");
            }
            (RequestOutcome::Done(_), Request::AbortReload) => {
                assert_eq!(herd.progress(), None, "a reload goes on");
            }
            (RequestOutcome::NotFound(_), Request::Recycle { slot: Some(slot) }) => {
                // A reload that ended in this very turn may have brought more slots.
                assert!(slot.0 >= wanted.min(self.wanted_before));
            }
            (RequestOutcome::NotFound(_), Request::StopWorker { worker }) => {
                assert!(!self.before.contains_key(worker));
            }
            (RequestOutcome::NotFound(what), _) => panic!("not found: {what}"),
            (RequestOutcome::Done(_), Request::Reload { generation, .. }) => {
                assert_eq!(herd.generation(), *generation);
                assert_eq!(herd.progress(), None, "a reload goes on");
            }
            (RequestOutcome::Superseded { by }, Request::Reload { generation, .. }) => {
                assert!(by > generation);
            }
            (RequestOutcome::Superseded { .. }, what) => panic!("{what:?} was superseded"),
            (RequestOutcome::Failed { reason, worker }, _) => {
                assert!(!reason.is_empty() && !reason.contains('\n'));
                let named = worker.is_none_or(|worker| reason.contains(&worker.to_string()));
                assert!(named, "{reason}");
            }
        }
    }

    fn counters(&mut self, herd: &Herd, actions: &[Action]) {
        let own = &mut self.counted;
        for action in actions {
            match action {
                Action::Report(Report::NotStarted { .. }) => own.failed_to_start += 1,
                Action::Report(Report::TimedOut { .. }) => own.timed_out += 1,
                Action::Report(Report::Ended { manner, .. }) => match manner {
                    Manner::Ordered => {}
                    Manner::BeforeReady => own.died_before_ready += 1,
                    Manner::Young => own.died_young += 1,
                    Manner::Crashed => own.crashes += 1,
                    Manner::Retired => own.retired += 1,
                },
                Action::Report(Report::Recycled { why, .. }) => {
                    own.recycled += 1;
                    match why {
                        Wear::Asked => {}
                        Wear::Age { .. } => own.recycled_for_age += 1,
                        Wear::Memory { .. } => own.recycled_for_memory += 1,
                    }
                }
                Action::Report(Report::Hung { why: Hang::Stalled { .. }, .. }) => own.stalled += 1,
                Action::Report(Report::Hung { why: Hang::Unfit { .. }, .. }) => own.unfit += 1,
                Action::Report(Report::Hung { .. }) => own.hung += 1,
                Action::Report(Report::ScaledUp { .. }) => own.scale_ups += 1,
                Action::Report(Report::ScaledDown { .. }) => own.scale_downs += 1,
                Action::Report(Report::ScaleLimit { .. }) => own.scale_limits += 1,
                Action::Report(Report::OutOfMemory { processes, .. }) => own.oom_kills += processes,
                Action::Report(Report::ReloadRefused { .. }) => {
                    own.reloads_refused += 1;
                    self.reloads += 1;
                }
                Action::Answer { request, outcome } => {
                    let asked = self.open.get(request).map(|asked| &asked.what);
                    let Some(Request::Reload { generation, .. }) = asked else { continue };
                    if !self.accepted.contains(generation) {
                        continue;
                    }
                    match outcome {
                        RequestOutcome::Done(_) => own.reloads_done += 1,
                        RequestOutcome::Failed { .. } => own.reloads_failed += 1,
                        RequestOutcome::Superseded { .. } => own.reloads_superseded += 1,
                        RequestOutcome::Stopped => {}
                        RequestOutcome::NotFound(why) => panic!("a reload was not found: {why}"),
                    }
                    self.reloads += 1;
                }
                _ => {}
            }
        }
        let counters = herd.counters();
        assert!(counters.respawns >= self.respawns && counters.degraded >= self.degraded);
        (self.respawns, self.degraded) = (counters.respawns, counters.degraded);
        own.respawns = counters.respawns;
        own.degraded = counters.degraded;
        assert_eq!(counters, *own);
        let failures = own.failed_to_start + own.died_before_ready + own.timed_out + own.died_young;
        assert_eq!(counters.failures(), failures);
        let past: Vec<_> = herd.past_reloads().collect();
        if herd.condition() != Condition::Stopping {
            assert_eq!(past.len(), self.reloads.min(5), "the last five are remembered");
        }
        assert!(past.windows(2).all(|pair| pair[0].at >= pair[1].at), "the newest first");
        let without = past.iter().filter(|past| past.took.is_none());
        assert!(without.into_iter().all(|past| past.outcome == Outcome::Refused));
    }

    /// Requests are open only while what they wait for is under way. (How long that takes at most is what
    /// `lives` checks.)
    fn in_time(&self, herd: &Herd, after: &BTreeMap<WorkerId, (SlotId, WorkerState)>) {
        for (id, asked) in &self.open {
            assert_ne!(herd.condition(), Condition::Stopping, "{id} waits for a herd that ends");
            match &asked.what {
                Request::StopWorker { worker } => {
                    let state = after.get(worker).map(|(_, state)| *state);
                    let stops = match state {
                        // The worker may not have been started yet; it is told to stop once it has.
                        Some(WorkerState::Starting | WorkerState::Retiring) => true,
                        Some(WorkerState::Draining | WorkerState::Killed) => true,
                        Some(WorkerState::Ready | WorkerState::Swept) | None => false,
                    };
                    assert!(stops, "{id} waits for {worker}, which is {state:?}");
                }
                Request::AbortReload => {
                    assert!(herd.progress().is_some(), "{id} waits for a roll-back that is over");
                }
                Request::Reload { generation, .. } => {
                    let reload = herd.progress().map(|progress| progress.generation);
                    assert_eq!(reload, Some(*generation), "{id} waits for a reload that is over");
                }
                Request::Scale { .. } | Request::Recycle { .. } => {}
            }
        }
    }

    /// A request in a run without faults is done, unless the settings leave no room for a second worker in a slot.
    pub fn was_done(&self, herd: &Herd, what: &Request) {
        let Some((asked, outcome)) = &self.last else { panic!("{what:?} was not answered") };
        assert_eq!(asked, what, "not answered");
        match outcome {
            RequestOutcome::Done(_) => assert_eq!(herd.strength().0, herd.strength().1),
            RequestOutcome::Failed { reason, .. } => {
                assert!(reason.contains("no room"), "{reason}")
            }
            other => panic!("{what:?}: {other:?}"),
        }
    }

    /// Long after the last fault no request is open.
    pub fn at_the_end(&self) {
        if let Some((id, asked)) = self.open.iter().next() {
            panic!("{id} was never answered: {:?}", asked.what);
        }
    }
}
