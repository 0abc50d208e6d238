//! The simulated machine: a clock that jumps from deadline to deadline, processes without a real process behind them,
//! and an operator that reloads, scales, kills and stops.

mod processes;
mod trouble;

use super::behaviour::{Behaviour, Fault, Leftover, Quality};
use super::census::Census;
use super::chance::{Dice, adjusted, any_policy, any_quality};
use super::load::Work;
use super::properties::Watch;
use super::queues::Queues;
use herder_core::{
    Action, Cause, Event, Exit, Generation, Herd, Load, Notice, Policy, Queue, QueueId, Report,
    Request, RequestId, Sight, Size, SlotId, Span, SpawnFailure, Time, Weight, WorkerId,
    WorkerState,
};
use processes::Process;
use std::collections::{BTreeMap, BTreeSet};

/// What happens next: an event for the core, or a step of the simulated machine alone.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "most of them are events")]
enum Next {
    Core(Event),
    Arrive(u32),
    /// A worker has finished a connection.
    Served,
    /// The sockets are sampled.
    Sample,
}

pub struct World {
    pub now: Time,
    pub events: u64,
    pub trace: Vec<String>,
    /// The kinds of event, order, report and state that this run has produced.
    pub census: Census,
    dice: Dice,
    herd: Option<Herd>,
    future: BTreeMap<(Time, u64), Next>,
    work: Work,
    sequence: u64,
    requests: u64,
    processes: BTreeMap<WorkerId, Process>,
    qualities: BTreeMap<Generation, Quality>,
    policies: BTreeMap<Generation, Policy>,
    /// The shortest `stop-timeout` that each generation has had: a surplus worker keeps the one that it began to
    /// leave with.
    patience: BTreeMap<Generation, Span>,
    /// Workers that sent WATCHDOG=trigger, or that chose a watchdog interval shorter than they can keep.
    stuck: BTreeSet<WorkerId>,
    /// Workers with a probe under way.
    probed: BTreeSet<WorkerId>,
    /// When each worker was first ready.
    ready: BTreeMap<WorkerId, Time>,
    /// When herder last went on after it had been stopped.
    went_on: Time,
    watch: Watch,
    queues: Queues,
    generation: Generation,
    files_lost: bool,
    /// No new faults are drawn; generations whose files are broken stay broken.
    calm: bool,
}

/// The queue of a connection that has not arrived yet: it is chosen on arrival.
const COMING: QueueId = QueueId(u32::MAX);

/// For how long a run has faults, and how long the herd then has to recover. The recovery covers the longest of a slow
/// start, its back-off, a reload of one slot after the other, and drains that end by SIGKILL.
const TROUBLE: Span = Span::secs(400);
const RECOVERY: Span = Span::secs(1_800);

impl World {
    pub fn new(seed: u64, files_lost: bool) -> World {
        let mut dice = Dice::new(seed);
        let queues = Queues::any(&mut dice);
        let policy = Policy { queues: queues.groups.clone(), ..any_policy(&mut dice) };
        let generation = Generation(1);
        let quality = any_quality(&mut dice, 3);
        World {
            now: Time(1_000_000),
            events: 0,
            trace: Vec::new(),
            census: Census::default(),
            dice,
            herd: None,
            future: BTreeMap::new(),
            work: Work::default(),
            sequence: 0,
            requests: 0,
            processes: BTreeMap::new(),
            qualities: [(generation, quality)].into(),
            patience: [(generation, policy.stop_timeout)].into(),
            policies: [(generation, policy)].into(),
            stuck: BTreeSet::new(),
            probed: BTreeSet::new(),
            ready: BTreeMap::new(),
            went_on: Time::default(),
            watch: Watch::default(),
            queues,
            generation,
            files_lost,
            calm: false,
        }
    }

    pub fn trace_tail(&self, lines: usize) -> String {
        let telling = |line: &&String| !line.ends_with("notify Extend") && !line.ends_with(" tick");
        let told: Vec<&str> = self.trace.iter().filter(telling).map(String::as_str).collect();
        told[told.len().saturating_sub(lines)..].join("\n")
    }

