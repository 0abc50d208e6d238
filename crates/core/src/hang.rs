//! Workers that run and do nothing: how that is noticed, and what becomes of them.
//!
//! A hung worker is sent SIGABRT, so that it can show where it hangs, and SIGKILL with all it has
//! started when that has not ended it in time. Its place is free at once: it serves nobody, so
//! its replacement waits for no dump, only for the bound on processes.
//!
//! The watchdog is the one of sd_notify(3): a worker that has not said WATCHDOG=1 for its interval
//! hangs. Silence proves that only if herder has listened: it may have been stopped itself, frozen with
//! its workers, or be late. So an interval that is over only raises a *doubt*; a moment later, in a turn
//! that comes on time, what the worker has said by then is read ([`Action::Listen`]), and if there is no
//! ping among it the worker is given up. And when herder goes on after it was stopped everybody has
//! another half of his interval: a sleep that was frozen may go on where it was.

use super::record::Blame;
use super::report::{Report, connections};
use super::slot::Ending;
use super::worker::State;
use super::{Action, Herd, Span, Time, WorkerId};
use alloc::string::String;
use core::fmt;

/// How long after its interval a silent worker is given up, and how late that turn may be: this part of
/// the interval, within these bounds. (A turn is late by a millisecond as a rule. If that were too late, one
/// that chose a very short interval could never be given up, and herder would wake up for it for ever.)
const MOMENT: u64 = 16;
const SHORTEST_MOMENT: Span = Span::millis(10);
const LONGEST_MOMENT: Span = Span::secs(1);

/// Why a worker is taken for hung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hang {
    /// It did not say WATCHDOG=1 for so long.
    Silent(Span),
    /// It did not for so long, and had not before: perhaps it cannot.
    Mute(Span),
    /// It said WATCHDOG=trigger.
    Triggered,
    /// So many connections wait in its own sockets, and it has accepted none for so long.
    #[expect(missing_docs, reason = "the fields are told above")]
    Stalled { waiting: u32, after: Span },
    /// Its probe has failed so often in a row, the last time for this reason.
    #[expect(missing_docs, reason = "the fields are told above")]
    Unfit { failures: u32, why: String },
}

/// What follows “hung: ”.
impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hang::Silent(interval) => write!(f, "no WATCHDOG=1 for {interval}"),
            Hang::Mute(interval) => write!(
                f,
                "no WATCHDOG=1 for {interval}, nor ever before: remove `watchdog` if its program cannot ping"
            ),
            Hang::Triggered => f.write_str("it said WATCHDOG=trigger"),
            Hang::Stalled { waiting, after } => {
                write!(f, "{}, none accepted for {after}", connections(*waiting))
            }
            Hang::Unfit { failures: 1, why } => write!(f, "its probe failed: {why}"),
            Hang::Unfit { failures, why } => {
                write!(f, "its probe failed {failures} times in a row: {why}")
            }
        }
    }
}

/// What is known of a worker's pings.
#[derive(Debug)]
pub(super) struct Watchdog {
    /// How far apart they may be; `None` expects none.
    interval: Option<Span>,
    /// When it last said something that counts.
    heard: Time,
    /// It has said WATCHDOG=1.
    pings: bool,
    doubt: Doubt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// Its interval is not over.
    None,
    /// It is; until then it has time to prove that it was not the worker that was held up.
    Until(Time),
    /// What it has said is being read.
    Listening,
}

impl Watchdog {
    pub fn new(interval: Option<Span>) -> Watchdog {
        Watchdog { interval, heard: Time::default(), pings: false, doubt: Doubt::None }
    }

    /// It is alive, or counts as alive, now.
    pub fn hear(&mut self, now: Time) {
        self.heard = now;
        self.doubt = Doubt::None;
    }

    /// Whatever it should have said by now, it may have been kept from that.
    fn excuse(&mut self, now: Time) {
        let Some(interval) = self.interval else { return };
        // As often as sd_watchdog_enabled(3) has it ping.
        let until = now + interval.part(2);
        if self.deadline().is_none_or(|due| due < until) {
            self.doubt = Doubt::Until(until);
        }
    }

