//! Step 1: events and deadlines that have come, as facts. Nothing is started here.

use super::hang::Hang;
use super::policy::Ready;
use super::report::{Evidence, Manner, Report};
use super::request::stopped;
use super::slot::Ending;
use super::worker::{BURY_EVERY, Looking, State, Worker};
use super::{
    Action, Asked, Cause, Event, Exit, Generation, Herd, RequestOutcome, Sight, SlotId, Span,
    SpawnFailure, WorkerId,
};
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;

/// As many as `workers` takes.
pub(super) const MOST_WORKERS: u32 = 10_000;

/// How much longer than `start-timeout` a worker may ask for with EXTEND_TIMEOUT_USEC.
pub(super) const MOST_EXTENSION: u64 = 10;

impl Herd {
    pub(super) fn record(&mut self, event: Event) {
        match event {
            Event::Tick => {}
            Event::Spawned { worker } => self.spawned(worker),
            Event::SpawnFailed { worker, failure } => self.spawn_failed(worker, failure),
            Event::Ready { worker } => self.said_ready(worker),
            Event::Seen { worker, sight } => self.seen(worker, sight),
            Event::Weighed { worker, weight } => self.weighed(worker, weight),
            Event::Stopping { worker } => self.said_stopping(worker),
            Event::Extend { worker, by } => self.asked_for_time(worker, by),
            Event::Alive { worker } => self.said_alive(worker),
            Event::Stuck { worker } => self.hangs(worker, Hang::Triggered),
            Event::Interval { worker, interval } => self.said_interval(worker, interval),
            Event::Listened { worker } => self.listened(worker),
            Event::Exited { worker, exit } => self.exited(worker, exit),
            Event::Gone { worker } => self.gone(worker),
            Event::Checked { generation, outcome } => self.checked(generation, outcome),
            Event::Reload { generation, policy } => self.accept(generation, policy),
            Event::Adjusted { generation, policy } => self.adjust(generation, policy),
            Event::Refused { reason } => self.refuse(reason),
            Event::Scale { by } => self.scale(by),
            Event::Asked { request, what } => self.take_request(request, what),
            Event::QueueWaits { queue } => self.waits(queue),
            Event::OutOfMemory { worker, processes } => self.out_of_memory(worker, processes),
            Event::Sampled(load) => self.sampled(&load),
            Event::Knocked => self.knocked(),
            Event::Probed { worker, outcome } => self.probed(worker, outcome),
            Event::Resumed => self.resumed(),
            Event::Stop => self.stop(),
        }
    }

    /// What time alone has decided.
    pub(super) fn expire(&mut self) {
        let now = self.now;
        let due: Vec<WorkerId> = self
            .workers()
            .filter(|(_, worker)| worker.deadline().is_some_and(|deadline| deadline <= now))
            .map(|(_, worker)| worker.id)
            .collect();
        for id in due {
            self.expired(id);
        }
    }