    /// Plays the run until the end of the recovery, or until herder exits.
    pub fn play(&mut self) {
        let policy = self.policies[&self.generation].clone();
        let watchdog = (self.dice.below(2) == 0).then(|| Span::secs(30));
        let mut actions = Vec::new();
        let seed = self.dice.below(u64::MAX);
        self.trace.push(format!("{} start {policy:?}", self.now));
        let mut herd = Herd::start(self.now, seed, self.generation, policy, watchdog, &mut actions);
        herd.tell(self.now, &mut actions);
        self.watch.after(self.now, &herd, &Event::Tick, &actions, &self.policies);
        self.count(&herd, &actions);
        self.work.after(self.now, &herd, (0, false), &Event::Tick, &actions);
        actions.iter().for_each(|action| self.queues.perform(action));
        self.herd = Some(herd);
        self.perform(actions);
        self.plan_interventions();
        self.plan_arrivals();
        let calm_at = self.now + TROUBLE;
        self.run_until(calm_at);
        self.calm_down();
        self.run_until(calm_at + RECOVERY);
        let Some(herd) = &self.herd else { return };
        self.watch.at_the_end(herd, &self.qualities);
        // A few workers may need longer than the recovery for the connections that have arrived.
        let works = matches!(self.qualities[&herd.generation()], Quality::Good);
        let enough = herd.bounds().1 >= 4;
        assert!(!works || !enough || self.work.waiting == 0, "a connection was left waiting");
        let (wanted, ready) = herd.strength();
        if wanted > 0
            && wanted == ready
            && !matches!(self.qualities[&herd.generation()], Quality::Broken(_))
        {
            self.queues.nothing_waits();
        }
        let generation = herd.generation();
        // Workers take up to 3 s to start; with a shorter `start-timeout` few of them become ready.
        let patient = self.policies[&generation].start_timeout >= Span::secs(5);
        if patient && !matches!(self.qualities[&generation], Quality::Broken(_)) {
            // The settings refuse `max-age` without room for a second worker in a slot.
            let wanted = herd.strength().0;
            if self.policies[&generation].most_processes(wanted) > wanted {
                self.watch.worn_workers_are_replaced(self.now, herd, &self.policies);
            }
            self.ask_in_peace(Request::Recycle { slot: None });
            self.ask_in_peace(Request::Scale { workers: 3 });
            self.ask_in_peace(Request::Recycle { slot: Some(SlotId(2)) });
        }
        // The herd can be stopped, whatever state it is in.
        let end = self.now + RECOVERY;
        if self.herd.is_none() {
            return;
        }
        self.later(Span::ZERO, Event::Stop);
        self.run_until(end);
        assert!(self.herd.is_none(), "it did not stop");
    }

    /// Makes a request long after the last fault, and checks that it is done.
    fn ask_in_peace(&mut self, what: Request) {
        self.later(Span::ZERO, Event::Asked { request: RequestId(0), what: what.clone() });
        let end = self.now + RECOVERY;
        self.run_until(end);
        // A worker that was idle may have left after the request was done.
        let Some(herd) = &self.herd else { return };
        self.watch.was_done(herd, &what);
        if herd.strength().0 == 0 {
            return;
        }
        // Connections in every queue are accepted by some worker.
        self.queues.arrive_everywhere(self.now);
        self.later(Span::ZERO, Event::Tick);
        self.run_until(self.now + Span::secs(120));
        self.queues.nothing_waits();
    }

    fn plan_interventions(&mut self) {
        if !self.queues.groups.is_empty() {
            for _ in 0..self.dice.below(60) {
                let at = Span::millis(self.dice.below(TROUBLE.0 / 1000));
                // The connection has no queue yet: its queue is chosen when it arrives.
                self.later(at, Event::QueueWaits { queue: COMING });
            }
        }
        for _ in 0..self.dice.below(20) {
            let mut at = Span::millis(self.dice.below(TROUBLE.0 / 1000));
            // Some interventions come in bursts, so that the next begins while the last is under way.
            for _ in 0..=self.dice.below(3) {
                self.intervene(at);
                at = at + Span::millis(self.dice.below(2_500));
            }
        }
    }