    /// Whether it is known to have lived until then; without pings nobody knows better.
    pub fn vouches_for(&self, time: Time) -> bool {
        self.interval.is_none() || self.heard >= time
    }

    /// When a ready worker's silence has to be looked into.
    pub fn deadline(&self) -> Option<Time> {
        let interval = self.interval?;
        match self.doubt {
            Doubt::None => Some(self.heard + interval),
            Doubt::Until(time) => Some(time),
            Doubt::Listening => None,
        }
    }
}

impl Herd {
    /// The worker said WATCHDOG=1.
    pub(super) fn said_alive(&mut self, id: WorkerId) {
        let now = self.now;
        let Some((_, worker)) = self.find(id) else { return };
        worker.watchdog.hear(now);
        worker.watchdog.pings = true;
        // It may have outlived its trial with this.
        self.prove();
    }

    /// The worker said WATCHDOG_USEC=. That there is a watchdog at all is the operator's choice.
    pub(super) fn said_interval(&mut self, id: WorkerId, interval: Span) {
        let now = self.now;
        let Some((_, worker)) = self.find(id) else { return };
        if worker.policy().watchdog.is_some() {
            // 0 and for ever end it, as in systemd.
            let ends = matches!(interval, Span::ZERO | Span::MAX);
            let pings = worker.watchdog.pings;
            worker.watchdog = Watchdog { pings, ..Watchdog::new((!ends).then_some(interval)) };
            worker.watchdog.hear(now);
        }
    }

    /// herder was stopped, perhaps with its workers.
    pub(super) fn resumed(&mut self) {
        let now = self.now;
        for worker in self.slots.iter_mut().flat_map(|slot| &mut slot.workers) {
            worker.watchdog.excuse(now);
        }
    }

    /// A ready worker's interval is over, or its doubt.
    pub(super) fn doubt(&mut self, id: WorkerId) {
        let now = self.now;
        let Some((_, worker)) = self.find(id) else { return };
        let Some(interval) = worker.watchdog.interval else { return };
        if worker.watchdog.deadline().is_none_or(|due| due > now) {
            return;
        }
        let moment = interval.part(MOMENT).clamp(SHORTEST_MOMENT, LONGEST_MOMENT);
        worker.watchdog.doubt = match worker.watchdog.doubt {
            Doubt::None => Doubt::Until(now + moment),
            // Who comes late himself has no reason to wonder.
            Doubt::Until(time) if now - time > moment => Doubt::Until(now + moment),
            Doubt::Until(_) => Doubt::Listening,
            Doubt::Listening => return,
        };
        if worker.watchdog.doubt == Doubt::Listening {
            self.order(Action::Listen { worker: id });
        }
    }

    /// All that the worker has said by now was told.
    pub(super) fn listened(&mut self, id: WorkerId) {
        let Some((_, worker)) = self.find(id) else { return };
        if let (Doubt::Listening, Some(interval)) =
            (worker.watchdog.doubt, worker.watchdog.interval)
            && worker.is_ready()
        {
            let why =
                if worker.watchdog.pings { Hang::Silent(interval) } else { Hang::Mute(interval) };
            self.hangs(id, why);
        }
    }

    /// Gives a worker up that serves, or should begin to.
    pub(super) fn hangs(&mut self, id: WorkerId, why: Hang) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        if !matches!(worker.state, State::Starting { .. } | State::Ready) {
            return;
        }
        let (generation, lived) = (worker.generation(), now - worker.born);
        let proved = worker.vouched_for;
        let ending = Ending::Hung(why.clone());
        let past = worker.past(ending.clone(), now);
        worker.state = State::Aborting { kill_at: now + worker.policy().abort_timeout() };
        worker.hang = Some(why.clone());
        self.order(Action::Abort { worker: id });
        self.slot(slot).vacate(past);
        self.counters.hung(&why);
        self.report(Report::Hung { worker: id, slot, generation, lived, why });
        if !proved {
            self.trouble_with(Blame::Worker);
            self.failed(id, slot, generation, &ending);
        }
    }
}
