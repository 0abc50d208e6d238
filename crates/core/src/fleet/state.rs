//! The states of a worker, and the one function that says which may follow which.
//!
//! A worker is born when herder orders the shell to start it, and is forgotten when neither its process nor anything that
//! its process has started is left. In between it is in one of these states:
//!
//! | state | what it means | what ends it |
//! | --- | --- | --- |
//! | `Spawning` | it was ordered; the shell has not answered yet | the answer: it runs (`Starting`), or there is no process (forgotten) |
//! | `Starting` | its program runs and is not ready yet | evidence that it serves (`Ready`); `start-timeout` or an order to stop (`Draining`); WATCHDOG=trigger (`Aborting`) |
//! | `Ready` | it serves | STOPPING=1 (`Retiring`); an order to stop (`Draining`); a hang (`Aborting`) |
//! | `Retiring` | it said STOPPING=1 of its own accord, and leaves | its end; `stop-timeout` (`Killing`) |
//! | `Draining` | it was sent its `stop-signal` | its end; `stop-timeout` (`Killing`) |
//! | `Aborting` | it hangs, and was sent SIGABRT | its end; the abort time-out (`Killing`) |
//! | `Killing` | it was sent SIGKILL | its end; 10 s, after which herder no longer waits for it (forgotten) |
//! | `Sweeping` | its process has ended; what it has started was told to stop | nothing is left (forgotten); `stop-timeout` (`Burying`) |
//! | `Burying` | what it has started was sent SIGKILL, and is again every half second | nothing is left (forgotten); 10 s (forgotten) |
//!
//! The end of the process is possible in each state with a process and leads to `Sweeping`, or to `Burying` from
//! `Killing`. A second interrupt leads from each state with a process that the shell has answered for to `Killing`, and from
//! `Sweeping` to `Burying`.
//!
//! [`State::after`] is the only place that makes a next state out of a state. [`State::facts`] says what holds in a
//! state, so that other files need not list states.

use crate::policy::{Policy, Ready};
use crate::reason::Manner;
use crate::shown::WorkerState;
use crate::time::{Span, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Spawning,
    Starting(Start),
    Ready,
    Retiring { kill_at: Time },
    Draining { kill_at: Time },
    Aborting { kill_at: Time },
    Killing { until: Time },
    Sweeping { kill_at: Time },
    Burying { again_at: Time, until: Time },
}

/// The start of a worker, from exec to ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub since: Time,
    /// A worker that is not ready by then has timed out.
    pub until: Time,
    /// The worker has asked for more time with EXTEND_TIMEOUT_USEC.
    pub extended: bool,
    pub looking: Looking,
}

/// Whether herder looks at a starting worker, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looking {
    /// Not at all: what counts as ready cannot be seen.
    No,
    /// Next at this time.
    At(Time),
    /// The look was ordered and has not been answered.
    Now,
}

/// Something that changes a worker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Exec succeeded.
    Executed,
    /// There is evidence that it serves.
    BecameReady,
    /// A look is ordered.
    Look,
    /// The ordered look has not shown it waiting on its socket.
    LookedInVain,
    /// It sent EXTEND_TIMEOUT_USEC.
    MoreTime { by: Span },
    /// It sent STOPPING=1.
    Retire,
    /// It is sent its stop signal.
    Drain,
    /// It is sent SIGABRT.
    Abort,
    /// It is sent SIGKILL, or what it has left behind is.
    Kill,
    /// Its process has ended.
    Exit,
}

/// What holds in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Between the order to start it and ready.
    pub starting: bool,
    pub serves: bool,
    /// Its process is there and is on its way out.
    pub leaving: bool,
    /// Its process has ended, and something that it has started may be left.
    pub remains: bool,
    /// It, or what it has left behind, was sent SIGKILL.
    pub killed: bool,
    /// As operators see it.
    pub shown: WorkerState,
}

impl Facts {
    /// It serves or is on its way there.
    pub fn active(self) -> bool {
        self.starting || self.serves
    }

    /// It counts towards the bound on processes.
    pub fn has_process(self) -> bool {
        !self.remains
    }
}

/// A starting worker is looked at again after an eighth of the time that it has taken so far, within these bounds: a
/// quick worker is not kept waiting, and a slow one costs little.
const SOONEST_LOOK: Span = Span::millis(5);
const LATEST_LOOK: Span = Span::millis(250);