    fn expired(&mut self, id: WorkerId) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        let (generation, policy) = (worker.generation(), worker.policy());
        let (stop_timeout, abort_timeout) = (policy.stop_timeout, policy.abort_timeout());
        match worker.state {
            State::Spawning => {}
            State::Ready => {
                self.wear_on(id);
                self.doubt(id);
                self.probe(id);
            }
            State::Starting { since, until, extended, looking } => {
                let assumed = worker.assumed_at().filter(|&assumed| assumed <= now);
                match (assumed, looking) {
                    (Some(assumed), _) if assumed <= until => {
                        self.is_ready(id, Evidence::Assumed);
                    }
                    (Some(_) | None, Looking::At(_)) if now < until => {
                        let looking = Looking::Now;
                        worker.state = State::Starting { since, until, extended, looking };
                        self.order(Action::Look { worker: id });
                    }
                    (Some(_) | None, Looking::No | Looking::At(_) | Looking::Now) => {
                        self.timed_out(id);
                    }
                }
            }
            State::Retiring { .. } | State::Draining { .. } | State::Aborting { .. } => {
                let aborted = matches!(worker.state, State::Aborting { .. });
                let after = if aborted { abort_timeout } else { stop_timeout };
                worker.state = Worker::killing(now);
                self.report(Report::Killed { worker: id, slot, generation, after });
                self.order(Action::Kill { worker: id });
            }
            State::Sweeping { .. } => {
                worker.state = Worker::burying(now);
                self.report(Report::RemainderKilled { worker: id, slot, generation });
                self.order(Action::Kill { worker: id });
            }
            State::Burying { until, .. } if now < until => {
                worker.state = State::Burying { again_at: now + BURY_EVERY, until };
                self.order(Action::Kill { worker: id });
            }
            // State D: a dead disk, say. Nothing more can be done, so it no longer counts.
            State::Killing { .. } | State::Burying { .. } => {
                self.forget_worker(id);
                self.report(Report::Unkillable { worker: id, slot, generation });
                let reason = format!("not even SIGKILL ends {id} ({slot})");
                let outcome = RequestOutcome::Failed { reason, worker: Some(id) };
                self.stop_answered(id, outcome);
                self.order(Action::Abandon { worker: id });
            }
        }
    }

    /// Marks the workers that have by now been ready for long enough to be trusted.
    pub(super) fn prove(&mut self) {
        let now = self.now;
        let mut trusted = false;
        for slot in &mut self.slots {
            let mut proved = false;
            for worker in &mut slot.workers {
                let Some((since, _)) = worker.ready else { continue };
                let over = since + worker.policy().min_lifetime;
                if worker.is_ready() && over <= now {
                    trusted |= !worker.proved;
                    worker.proved = true;
                    let vouched_for = worker.watchdog.vouches_for(over);
                    proved |= vouched_for && !worker.vouched_for;
                    worker.vouched_for |= vouched_for;
                }
            }
            if proved {
                slot.proved();
            }
        }
        // Nothing woke the core when it happened: this may be the turn in which that worker dies.
        if trusted {
            self.trouble = None;
        }
    }

    fn spawned(&mut self, id: WorkerId) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        if worker.state != State::Spawning {
            return;
        }
        let until = now + worker.policy().start_timeout;
        let looking = Looking::begin(worker.policy(), now);
        worker.state = State::Starting { since: now, until, extended: false, looking };
        let generation = worker.generation();
        let executed_is_ready = worker.policy().ready == Ready::Exec;
        self.report(Report::Started { worker: id, slot, generation });
        if executed_is_ready {
            self.is_ready(id, Evidence::Executed);
        }
    }

    fn spawn_failed(&mut self, id: WorkerId, failure: SpawnFailure) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        if worker.state != State::Spawning {
            return;
        }
        let generation = worker.generation();
        let ending = Ending::NotStarted(failure.text.clone());
        let past = worker.past(ending.clone(), now);
        self.forget_worker(id);
        self.slot(slot).vacate(past);
        self.counters.failed_to_start += 1;
        let why = failure.text.clone();
        self.report(Report::NotStarted { worker: id, slot, generation, why });
        self.stop_answered(id, stopped(id, slot, &ending));
        let first_start = !self.ever_ready && !self.serving && self.ending.is_none();
        if failure.cause == Cause::Settings && first_start {
            self.give_up_on_settings(&failure.text);
        }
        self.trouble_with(Blame::of(failure.cause));
        self.failed(id, slot, generation, &ending);
    }

    fn said_ready(&mut self, id: WorkerId) {
        let Some((_, worker)) = self.find(id) else { return };
        let counts = matches!(worker.policy().ready, Ready::Auto | Ready::Notify);
        match worker.state {
            State::Starting { .. } if counts => self.is_ready(id, Evidence::Notified),
            // So far others only thought so: now it says so itself.
            State::Ready if counts => {
                if let Some((_, evidence)) = &mut worker.ready {
                    *evidence = Evidence::Notified;
                }
            }
            State::Spawning
            | State::Starting { .. }
            | State::Ready
            | State::Retiring { .. }
            | State::Draining { .. }
            | State::Aborting { .. }
            | State::Killing { .. }
            | State::Sweeping { .. }
            | State::Burying { .. } => {}
        }
    }

    fn seen(&mut self, id: WorkerId, sight: Sight) {
        let now = self.now;
        let Some((_, worker)) = self.find(id) else { return };
        let State::Starting { since, until, extended, looking: Looking::Now } = worker.state else {
            return;
        };
        if sight == Sight::Waiting {
            return self.is_ready(id, Evidence::Accepting);
        }
        worker.sight = Some(sight);
        let looking = Looking::again(since, now);
        worker.state = State::Starting { since, until, extended, looking };
    }

    fn is_ready(&mut self, id: WorkerId, evidence: Evidence) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        let State::Starting { since, .. } = worker.state else { return };
        worker.state = State::Ready;
        worker.ready = Some((now, evidence));
        worker.sight = None;
        worker.watchdog.hear(now);
        let probe = worker.spec.policy.probe.filter(|probe| probe.of_worker);
        let generation = worker.generation();
        self.slot(slot).attempted = true;
        self.ever_ready = true;
        self.done_in(slot, generation);
        self.put_to_use(id, slot);
        if let Some(probe) = probe {
            let chance = self.jitter.next();
            if let Some((_, worker)) = self.find(id) {
                worker.probing.begin(now, probe, chance);
            }
        }
        self.report(Report::Ready { worker: id, slot, generation, evidence, after: now - since });
    }

    fn said_stopping(&mut self, id: WorkerId) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        if !worker.is_ready() {
            return;
        }
        worker.state = State::Retiring { kill_at: now + worker.policy().stop_timeout };
        let (lived, generation) = (now - worker.born, worker.generation());
        let place = self.slot(slot);
        place.vacated |= place.is_empty();
        self.ended_normally(slot, lived);
        self.report(Report::Retiring { worker: id, slot, generation });
        self.newcomer_lost(id, slot, "left while it was on trial");
    }

    fn asked_for_time(&mut self, id: WorkerId, by: Span) {
        let now = self.now;
        let Some((_, worker)) = self.find(id) else { return };
        if let State::Starting { since, until, looking, .. } = worker.state {
            let most = since + worker.policy().start_timeout.times(MOST_EXTENSION);
            let until = until.max(now + by).min(most);
            worker.state = State::Starting { since, until, extended: true, looking };
        }
    }

    fn timed_out(&mut self, id: WorkerId) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        let State::Starting { since, .. } = worker.state else { return };
        let after = now - since;
        let generation = worker.generation();
        let why = worker.diagnosis().map(str::to_owned);
        let ending = Ending::TimedOut { after, why: why.clone() };
        let past = worker.past(ending.clone(), now);
        self.drain(id);
        self.slot(slot).vacate(past);
        self.counters.timed_out += 1;
        self.report(Report::TimedOut { worker: id, slot, generation, after, why });
        self.trouble_with(Blame::Timeout);
        self.failed(id, slot, generation, &ending);
    }

    fn exited(&mut self, id: WorkerId, exit: Exit) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        if !worker.has_process() {
            return;
        }
        let generation = worker.generation();
        let lived = now - worker.born;
        let normal = worker.policy().success.contains(exit);
        let manner = match worker.state {
            State::Draining { .. }
            | State::Aborting { .. }
            | State::Killing { .. }
            | State::Sweeping { .. }
            | State::Burying { .. } => Manner::Ordered,
            State::Retiring { .. } => Manner::Retired,
            State::Spawning | State::Starting { .. } => Manner::BeforeReady,
            State::Ready if normal => Manner::Retired,
            State::Ready if worker.proved => Manner::Crashed,
            State::Ready => Manner::Young,
        };
        let killed = matches!(worker.state, State::Killing { .. });
        let had_said_so = matches!(worker.state, State::Retiring { .. });
        let was_ready = worker.ready.is_some();
        let why = match manner {
            Manner::BeforeReady => worker.mistake().map(str::to_owned),
            Manner::Ordered | Manner::Young | Manner::Crashed | Manner::Retired => None,
        };
        let ending = Ending::Exited { exit, manner, why: why.clone() };
        let past = worker.past(ending.clone(), now);
        worker.state = match worker.state {
            // The remainder of a worker that was told to stop has no more time than the worker had.
            State::Draining { kill_at }
            | State::Aborting { kill_at }
            | State::Retiring { kill_at } => State::Sweeping { kill_at },
            State::Killing { .. } => Worker::burying(now),
            State::Spawning
            | State::Starting { .. }
            | State::Ready
            | State::Sweeping { .. }
            | State::Burying { .. } => {
                State::Sweeping { kill_at: now + worker.policy().stop_timeout }
            }
        };
        let worker = id;
        self.report(Report::Ended {
            worker,
            slot,
            generation,
            exit,
            manner,
            lived,
            was_ready,
            why,
        });
        self.sweeps.push((id, killed));
        self.stop_answered(id, stopped(id, slot, &ending));
        self.counters.ended(manner);
        // A worker that timed out has told its story already.
        match manner {
            Manner::Ordered => {}
            // Its place was free, and may have been taken, since it said that it leaves.
            Manner::Retired if had_said_so => self.slot(slot).last = Some(past),
            Manner::BeforeReady | Manner::Young | Manner::Crashed | Manner::Retired => {
                self.slot(slot).vacate(past);
            }
        }
        match manner {
            Manner::BeforeReady | Manner::Young => {
                self.trouble_with(Blame::Worker);
                self.failed(id, slot, generation, &ending);
            }
            Manner::Retired if normal && !had_said_so => {
                self.ended_normally(slot, lived);
                self.newcomer_lost(id, slot, "left while it was on trial");
            }
            Manner::Ordered | Manner::Crashed | Manner::Retired => {}
        }
    }

    /// The kernel tells no more than the number; how the worker itself ended comes with its exit.
    fn out_of_memory(&mut self, id: WorkerId, processes: u64) {
        let Some((slot, worker)) = self.find(id) else { return };
        if processes == 0 {
            return;
        }
        let generation = worker.generation();
        worker.oom_kills += processes;
        self.counters.oom_kills += processes;
        self.report(Report::OutOfMemory { worker: id, slot, generation, processes });
    }

    fn ended_normally(&mut self, slot: SlotId, lived: Span) {
        let now = self.now;
        // A server that recycles itself works, however short its workers' lives are.
        if self.slot(slot).ended_normally(now, lived) {
            self.trouble = None;
        }
    }

    fn gone(&mut self, id: WorkerId) {
        let Some((_, worker)) = self.find(id) else { return };
        if !worker.has_process() {
            self.forget_worker(id);
        }
    }

    fn forget_worker(&mut self, id: WorkerId) {
        for slot in &mut self.slots {
            slot.workers.retain(|worker| worker.id != id);
        }
    }

    /// A worker was not ready, or not for long, and nobody had asked for its end.
    pub(super) fn failed(
        &mut self,
        id: WorkerId,
        slot: SlotId,
        generation: Generation,
        ending: &Ending,
    ) {
        if self.ending.is_some() {
            return;
        }
        // The failure of new settings says nothing about the slot: the old ones start there at once.
        if self.fails_rollout(generation) {
            self.abort(format!("{id} ({slot}) {ending}"), Some(id));
            return;
        }
        let why = ending.to_string();
        if self.newcomer_lost(id, slot, &why) {
            return;
        }
        let (now, jitter) = (self.now, self.jitter.next());
        let delay = self.slot(slot).failed(now, jitter);
        let failures = self.slot(slot).failures;
        self.report(Report::BackingOff { slot, failures, delay });
        self.undone_in(slot, generation);
        self.roll_back_failed(slot, generation);
        self.requests_suffer(id, slot, &why);
    }

    fn scale(&mut self, by: i32) {
        let (from, _) = self.bounds();
        let to = from.saturating_add_signed(by).min(MOST_WORKERS.max(from));
        if self.ending.is_none() && to != from {
            self.scale_to(to);
        }
    }

    pub(super) fn scale_to(&mut self, to: u32) {
        let from = self.bounds();
        // Also of the number there is: settings that are on their way may have another.
        let under = self.newest_generation();
        self.asked = Some(Asked { workers: to, under });
        self.bounds_have_changed(from);
    }

    /// Tells a worker to stop, and notes how long it has.
    pub(super) fn drain(&mut self, id: WorkerId) {
        let now = self.now;
        let Some((_, worker)) = self.find(id) else { return };
        worker.state = State::Draining { kill_at: now + worker.policy().stop_timeout };
        self.order(Action::Drain { worker: id });
    }
}

/// What a failure tells about the cause of an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The worker died.
    Worker,
    /// It was not ready in time.
    Timeout,
    /// The system could not start it.
    System,
}

impl Blame {
    fn of(cause: Cause) -> Blame {
        match cause {
            Cause::Settings => Blame::Worker,
            Cause::System => Blame::System,
        }
    }
}
