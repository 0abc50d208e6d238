//! The states of workers as the orders and reports tell them, and the deadlines that each state has by the
//! settings of its worker. What the herd shows has to agree with it after every turn.

use herder_core::{
    Action, Cause, Condition, Event, Generation, Herd, Policy, Report, Span, Time, WorkerId,
    WorkerState,
};
use std::collections::BTreeMap;

/// A state of a worker, as finely as the core tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Ordered; whether there is a process is not known yet.
    Spawning,
    Starting,
    Ready,
    /// It said STOPPING=1.
    Retiring,
    /// It was sent its stop signal.
    Draining,
    /// It hangs, and was sent SIGABRT.
    Aborting,
    /// It was sent SIGKILL.
    Killing,
    /// Its process has ended, and what it left behind was told to stop.
    Sweeping,
    /// What it left behind was sent SIGKILL.
    Burying,
}

impl Life {
    /// What a herd shows of a worker in this state.
    pub fn shown(self) -> WorkerState {
        match self {
            Life::Spawning | Life::Starting => WorkerState::Starting,
            Life::Ready => WorkerState::Ready,
            Life::Retiring => WorkerState::Retiring,
            Life::Draining | Life::Aborting => WorkerState::Draining,
            Life::Killing => WorkerState::Killed,
            Life::Sweeping | Life::Burying => WorkerState::Swept,
        }
    }
}

/// SIGKILL has this long to end a process.
const KILLED_FOR: Span = Span::secs(10);
/// A worker that hangs has at most this long after SIGABRT.
const LONGEST_ABORT: Span = Span::secs(90);
/// A worker gets at most this many times its `start-timeout` with EXTEND_TIMEOUT_USEC.
const MOST_EXTENSION: u64 = 10;

struct One {
    life: Life,
    generation: Generation,
    /// When the state ends at the latest; `None` while it has no deadline.
    until: Option<Time>,
    /// When it began to start.
    since: Time,
    /// It asked for more time to start.
    extended: bool,
    /// When the state before would have ended at the latest.
    due: Option<Time>,
    /// Its process has ended in this turn: whether the rest of it has to be swept with SIGKILL.
    sweep: Option<bool>,
}

impl One {
    fn enter(&mut self, life: Life, until: Option<Time>) {
        (self.life, self.due, self.until) = (life, self.until, until);
    }
}

#[derive(Default)]
pub struct Lives {
    workers: BTreeMap<WorkerId, One>,
    /// SIGTERM came, or herder gives up: when serving workers are told to stop.
    drain_at: Option<Time>,
    stops: u32,
}

type Policies = BTreeMap<Generation, Policy>;

/// The deadline that the time-out `old` has set, moved to where the time-out `new` puts it.
fn moved(until: Option<Time>, old: Span, new: Span, now: Time) -> Option<Time> {
    let until = until?;
    Some(match (old, new) {
        (_, Span::MAX) => Time(u64::MAX),
        (Span::MAX, new) => now + new,
        (old, new) => Time(until.0.saturating_sub(old.0).saturating_add(new.0)),
    })
}

impl Lives {
    pub fn of(&self, worker: WorkerId) -> Option<Life> {
        self.workers.get(&worker).map(|one| one.life)
    }

    pub fn all(&self) -> impl Iterator<Item = Life> {
        self.workers.values().map(|one| one.life)
    }

    /// The settings of a generation change in place: running deadlines move by the difference, except those that
    /// the worker set itself and those that no setting sets.
    pub fn adjusted(&mut self, now: Time, generation: Generation, old: &Policy, new: &Policy) {
        for one in self.workers.values_mut().filter(|one| one.generation == generation) {
            match one.life {
                Life::Starting if !one.extended => {
                    one.until = moved(one.until, old.start_timeout, new.start_timeout, now);
                }
                Life::Retiring | Life::Draining | Life::Sweeping => {
                    one.until = moved(one.until, old.stop_timeout, new.stop_timeout, now);
                }
                Life::Spawning | Life::Starting | Life::Ready => {}
                Life::Aborting | Life::Killing | Life::Burying => {}
            }
        }
    }

    pub fn after(
        &mut self,
        now: Time,
        herd: &Herd,
        event: &Event,
        actions: &[Action],
        policies: &Policies,
    ) {
        self.happened(now, herd, event, policies);
        for action in actions {
            self.ordered(now, action, policies);
        }
        self.agree(herd);
        self.end_in_time(now);
        self.leave(now, herd, actions);
    }