    /// Connections, one by one or many at once.
    fn plan_arrivals(&mut self) {
        for _ in 0..self.dice.below(12) {
            let mut at = Span::millis(self.dice.below(TROUBLE.0 / 1000));
            let pause = [1, 30, 400][self.dice.below(3) as usize];
            for _ in 0..self.dice.below(40) {
                let count = [1, 1, 1, 20][self.dice.below(4) as usize];
                self.plan(at, Next::Arrive(count));
                at = at + Span::millis(self.dice.below(pause) + 1);
            }
        }
    }

    fn later(&mut self, span: Span, event: Event) {
        self.plan(span, Next::Core(event));
    }

    fn plan(&mut self, span: Span, next: Next) {
        self.sequence += 1;
        self.future.insert((self.now + span, self.sequence), next);
    }

    fn run_until(&mut self, end: Time) {
        while let Some(herd) = &self.herd {
            let deadline = herd.deadline();
            let event = self.future.first_key_value().map(|((time, _), _)| *time);
            let Some(next) = [deadline, event].into_iter().flatten().min().filter(|&t| t <= end)
            else {
                self.now = self.now.max(end);
                return;
            };
            self.now = self.now.max(next);
            self.stand_still();
            // Some events stay unnoticed until a later turn.
            let late = deadline.is_some_and(|deadline| deadline <= self.now);
            match self.future.first_key_value() {
                Some(_) if late && self.dice.below(8) == 0 => self.feed(Event::Tick),
                Some((&(time, _), _)) if time <= self.now => {
                    let (_, next) = self.future.pop_first().expect("it was there");
                    match next {
                        Next::Core(event) => self.happen(event),
                        Next::Arrive(count) => {
                            if self.work.arrive(count, &mut self.dice) {
                                self.later(Span::ZERO, Event::Knocked);
                            }
                            self.serve();
                        }
                        Next::Served => self.serve(),
                        Next::Sample => {
                            let load = self.sample();
                            self.feed(Event::Sampled(load));
                        }
                    }
                }
                Some(_) | None => self.feed(Event::Tick),
            }
        }
    }

    /// In some turns herder alone is stopped for a while, or the whole unit is frozen: then no worker pings until it
    /// runs again.
    fn stand_still(&mut self) {
        // A start that is late for this reason counts as a failure, and may make a reload fail.
        let reloading = self.herd.as_ref().is_some_and(|herd| herd.progress().is_some());
        if self.calm || reloading || self.watch.is_ending() || self.dice.below(300) > 0 {
            return;
        }
        let begin = self.now;
        self.now = self.now + Span::millis(self.dice.below(90_000));
        self.went_on = self.now;
        let together = self.dice.below(2) == 0;
        self.trace.push(format!("{begin} stopped until {} together={together}", self.now));
        if together {
            let pings = self.future.range((begin, 0)..(self.now, 0));
            let pings = pings.filter(|(_, next)| matches!(next, Next::Core(Event::Alive { .. })));
            let pings: Vec<(Time, u64)> = pings.map(|(at, _)| *at).collect();
            for at in pings {
                let ping = self.future.remove(&at).expect("it was there");
                // Sleeps of frozen processes go on where they were.
                let pings = match &ping {
                    Next::Core(Event::Alive { worker }) => {
                        self.processes.get(worker).and_then(|process| process.pings)
                    }
                    _ => None,
                };
                let soon = Span(self.dice.below(pings.map_or(1, |pings| pings.0)));
                self.plan(soon, ping);
            }
        }
        self.feed(Event::Resumed);
    }

    fn serve(&mut self) {
        let Some(herd) = &self.herd else { return };
        for takes in self.work.serve(self.now, herd, &mut self.dice) {
            self.plan(takes, Next::Served);
        }
        if self.work.is_noticed() {
            self.later(Span::ZERO, Event::Knocked);
        }
    }