/// How long SIGKILL may take to end a process before herder no longer waits for it. (A process in the state D of
/// ps(1), because of a dead disk for example, ignores SIGKILL.)
const UNKILLABLE: Span = Span::secs(10);

/// How often what a dead worker left behind is looked for and killed: it may fork meanwhile, and herder may not be
/// told of its end.
const BURY_EVERY: Span = Span::millis(500);

/// How many times `start-timeout` a worker may have with EXTEND_TIMEOUT_USEC.
pub(crate) const MOST_EXTENSION: u64 = 10;

impl Looking {
    fn begin(policy: &Policy, now: Time) -> Looking {
        if policy.looks() { Looking::again(now, now) } else { Looking::No }
    }

    /// After a look in vain at a worker that has been starting since then.
    fn again(since: Time, now: Time) -> Looking {
        Looking::At(now + (now - since).part(8).max(SOONEST_LOOK).min(LATEST_LOOK))
    }

    fn next(self) -> Option<Time> {
        match self {
            Looking::At(time) => Some(time),
            Looking::No | Looking::Now => None,
        }
    }
}

impl State {
    /// The state after a change; `None` if the change means nothing in this state, because it comes too late.
    pub fn after(self, change: Change, policy: &Policy, now: Time) -> Option<State> {
        let facts = self.facts();
        match (change, self) {
            (Change::Executed, State::Spawning) => {
                let (until, looking) = (now + policy.start_timeout, Looking::begin(policy, now));
                Some(State::Starting(Start { since: now, until, extended: false, looking }))
            }
            (Change::BecameReady, State::Starting(_)) => Some(State::Ready),
            (Change::Look, State::Starting(start)) => {
                Some(State::Starting(Start { looking: Looking::Now, ..start }))
            }
            (Change::LookedInVain, State::Starting(start)) if start.looking == Looking::Now => {
                let looking = Looking::again(start.since, now);
                Some(State::Starting(Start { looking, ..start }))
            }
            (Change::MoreTime { by }, State::Starting(start)) => {
                let most = start.since + policy.start_timeout.times(MOST_EXTENSION);
                let until = start.until.max(now + by).min(most);
                Some(State::Starting(Start { until, extended: true, ..start }))
            }
            (Change::Retire, State::Ready) => {
                Some(State::Retiring { kill_at: now + policy.stop_timeout })
            }
            (Change::Drain, State::Starting(_) | State::Ready) => {
                Some(State::Draining { kill_at: now + policy.stop_timeout })
            }
            (Change::Abort, State::Starting(_) | State::Ready) => {
                Some(State::Aborting { kill_at: now + policy.abort_timeout() })
            }
            (Change::Kill, State::Sweeping { .. }) => {
                Some(State::Burying { again_at: now + BURY_EVERY, until: now + UNKILLABLE })
            }
            (Change::Kill, State::Burying { until, .. }) => {
                Some(State::Burying { again_at: now + BURY_EVERY, until })
            }
            // Before the shell has answered there is nothing to kill, and a second SIGKILL changes nothing.
            (Change::Kill, State::Spawning | State::Killing { .. }) => None,
            (Change::Kill, _) => Some(State::Killing { until: now + UNKILLABLE }),
            // What a worker that was told to stop has started has no more time than the worker had.
            (
                Change::Exit,
                State::Draining { kill_at }
                | State::Aborting { kill_at }
                | State::Retiring { kill_at },
            ) => Some(State::Sweeping { kill_at }),
            (Change::Exit, State::Killing { .. }) => {
                Some(State::Burying { again_at: now + BURY_EVERY, until: now + UNKILLABLE })
            }
            (Change::Exit, _) if facts.has_process() => {
                Some(State::Sweeping { kill_at: now + policy.stop_timeout })
            }
            (
                Change::Executed
                | Change::BecameReady
                | Change::Look
                | Change::LookedInVain
                | Change::MoreTime { .. }
                | Change::Retire
                | Change::Drain
                | Change::Abort
                | Change::Exit,
                _,
            ) => None,
        }
    }

