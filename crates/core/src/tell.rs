//! Step 4: what systemd is told, and when (sd_notify(3)).
//!
//! Besides readiness this is a line for people (STATUS), a request for patience while workers
//! start or stop (EXTEND_TIMEOUT_USEC), and the watchdog's ping. The ping is given only by a turn
//! that was on time, and never before READY=1 nor after STOPPING=1: systemd arms its watchdog with
//! the first one it sees, whatever the service is doing.

use super::policy::{ReadyWhen, ServiceWatchdog};
use super::report::Report;
use super::rollout::Phase;
use super::slot::Slot;
use super::view::Outcome;
use super::worker::{State, Worker};
use super::{Action, Condition, Herd, Notice, Span, Time};
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString as _;

/// How often systemd is asked for patience; the shell asks for 15 s each time.
const EXTEND_EVERY: Span = Span::secs(5);
/// A worker that has been starting for this long is worth a word about what keeps it.
const SLOW_START: Span = Span::secs(5);
/// STATUS is sent at most this often.
const STATUS_EVERY: Span = Span::secs(1);

#[derive(Debug)]
pub(super) struct Told {
    status: Status,
    status_at: Option<Time>,
    /// The line has changed since, and the next may not be sent yet.
    status_waits: bool,
    /// How late the events of this turn were handled for what was due.
    pub late: Span,
    next_extend: Option<Time>,
    watchdog: Option<Watchdog>,
}

#[derive(Debug)]
struct Watchdog {
    interval: Span,
    next: Option<Time>,
}

/// A status line; what follows from the passing of time is filled in when it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Status {
    text: String,
    next_try: Option<Time>,
}

impl Told {
    pub fn new(now: Time, watchdog: Option<Span>) -> Told {
        Told {
            status: Status::default(),
            status_at: None,
            status_waits: false,
            late: Span::ZERO,
            next_extend: Some(now + EXTEND_EVERY),
            watchdog: watchdog.map(|interval| Watchdog { interval, next: None }),
        }
    }
}

impl Status {
    fn at(&self, now: Time) -> String {
        match self.next_try {
            Some(time) if time > now => {
                let seconds = (time - now).0.div_ceil(1_000_000);
                format!("{}, next try in {seconds} s", self.text)
            }
            Some(_) | None => self.text.clone(),
        }
    }
}

impl Herd {
    /// How late this turn comes for what was due; of interest only to the watchdog.
    pub(super) fn lateness(&self, now: Time) -> Span {
        let due = self.told.watchdog.as_ref().and_then(|_| self.deadline());
        due.map_or(Span::ZERO, |due| now - due)
    }

    pub(super) fn tell_systemd(&mut self) {
        let late = core::mem::take(&mut self.told.late);
        self.tell_ready();
        self.tell_degraded();
        self.ask_for_patience();
        let status = self.status();
        self.told.status_waits = status != self.told.status;
        let may_be_sent = self.told.status_at.is_none_or(|at| at + STATUS_EVERY <= self.now);
        if may_be_sent && self.told.status_waits {
            self.send_status(status);
        }
        self.ping(late);
    }

    fn tell_ready(&mut self) {
        if self.serving || self.ending.is_some() {
            return;
        }
        let (ready, wanted) = (self.serving_slots(), self.wanted());
        let enough = match self.good.policy.ready_when {
            ReadyWhen::Any => ready > 0,
            ReadyWhen::All => {
                let tried = self.wanted_slots().iter().all(|slot| slot.attempted);
                ready > 0 && (ready == wanted || tried)
            }
        };
        if !enough && wanted > 0 {
            return;
        }
        self.serving = true;
        // The line first: who waits for READY=1 looks at it next.
        self.tell_status_now();
        self.order(Action::Notify(Notice::Ready));
        self.report(Report::Serving { ready, wanted });
        let now = self.now;
        if let Some(watchdog) = &mut self.told.watchdog {
            watchdog.next = Some(now + watchdog.interval.part(2));
        }
    }

    fn tell_degraded(&mut self) {
        if self.ending.is_some() {
            return;
        }
        let (ready, wanted) = (self.serving_slots(), self.wanted());
        match (self.failing_slot(), self.degraded_since) {
            (Some((_, why)), None) if self.serving => {
                self.degraded_since = Some(self.now);
                self.report(Report::Degraded { ready, wanted, why: why.text });
            }
            (None, Some(since)) if ready == wanted => {
                let after = self.now - since;
                self.degraded_since = None;
                self.counters.degraded = self.counters.degraded + after;
                self.report(Report::Recovered { wanted, after });
            }
            (Some(_) | None, Some(_) | None) => {}
        }
    }