    /// Lets an event happen to the processes, then reports it to the core. Stray events are reported unchanged: an
    /// exit that is reported twice, or a worker that does not exist.
    fn happen(&mut self, event: Event) {
        let event = match event {
            Event::QueueWaits { queue: COMING } => return self.arrive(),
            Event::Adjusted { policy, .. } => self.adjust(&policy),
            Event::Asked { what, .. } => {
                let what = self.aim(what);
                self.requests += 1;
                Event::Asked { request: RequestId(self.requests), what }
            }
            other => other,
        };
        if let Event::Stuck { worker } | Event::Interval { worker, .. } = event {
            self.stuck.insert(worker);
        }
        if let Event::Probed { worker: Some(worker), .. } = event {
            self.probed.remove(&worker);
        }
        match event {
            Event::Alive { worker } if !self.ping(worker) => return,
            _ => {}
        }
        // The kernel tells of its kill before the process has ended.
        if let Event::Exited { worker, exit: Exit::OutOfMemory } = event {
            if self.processes.get(&worker).is_some_and(|process| !process.ended) {
                self.feed(Event::OutOfMemory { worker, processes: 1 });
            }
        }
        if let Event::Exited { worker, .. } = &event {
            if let Some(process) = self.processes.get_mut(worker) {
                process.ended = true;
            }
        }
        // The shell never reports a process that does not exist, nor that a cgroup with processes is empty.
        let possible = match &event {
            Event::Spawned { worker } => {
                self.processes.get(worker).is_some_and(|process| process.born <= self.now)
            }
            Event::Gone { worker } => {
                self.processes.get(worker).is_none_or(|process| process.ended)
            }
            Event::Tick
            | Event::SpawnFailed { .. }
            | Event::Ready { .. }
            | Event::Seen { .. }
            | Event::Weighed { .. }
            | Event::Stopping { .. }
            | Event::Alive { .. }
            | Event::Stuck { .. }
            | Event::Interval { .. }
            | Event::Listened { .. }
            | Event::Resumed
            | Event::Probed { .. }
            | Event::Extend { .. }
            | Event::Exited { .. }
            | Event::Checked { .. }
            | Event::Refused { .. }
            | Event::Adjusted { .. }
            | Event::Scale { .. }
            | Event::Asked { .. }
            | Event::OutOfMemory { .. }
            | Event::QueueWaits { .. }
            | Event::Stop => true,
            Event::Sampled(_) => !self.work.asked,
            Event::Knocked => {
                self.work.knock();
                true
            }
        };
        if possible {
            self.feed(event);
        }
    }

    /// A connection comes.
    fn arrive(&mut self) {
        let Some((queue, slow)) = self.queues.arrives(self.now, &mut self.dice) else { return };
        self.trace.push(format!("{} a connection to {queue}", self.now));
        // The connection is noticed, even if a worker accepts it at once.
        if self.queues.is_watched(queue) {
            self.later(Span::ZERO, Event::QueueWaits { queue });
        }
        self.later(slow, Event::Tick);
    }

    fn feed(&mut self, event: Event) {
        let Some(mut herd) = self.herd.take() else { return };
        self.events += 1;
        self.trace.push(format!("{} {event}", self.now));
        let mut actions = Vec::new();
        self.census.event(&event, &herd);
        self.watch.before(self.now, &herd, &event, &self.policies);
        if let Event::Adjusted { generation, policy } = &event {
            if let Some(old) = self.policies.get_mut(generation) {
                self.watch.adjusted(self.now, *generation, old, policy);
                self.patience.entry(*generation).and_modify(|patience| {
                    *patience = policy.stop_timeout.min(*patience);
                });
                *old = policy.clone();
            }
        }
        let wanted = herd.strength().0;
        herd.handle(self.now, event.clone(), &mut actions);
        // Some turns have several events.
        self.watch.turn_ends = self.dice.below(4) > 0 || self.is_last_of_this_instant();
        if self.watch.turn_ends {
            herd.tell(self.now, &mut actions);
        }
        self.watch.after(self.now, &herd, &event, &actions, &self.policies);
        self.count(&herd, &actions);
        self.hung_are_noticed(&herd, &actions);
        let stalls = self.policies.values().any(|policy| policy.stall_timeout.is_some());
        self.work.after(self.now, &herd, (wanted, stalls), &event, &actions);
        self.watch.queues_are_left_empty(
            self.now,
            &herd,
            &actions,
            &mut self.queues,
            &self.patience,
        );
        actions.iter().for_each(|action| self.queues.perform(action));
        self.queues.check(&herd, &self.policies);
        for queue in self.queues.serve(self.now, &herd) {
            self.later(Span::ZERO, Event::QueueWaits { queue });
        }
        self.herd = Some(herd);
        self.perform(actions);
        self.serve();
    }

