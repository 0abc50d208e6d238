//! Counts which kinds of event, order, report and state the random runs have produced. The properties are never
//! checked on a kind that no run produces, so a test fails until the simulator produces every kind.

use super::lives::Life;
use herder_core::{
    Action, Cause, Condition, Ending, Event, Evidence, Exit, Hang, Herd, Manner, Notice, Outcome,
    ReloadPhase, Report, Request, RequestOutcome, Sight, Wear, Weight, WorkerState,
};
use std::collections::BTreeSet;

/// An enum whose variants have names that the compiler keeps complete.
pub trait Kind {
    /// The names of all variants.
    const NAMES: &'static [&'static str];
    /// The name of this one.
    fn name(&self) -> &'static str;
}

/// Makes the list of names and the exhaustive `match` from one list of variants: a variant that is missing here
/// does not compile.
macro_rules! kinds {
    ($( $kind:ident { $( $variant:ident ),+ $(,)? } )+) => {
        $(
            impl Kind for $kind {
                const NAMES: &'static [&'static str] =
                    &[$( concat!(stringify!($kind), "::", stringify!($variant)) ),+];

                fn name(&self) -> &'static str {
                    match self {
                        $( $kind::$variant { .. } => {
                            concat!(stringify!($kind), "::", stringify!($variant))
                        } )+
                    }
                }
            }
        )+

        /// The names of all variants of all enums that are counted.
        fn all() -> BTreeSet<&'static str> {
            [$( <$kind as Kind>::NAMES ),+].concat().into_iter().collect()
        }
    };
}

kinds! {
    Event {
        Tick, Spawned, SpawnFailed, Ready, Seen, Weighed, Stopping, Extend, Alive, Stuck, Interval,
        Listened, Exited, Gone, Checked, Adjusted, Refused, Scale, Asked, QueueWaits,
        OutOfMemory, Sampled, Knocked, Probed, Resumed, Stop,
    }
    Cause { Settings, System, Withdrawn }
    Sight { Waiting, NotYet, Astray, Unreadable }
    Weight { Is, Same, Unknown }
    Exit { Code, Signal, OutOfMemory }
    Request { Reload, Scale, Recycle, StopWorker, AbortReload }
    Action {
        Spawn, Steer, WatchQueues, Look, Weigh, Sample, Watch, Probe, Listen, Drain, Abort, Kill,
        Sweep, Abandon, Check, Forget, Notify, Report, Answer, Exit,
    }
    Notice { Ready, Reloading, Stopping, Status, Extend, Watchdog }
    RequestOutcome { Superseded, Done, Failed, NotFound, Stopped }
    Report {
        Started, Ready, Retiring, Ended, TimedOut, Hung, NotStarted, BackingOff, Killed, Unkillable,
        RemainderKilled, OutOfMemory, Recycled, NotRecycled, StopRequested, Serving, Degraded,
        Recovered, Scaled, Stalled, StallOver, ProbeFails, ProbeRecovers, ScaledUp, ScaledDown,
        ScaleLimit, LeavingIdle, ReloadStarted, CanaryPassed, Reloaded, ReloadFailed, ReloadAborted,
        RolledBack, ReloadRefused, ReloadSuperseded, Escalating, Stopping, Stopped,
    }
    Evidence { Notified, Accepting, Executed, Assumed }
    Manner { Ordered, BeforeReady, Young, Crashed, Retired }
    Hang { Silent, Mute, Triggered, Stalled, Unfit }
    Wear { Asked, Age, Memory }
    Ending { NotStarted, TimedOut, Hung, Exited }
    Outcome { Done, Failed, Refused, Superseded, Stopped }
    ReloadPhase { Checking, Canary, Rolling, RollingBack }
    Condition { Starting, Serving, Degraded, Reloading, Stopping }
    WorkerState { Starting, Ready, Retiring, Draining, Killed, Swept }
    Life { Spawning, Starting, Ready, Retiring, Draining, Aborting, Killing, Sweeping, Burying }
}

/// Cases that no enum has a variant for, although the properties treat them differently.
const MORE: &[&str] = &[
    "Probe of a worker",
    "Probe of the instance",
    "Sweep with SIGKILL",
    "Sweep without SIGKILL",
    "exit status 0",
    "exit status 69",
    "exit status 71",
    "exit status 75",
    "exit status 78",
    "Adjusted for a generation on its way",
    "Adjusted for a worker that leaves",
];