    /// The state under other rules: a deadline that runs moves by what its time-out has become longer or shorter. An
    /// operator who sees that a worker needs more time to stop can still give it.
    pub fn under(self, old: &Policy, new: &Policy, now: Time) -> State {
        let stop = |kill_at| moved(kill_at, old.stop_timeout, new.stop_timeout, now);
        match self {
            State::Starting(start) if !start.extended => {
                let until = moved(start.until, old.start_timeout, new.start_timeout, now);
                State::Starting(Start { until, ..start })
            }
            State::Retiring { kill_at } => State::Retiring { kill_at: stop(kill_at) },
            State::Draining { kill_at } => State::Draining { kill_at: stop(kill_at) },
            State::Sweeping { kill_at } => State::Sweeping { kill_at: stop(kill_at) },
            // Deadlines that the worker has asked for, and states whose deadline is no setting.
            State::Spawning
            | State::Starting(_)
            | State::Ready
            | State::Aborting { .. }
            | State::Killing { .. }
            | State::Burying { .. } => self,
        }
    }

    pub fn facts(self) -> Facts {
        let facts = Facts {
            starting: false,
            serves: false,
            leaving: false,
            remains: false,
            killed: false,
            shown: WorkerState::Starting,
        };
        match self {
            State::Spawning | State::Starting(_) => Facts { starting: true, ..facts },
            State::Ready => Facts { serves: true, shown: WorkerState::Ready, ..facts },
            State::Retiring { .. } => {
                Facts { leaving: true, shown: WorkerState::Retiring, ..facts }
            }
            State::Draining { .. } | State::Aborting { .. } => {
                Facts { leaving: true, shown: WorkerState::Draining, ..facts }
            }
            State::Killing { .. } => {
                Facts { leaving: true, killed: true, shown: WorkerState::Killed, ..facts }
            }
            State::Sweeping { .. } => Facts { remains: true, shown: WorkerState::Swept, ..facts },
            State::Burying { .. } => {
                Facts { remains: true, killed: true, shown: WorkerState::Swept, ..facts }
            }
        }
    }

    /// What the end of the process means in this state. `normal`: `success-exit-status` allows it; `proved`: the
    /// worker has been ready for `min-lifetime`.
    pub fn manner_of_exit(self, normal: bool, proved: bool) -> Manner {
        match self {
            State::Spawning | State::Starting(_) => Manner::BeforeReady,
            State::Ready if normal => Manner::Retired,
            State::Ready if proved => Manner::Crashed,
            State::Ready => Manner::Young,
            State::Retiring { .. } => Manner::Retired,
            State::Draining { .. }
            | State::Aborting { .. }
            | State::Killing { .. }
            | State::Sweeping { .. }
            | State::Burying { .. } => Manner::Ordered,
        }
    }

    /// The time at which the state itself asks for something; what a ready worker's watchdog, wear and probes ask for
    /// comes on top.
    pub fn deadline(self) -> Option<Time> {
        match self {
            State::Spawning | State::Ready => None,
            State::Starting(start) => {
                Some(start.looking.next().map_or(start.until, |look| look.min(start.until)))
            }
            State::Retiring { kill_at }
            | State::Draining { kill_at }
            | State::Aborting { kill_at }
            | State::Sweeping { kill_at } => Some(kill_at),
            State::Killing { until } => Some(until),
            State::Burying { again_at, until } => Some(again_at.min(until)),
        }
    }

    /// Whether it serves, or is within its limits on the way to serving or to its end.
    pub fn is_within_limits(self, now: Time) -> bool {
        match self {
            State::Ready => true,
            State::Starting(start) => now <= start.until,
            State::Retiring { kill_at } | State::Draining { kill_at } => now <= kill_at,
            State::Spawning
            | State::Aborting { .. }
            | State::Killing { .. }
            | State::Sweeping { .. }
            | State::Burying { .. } => false,
        }
    }

    /// What it has left behind is being killed, and herder still waits for that.
    pub fn is_being_buried(self, now: Time) -> bool {
        matches!(self, State::Burying { until, .. } if now < until)
    }

    pub fn start(self) -> Option<Start> {
        match self {
            State::Starting(start) => Some(start),
            State::Spawning
            | State::Ready
            | State::Retiring { .. }
            | State::Draining { .. }
            | State::Aborting { .. }
            | State::Killing { .. }
            | State::Sweeping { .. }
            | State::Burying { .. } => None,
        }
    }
}