    /// The first slot that is without a ready worker because its workers fail.
    fn failing_slot(&self) -> Option<(u32, Status)> {
        let failing = |slot: &&Slot| !slot.has_ready() && slot.failures > 0;
        let number = self.wanted_slots().iter().position(|slot| failing(&slot))?;
        let slot = &self.slots[number];
        let last = slot.last.as_ref().map(|last| last.ending.to_string());
        let last = last.unwrap_or_else(|| "failed".to_owned());
        let text = match slot.failures {
            1 => format!("slot {number} {last}"),
            times => format!("slot {number} {last}, {times} times in a row"),
        };
        let next_try = slot.is_empty().then_some(slot.not_before);
        Some((number as u32, Status { text, next_try }))
    }

    fn ask_for_patience(&mut self) {
        let busy = !self.serving || self.rollout.is_some() || self.ending.is_some();
        let due = match self.told.next_extend {
            _ if !busy => None,
            None => Some(self.now + EXTEND_EVERY),
            Some(due) if due <= self.now => {
                self.order(Action::Notify(Notice::Extend));
                Some(self.now + EXTEND_EVERY)
            }
            Some(due) => Some(due),
        };
        self.told.next_extend = due;
    }

    /// Sends the status line if it has changed.
    pub(super) fn tell_status_now(&mut self) {
        let status = self.status();
        if status != self.told.status {
            self.send_status(status);
        }
    }

    fn send_status(&mut self, status: Status) {
        let text = status.at(self.now);
        self.told.status = status;
        self.told.status_at = Some(self.now);
        self.told.status_waits = false;
        self.order(Action::Notify(Notice::Status(text)));
    }

    /// The status line as it reads now.
    pub fn status_line(&self) -> String {
        self.status().at(self.now)
    }

    /// What the herd as a whole is doing.
    pub fn condition(&self) -> Condition {
        match (&self.ending, &self.rollout) {
            (Some(_), _) => Condition::Stopping,
            (None, _) if !self.serving => Condition::Starting,
            (None, Some(_)) => Condition::Reloading,
            (None, None) if self.failing_slot().is_some() || self.is_mixed() => Condition::Degraded,
            (None, None) if self.is_short_handed() => Condition::Degraded,
            (None, None) if self.stalled().is_some() => Condition::Degraded,
            (None, None) if self.failing_probe().is_some() => Condition::Degraded,
            (None, None) => Condition::Serving,
        }
    }

    /// Fewer serve than wanted, and nobody is on the way.
    fn is_short_handed(&self) -> bool {
        self.serving_slots() < self.wanted() && self.count(Worker::is_starting) == 0
    }

    /// Some slot still has a worker of settings that were given up.
    fn is_mixed(&self) -> bool {
        let good = self.good.generation;
        self.rollout.is_none()
            && self.workers().any(|(_, worker)| worker.is_ready() && worker.generation() != good)
    }

    fn status(&self) -> Status {
        let (ready, wanted) = (self.serving_slots(), self.wanted());
        let plain = |text: String| Status { text, next_try: None };
        if let Some(ending) = &self.ending {
            let left = self.count(Worker::has_process);
            return plain(match &ending.reason {
                Some(reason) => format!("giving up: {reason}"),
                None if ending.idle => "nothing to do until the next connection".to_owned(),
                None if left == 1 => "stopping: 1 worker left".to_owned(),
                None => format!("stopping: {left} workers left"),
            });
        }
        if let Some(rollout) = self.rollout.as_ref().filter(|_| self.serving) {
            let to = rollout.to.generation;
            return plain(match &rollout.phase {
                Phase::Checking { .. } => format!("reload to {to}: its check runs"),
                Phase::Canary { .. } => {
                    format!("reload to {to}: first worker on trial{}", self.held_up())
                }
                Phase::Rolling | Phase::Replacing => {
                    let new = self.count(|w| w.is_ready() && w.generation() == to);
                    format!("reload {new}/{wanted} to {to}")
                }
                Phase::RollingBack { reason, .. } => {
                    format!("reload to {to} failed, rolling back: {reason}")
                }
            });
        }
        let generation = self.good.generation;
        let tail = self.bad_news();
        match self.failing_slot() {
            Some((_, why)) => {
                let what = match (self.serving, ready) {
                    (false, _) => "starting",
                    (true, 0) if self.good.policy.has_socket => "not serving, clients wait,",
                    (true, 0) => "not working,",
                    (true, _) => "degraded",
                };
                Status { text: format!("{what} {ready}/{wanted}: {}", why.text), ..why }
            }
            None if self.serving && self.scaling_up().is_some() => {
                plain(self.scaling_up().unwrap_or_default())
            }
            None if self.serving && wanted == 0 && self.bounds().1 > 0 => {
                plain(format!("no worker needed, {generation}{tail}"))
            }
            None if self.serving => {
                let mixed = if self.is_mixed() { " (some workers are of another)" } else { "" };
                let recycling = self.recycling();
                let recycling = recycling.map(|(done, of)| format!(", recycling {done}/{of}"));
                let recycling = recycling.unwrap_or_default();
                let stalled = match self.stalled() {
                    Some(_) => ", stalled: connections wait and no worker accepts",
                    None => self.strain(),
                };
                let probe = self.failing_probe().map(|why| format!(", its probe fails: {why}"));
                let probe = probe.unwrap_or_default();
                plain(format!(
                    "{ready}/{wanted} ready, {generation}{mixed}{stalled}{probe}{recycling}{tail}"
                ))
            }
            None => plain(format!("starting {ready}/{wanted}{}", self.held_up())),
        }
    }