    fn count(&mut self, herd: &Herd, actions: &[Action]) {
        actions.iter().for_each(|action| self.census.action(action));
        self.watch.lives.all().for_each(|life| self.census.life(life));
        self.census.herd(herd);
    }

    /// A ready worker that hangs under a watchdog is aborted within its interval and the allowance for being late.
    fn hung_are_noticed(&mut self, herd: &Herd, actions: &[Action]) {
        for action in actions {
            if let Action::Report(Report::Ready { worker, .. }) = action {
                self.ready.insert(*worker, self.now);
            }
        }
        for view in herd.view().filter(|worker| worker.state == WorkerState::Ready) {
            let interval = self.policies[&view.generation].watchdog;
            let (Some(interval), Some(process)) = (interval, self.processes.get(&view.id)) else {
                continue;
            };
            let hangs = process.behaviour.hangs.map(|after| process.born + after);
            let ready = self.ready.get(&view.id).filter(|_| !self.stuck.contains(&view.id));
            if let (Some(hangs), Some(ready)) = (hangs, ready) {
                let excused = self.went_on + interval.part(2);
                let by = (hangs.max(*ready) + interval).max(excused) + Span::secs(3);
                assert!(self.now <= by, "{} hangs since {hangs}, and is still there", view.id);
            }
        }
    }

    fn is_last_of_this_instant(&self) -> bool {
        self.future.first_key_value().is_none_or(|((time, _), _)| *time > self.now)
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.trace.push(format!("{}   {action}", self.now));
            match action {
                Action::Spawn { worker, generation, .. } => self.spawn(worker, generation),
                Action::Look { worker } => self.look(worker),
                Action::Weigh { worker } => self.weigh(worker),
                Action::Probe { worker } => self.probe(worker),
                Action::Sample => {
                    let takes = Span::millis(self.dice.below(5));
                    self.plan(takes, Next::Sample);
                }
                // Connections in `work` are reported at the end of the turn. With `stall-timeout` other sockets have
                // connections, too.
                Action::Watch if self.policies.values().any(|p| p.stall_timeout.is_some()) => {
                    let soon = Span::millis(self.dice.below(60_000));
                    self.later(soon, Event::Knocked);
                }
                Action::Watch => {}
                Action::Listen { worker } => self.listen(worker),
                Action::Drain { worker } => self.drain(worker),
                Action::Abort { worker } => self.abort(worker),
                Action::Kill { worker } => self.kill(worker),
                Action::Sweep { worker, kill } => self.sweep(worker, kill),
                Action::Check { generation } => {
                    let outcome =
                        if self.dice.below(4) == 0 { Err("no".to_owned()) } else { Ok(()) };
                    let takes = Span::millis(self.dice.below(if self.calm { 50 } else { 90_000 }));
                    self.later(takes, Event::Checked { generation, outcome });
                }
                Action::Exit { .. } => self.herd = None,
                Action::Notify(Notice::Stopping) => self.withdraw_starts(),
                Action::Forget { .. }
                | Action::Steer { .. }
                | Action::WatchQueues { .. }
                | Action::Abandon { .. }
                | Action::Notify(_)
                | Action::Report(_)
                | Action::Answer { .. } => {}
            }
        }
    }
}

/// The states that count as a process.
pub fn has_process(state: WorkerState) -> bool {
    match state {
        WorkerState::Starting
        | WorkerState::Ready
        | WorkerState::Retiring
        | WorkerState::Draining
        | WorkerState::Killed => true,
        WorkerState::Swept => false,
    }
}