    fn happened(&mut self, now: Time, herd: &Herd, event: &Event, policies: &Policies) {
        match event {
            Event::Extend { worker, by } => {
                let Some(one) = self.workers.get_mut(worker) else { return };
                if one.life == Life::Starting {
                    let most = policies[&one.generation].start_timeout.times(MOST_EXTENSION);
                    let until = one.until.map(|until| until.max(now + *by).min(one.since + most));
                    (one.until, one.extended) = (until, true);
                }
            }
            Event::Gone { worker } => {
                let ended = |one: &One| matches!(one.life, Life::Sweeping | Life::Burying);
                if self.workers.get(worker).is_some_and(ended) {
                    self.workers.remove(worker);
                }
            }
            Event::SpawnFailed { worker, failure } if failure.cause == Cause::Withdrawn => {
                self.workers.retain(|id, one| id != worker || one.life != Life::Spawning);
            }
            Event::Stop => {
                self.stops += 1;
                let delay = policies[&herd.generation()].stop_delay;
                self.drain_at.get_or_insert(now + delay);
                if self.stops > 1 {
                    self.drain_at = Some(now);
                }
            }
            _ => {}
        }
    }

    fn ordered(&mut self, now: Time, action: &Action, policies: &Policies) {
        match action {
            Action::Spawn { worker, generation, .. } => {
                let (life, generation) = (Life::Spawning, *generation);
                let one = One {
                    life,
                    generation,
                    until: None,
                    since: now,
                    extended: false,
                    due: None,
                    sweep: None,
                };
                assert!(self.workers.insert(*worker, one).is_none(), "{worker} is started twice");
            }
            Action::Report(Report::Started { worker, .. }) => {
                let one = self.from(*worker, &[Life::Spawning]);
                one.since = now;
                let timeout = policies[&one.generation].start_timeout;
                one.enter(Life::Starting, Some(now + timeout));
            }
            Action::Report(Report::Ready { worker, .. }) => {
                self.from(*worker, &[Life::Starting]).enter(Life::Ready, None);
            }
            Action::Report(Report::Retiring { worker, .. }) => {
                let one = self.from(*worker, &[Life::Ready]);
                let timeout = policies[&one.generation].stop_timeout;
                one.enter(Life::Retiring, Some(now + timeout));
            }
            Action::Report(Report::TimedOut { worker, .. }) => {
                // It was told to stop just before this report.
                let due = self.from(*worker, &[Life::Draining]).due;
                assert!(due <= Some(now), "{worker} timed out before {due:?}");
            }
            Action::Report(Report::NotStarted { worker, .. }) => {
                self.from(*worker, &[Life::Spawning]);
                self.workers.remove(worker);
            }
            Action::Report(Report::Ended { worker, .. }) => {
                let one = self.known(*worker);
                one.sweep = Some(one.life == Life::Killing);
                match one.life {
                    Life::Spawning | Life::Starting | Life::Ready => {
                        let timeout = policies[&one.generation].stop_timeout;
                        one.enter(Life::Sweeping, Some(now + timeout));
                    }
                    // The processes that the worker left behind have no more time than the worker itself had.
                    Life::Retiring | Life::Draining | Life::Aborting => {
                        one.enter(Life::Sweeping, one.until);
                    }
                    Life::Killing => one.enter(Life::Burying, Some(now + KILLED_FOR)),
                    Life::Sweeping | Life::Burying => panic!("{worker} ended twice"),
                }
            }
            Action::Report(Report::Escalating { .. } | Report::LeavingIdle { .. }) => {
                self.drain_at = Some(now);
            }
            Action::Drain { worker } => {
                let one = self.from(*worker, &[Life::Starting, Life::Ready]);
                let timeout = policies[&one.generation].stop_timeout;
                one.enter(Life::Draining, Some(now + timeout));
            }
            Action::Abort { worker } => {
                let one = self.from(*worker, &[Life::Starting, Life::Ready]);
                let timeout = policies[&one.generation].stop_timeout.min(LONGEST_ABORT);
                one.enter(Life::Aborting, Some(now + timeout));
            }
            Action::Kill { worker } => self.killed(now, *worker),
            Action::Sweep { worker, kill } => {
                let one = self.from(*worker, &[Life::Sweeping, Life::Burying]);
                assert_eq!(one.sweep.take(), Some(*kill), "{worker} is swept in another way");
            }
            Action::Abandon { worker } => {
                let one = self.from(*worker, &[Life::Killing, Life::Burying]);
                assert!(one.until <= Some(now), "{worker} is given up before {:?}", one.until);
                self.workers.remove(worker);
            }
            Action::Look { worker } => drop(self.from(*worker, &[Life::Starting])),
            Action::Weigh { worker }
            | Action::Listen { worker }
            | Action::Probe { worker: Some(worker) } => drop(self.from(*worker, &[Life::Ready])),
            Action::Probe { worker: None }
            | Action::Steer { .. }
            | Action::WatchQueues { .. }
            | Action::Sample
            | Action::Watch
            | Action::Check { .. }
            | Action::Forget { .. }
            | Action::Notify(_)
            | Action::Report(_)
            | Action::Answer { .. }
            | Action::Exit { .. } => {}
        }
    }