/// What of a starting worker is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It has been alive for long enough to count as ready.
    Assumed,
    /// It is to be looked at.
    Look,
    /// Its time is over.
    TimedOut,
}

impl Start {
    /// What is due now; `assumed_at` is when it counts as ready merely by staying alive.
    pub fn due(self, assumed_at: Option<Time>, now: Time) -> Due {
        match (assumed_at.filter(|&at| at <= now), self.looking) {
            (Some(assumed), _) if assumed <= self.until => Due::Assumed,
            (_, Looking::At(_)) if now < self.until => Due::Look,
            (_, Looking::No | Looking::At(_) | Looking::Now) => Due::TimedOut,
        }
    }
}

/// When a worker that has been starting since then counts as ready merely by staying alive; never where it can be
/// seen waiting on its socket (`nothing_to_see` is false), or has to say so itself.
pub(crate) fn assumed_at(policy: &Policy, since: Time, nothing_to_see: bool) -> Option<Time> {
    match policy.ready {
        Ready::Auto if !nothing_to_see => None,
        Ready::Auto | Ready::Alive => Some(since + policy.ready_after),
        Ready::Notify | Ready::Accepting | Ready::Exec => None,
    }
}

/// A deadline that was set by a time-out `old`, as it would be by `new`.
fn moved(deadline: Time, old: Span, new: Span, now: Time) -> Time {
    match (old, new) {
        (_, Span::MAX) => Time(u64::MAX),
        // Since when it runs is not known any more.
        (Span::MAX, new) => now + new,
        (old, new) => Time((deadline.0.saturating_sub(old.0)).saturating_add(new.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000_000);

    fn states() -> [State; 9] {
        let kill_at = NOW + Span::secs(9);
        let start = Start { since: NOW, until: kill_at, extended: false, looking: Looking::Now };
        [
            State::Spawning,
            State::Starting(start),
            State::Ready,
            State::Retiring { kill_at },
            State::Draining { kill_at },
            State::Aborting { kill_at },
            State::Killing { until: kill_at },
            State::Sweeping { kill_at },
            State::Burying { again_at: NOW, until: kill_at },
        ]
    }

    /// The table in this module's documentation, as numbers of states.
    #[test]
    fn the_table_says_what_may_follow() {
        const NONE: usize = 9;
        let rows = [
            (Change::Executed, [1, 9, 9, 9, 9, 9, 9, 9, 9]),
            (Change::BecameReady, [9, 2, 9, 9, 9, 9, 9, 9, 9]),
            (Change::Look, [9, 1, 9, 9, 9, 9, 9, 9, 9]),
            (Change::LookedInVain, [9, 1, 9, 9, 9, 9, 9, 9, 9]),
            (Change::MoreTime { by: Span::secs(1) }, [9, 1, 9, 9, 9, 9, 9, 9, 9]),
            (Change::Retire, [9, 9, 3, 9, 9, 9, 9, 9, 9]),
            (Change::Drain, [9, 4, 4, 9, 9, 9, 9, 9, 9]),
            (Change::Abort, [9, 5, 5, 9, 9, 9, 9, 9, 9]),
            (Change::Kill, [9, 6, 6, 6, 6, 6, 9, 8, 8]),
            (Change::Exit, [7, 7, 7, 7, 7, 7, 8, 9, 9]),
        ];
        let policy = Policy::default();
        let number = |state: State| {
            let same =
                |other: &State| core::mem::discriminant(other) == core::mem::discriminant(&state);
            states().iter().position(same)
        };
        for (change, followers) in rows {
            for (state, expected) in states().into_iter().zip(followers) {
                let next = state.after(change, &policy, NOW).and_then(number);
                assert_eq!(next.unwrap_or(NONE), expected, "{change:?} in {state:?}");
            }
        }
    }

    #[test]
    fn a_deadline_moves_with_its_time_out() {
        let old = Policy::default();
        let new = Policy { stop_timeout: Span::secs(60), ..Policy::default() };
        let draining = State::Draining { kill_at: NOW + old.stop_timeout };
        assert_eq!(
            draining.under(&old, &new, NOW),
            State::Draining { kill_at: NOW + Span::secs(60) }
        );
        assert_eq!(State::Ready.under(&old, &new, NOW), State::Ready);
    }
}