    /// What keeps the first worker from being ready that has been starting for long.
    fn held_up(&self) -> String {
        let slow = self.workers().find_map(|(slot, worker)| match worker.state {
            State::Starting { since, .. } if since + SLOW_START <= self.now => {
                Some(format!(": {} ({slot}) {}", worker.id, worker.diagnosis()?))
            }
            State::Spawning
            | State::Starting { .. }
            | State::Ready
            | State::Retiring { .. }
            | State::Draining { .. }
            | State::Aborting { .. }
            | State::Killing { .. }
            | State::Sweeping { .. }
            | State::Burying { .. } => None,
        });
        slow.unwrap_or_default()
    }

    /// That the last reload came to nothing, for as long as that is the last.
    fn bad_news(&self) -> String {
        let Some(past) = self.past_reloads.front() else { return String::new() };
        let reason = past.reason.as_deref().unwrap_or_default();
        match (past.outcome, past.generation) {
            (Outcome::Failed, Some(to)) => format!("; reload to {to} failed: {reason}"),
            (Outcome::Refused, _) => format!("; reload refused: {reason}"),
            (Outcome::Failed | Outcome::Done | Outcome::Superseded | Outcome::Stopped, _) => {
                String::new()
            }
        }
    }

    fn ping(&mut self, late: Span) {
        let (now, ending) = (self.now, self.ending.is_some());
        let healthy = self.vouches();
        let Some(watchdog) = &mut self.told.watchdog else { return };
        let Some(next) = watchdog.next.filter(|_| !ending) else {
            watchdog.next = None;
            return;
        };
        if next > now {
            return;
        }
        // A turn that came late proves that the loop lags; the next one may prove that it does not.
        if late > watchdog.interval.part(4) {
            watchdog.next = Some(now);
        } else {
            watchdog.next = Some(now + watchdog.interval.part(2));
            if healthy {
                self.order(Action::Notify(Notice::Watchdog));
            }
        }
    }

    /// Whether there is more to vouch for than the loop itself, and if so, whether it is well.
    fn vouches(&self) -> bool {
        match self.good.policy.service_watchdog {
            ServiceWatchdog::Loop => true,
            ServiceWatchdog::Workers => {
                let now = self.now;
                let on_its_way = |worker: &Worker| match worker.state {
                    State::Ready => true,
                    State::Spawning => false,
                    State::Starting { until, .. } => now <= until,
                    State::Retiring { kill_at } | State::Draining { kill_at } => now <= kill_at,
                    State::Aborting { .. }
                    | State::Killing { .. }
                    | State::Sweeping { .. }
                    | State::Burying { .. } => false,
                };
                self.wanted() == 0
                    || self.workers().any(|(_, worker)| on_its_way(worker))
                    || self.wanted_slots().iter().any(|slot| now <= slot.not_before)
            }
        }
    }

    pub(super) fn tell_deadline(&self) -> Option<Time> {
        let waits = self.told.status_waits;
        let status = self.told.status_at.filter(|_| waits).map(|at| at + STATUS_EVERY);
        let ping = self.told.watchdog.as_ref().and_then(|watchdog| watchdog.next);
        [status, self.told.next_extend, ping].into_iter().flatten().min()
    }
}