/// The kinds that one run, or several runs, have produced.
#[derive(Clone, Default)]
pub struct Census(BTreeSet<&'static str>);

impl Census {
    fn see(&mut self, kind: &impl Kind) {
        self.0.insert(kind.name());
    }

    pub fn event(&mut self, event: &Event, before: &Herd) {
        self.see(event);
        match event {
            Event::SpawnFailed { failure, .. } => self.see(&failure.cause),
            Event::Seen { sight, .. } => self.see(sight),
            Event::Weighed { weight, .. } => self.see(weight),
            Event::Exited { exit, .. } => self.see(exit),
            Event::Asked { what, .. } => self.see(what),
            Event::Adjusted { generation, .. } => {
                if before.progress().is_some_and(|progress| progress.generation == *generation) {
                    self.0.insert("Adjusted for a generation on its way");
                }
                let leaves = |state| matches!(state, WorkerState::Draining | WorkerState::Retiring);
                let affected = |id| id == *generation;
                if before.view().any(|one| leaves(one.state) && affected(one.generation)) {
                    self.0.insert("Adjusted for a worker that leaves");
                }
            }
            Event::Tick
            | Event::Spawned { .. }
            | Event::Ready { .. }
            | Event::Stopping { .. }
            | Event::Extend { .. }
            | Event::Alive { .. }
            | Event::Stuck { .. }
            | Event::Interval { .. }
            | Event::Listened { .. }
            | Event::Gone { .. }
            | Event::Checked { .. }
            | Event::Refused { .. }
            | Event::Scale { .. }
            | Event::QueueWaits { .. }
            | Event::OutOfMemory { .. }
            | Event::Sampled(_)
            | Event::Knocked
            | Event::Probed { .. }
            | Event::Resumed
            | Event::Stop => {}
        }
    }

    pub fn action(&mut self, action: &Action) {
        self.see(action);
        match action {
            Action::Notify(notice) => self.see(notice),
            Action::Report(report) => self.report(report),
            Action::Answer { outcome, .. } => self.see(outcome),
            Action::Probe { worker } => {
                let kind = if worker.is_some() { MORE[0] } else { MORE[1] };
                self.0.insert(kind);
            }
            Action::Sweep { kill, .. } => {
                let how = if *kill { MORE[2] } else { MORE[3] };
                self.0.insert(how);
            }
            Action::Exit { code } => {
                let status = format!("exit status {code}");
                let known = MORE.iter().find(|name| **name == status);
                self.0.insert(
                    known.unwrap_or_else(|| panic!("{status} is not one of the documented")),
                );
            }
            Action::Spawn { .. }
            | Action::Steer { .. }
            | Action::WatchQueues { .. }
            | Action::Look { .. }
            | Action::Weigh { .. }
            | Action::Sample
            | Action::Watch
            | Action::Listen { .. }
            | Action::Drain { .. }
            | Action::Abort { .. }
            | Action::Kill { .. }
            | Action::Abandon { .. }
            | Action::Check { .. }
            | Action::Forget { .. } => {}
        }
    }

    fn report(&mut self, report: &Report) {
        self.see(report);
        match report {
            Report::Ready { evidence, .. } => self.see(evidence),
            Report::Ended { manner, .. } => self.see(manner),
            Report::Hung { why, .. } => self.see(why),
            Report::Recycled { why, .. } => self.see(why),
            _ => {}
        }
    }

    /// What the herd shows of itself after a turn.
    pub fn herd(&mut self, herd: &Herd) {
        self.see(&herd.condition());
        if let Some(progress) = herd.progress() {
            self.see(&progress.phase);
        }
        for past in herd.past_reloads() {
            self.see(&past.outcome);
        }
        for worker in herd.view() {
            self.see(&worker.state);
            if let Some(last) = &worker.last {
                self.see(&last.ending);
            }
        }
    }

    pub fn life(&mut self, life: Life) {
        self.see(&life);
    }

    pub fn add(&mut self, other: &Census) {
        self.0.extend(&other.0);
    }

    /// What was never produced.
    pub fn missing(&self) -> Vec<&'static str> {
        let mut all = all();
        all.extend(MORE);
        all.difference(&self.0).copied().collect()
    }
}