    /// A worker is sent SIGKILL when its time is over, or when herder was told to stop for the second time.
    fn killed(&mut self, now: Time, worker: WorkerId) {
        let hurried = self.hurried();
        let one = self.known(worker);
        let over = one.until <= Some(now);
        let (next, allowed) = match one.life {
            Life::Starting | Life::Ready => (Life::Killing, hurried),
            Life::Retiring | Life::Draining | Life::Aborting => (Life::Killing, hurried || over),
            Life::Sweeping => (Life::Burying, hurried || over),
            // It may have started other processes since the last SIGKILL.
            Life::Burying => return,
            Life::Spawning | Life::Killing => (Life::Killing, false),
        };
        assert!(allowed, "{worker} is killed in {:?}, which ends at {:?}", one.life, one.until);
        one.enter(next, Some(now + KILLED_FOR));
    }

    fn hurried(&self) -> bool {
        self.stops > 1
    }

    fn known(&mut self, worker: WorkerId) -> &mut One {
        self.workers.get_mut(&worker).unwrap_or_else(|| panic!("{worker} is gone"))
    }

    /// A worker that is in one of these states.
    fn from(&mut self, worker: WorkerId, states: &[Life]) -> &mut One {
        let one = self.known(worker);
        assert!(states.contains(&one.life), "{worker} is {:?}, not one of {states:?}", one.life);
        one
    }

    /// The herd shows every worker in its state, and no other worker.
    fn agree(&self, herd: &Herd) {
        let shown: BTreeMap<WorkerId, WorkerState> =
            herd.view().map(|view| (view.id, view.state)).collect();
        let told: BTreeMap<WorkerId, WorkerState> =
            self.workers.iter().map(|(id, one)| (*id, one.life.shown())).collect();
        assert_eq!(shown, told, "what is shown, and what was told");
        for (id, one) in &self.workers {
            assert_eq!(one.sweep, None, "{id} has ended and is not swept");
        }
    }

    /// No state outlasts its deadline.
    fn end_in_time(&self, now: Time) {
        for (id, one) in &self.workers {
            let over = one.until.is_some_and(|until| until <= now);
            assert!(!over, "{id} is still {:?}, which ended at {:?}", one.life, one.until);
        }
    }

    /// A herd that ends tells every worker to stop in time, and leaves with the last of them.
    fn leave(&self, now: Time, herd: &Herd, actions: &[Action]) {
        let stops = herd.condition() == Condition::Stopping;
        assert_eq!(stops, self.drain_at.is_some(), "it stops without a reason, or does not");
        for (id, one) in &self.workers {
            let late = match one.life {
                Life::Starting | Life::Ready => self.drain_at.is_some_and(|at| at <= now),
                Life::Retiring | Life::Draining | Life::Aborting | Life::Sweeping => self.hurried(),
                Life::Spawning | Life::Killing | Life::Burying => false,
            };
            assert!(!late, "{id} is {:?} in a herd that ends", one.life);
        }
        let exits = actions.iter().filter(|action| matches!(action, Action::Exit { .. })).count();
        let over = self.drain_at.is_some() && self.workers.is_empty();
        assert_eq!(exits, usize::from(over), "herder leaves with its last worker");
    }
}
