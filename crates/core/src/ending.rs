//! The way out: a stop that was asked for, or an escalation.
//!
//! herder escalates (drains what is left and exits non-zero, so that `Restart=`, `StartLimit*` and
//! `OnFailure=` decide) only while nothing serves. *Trouble* is the time since a worker that had
//! proved itself was last ready; it ends herder when every wanted slot has failed `crash-limit`
//! times in it, or when it has lasted for `crash-limit.after`.

use super::record::Blame;
use super::report::Report;
use super::rollout::Phase;
use super::worker::{State, Worker};
use super::{Action, Herd, Notice, Span, Time, WorkerId};
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The crash loop: workers keep dying (EX_UNAVAILABLE of sysexits.h).
const UNAVAILABLE: u8 = 69;
/// The system refused (EX_OSERR).
const OS_ERROR: u8 = 71;
/// No worker became ready in time (EX_TEMPFAIL).
const TEMPORARY: u8 = 75;
/// The settings are wrong (EX_CONFIG).
const CONFIG: u8 = 78;

/// While no worker is ready the next try is never further away than this.
const LONGEST_DELAY_IN_AN_OUTAGE: Span = Span::secs(5);

/// The time since a worker that had proved itself was last ready.
#[derive(Debug)]
pub(super) struct Trouble {
    since: Time,
    only_timeouts: bool,
    last: Option<Blame>,
}

#[derive(Debug)]
pub(super) struct Ending {
    code: u8,
    began: Time,
    /// Workers serve on until then (`stop-delay`).
    drain_at: Time,
    /// Whether somebody asked for it: the next one who does is in a hurry.
    asked: bool,
    /// Kill, do not wait.
    hurried: bool,
    pub reason: Option<String>,
    /// There was nothing to do.
    pub idle: bool,
}

impl Herd {
    /// SIGTERM. The second one kills.
    pub(super) fn stop(&mut self) {
        let delay = self.good.policy.stop_delay;
        match &mut self.ending {
            None => {
                let workers = self.count(Worker::has_process);
                self.report(Report::Stopping { workers });
                self.end(0, delay, None);
            }
            Some(ending) => {
                ending.hurried |= ending.asked;
                ending.asked = true;
            }
        }
    }

    /// Notes what a failure tells about an outage, if this is one.
    pub(super) fn trouble_with(&mut self, blame: Blame) {
        if let Some(trouble) = &mut self.trouble {
            trouble.only_timeouts &= blame == Blame::Timeout;
            trouble.last = Some(blame);
        }
    }

    /// The first start cannot be executed: trying again would not help.
    pub(super) fn give_up_on_settings(&mut self, why: &str) {
        self.escalate(CONFIG, why.to_owned());
    }

    /// Step 3, last part: is the reload over, or is it time to leave?
    pub(super) fn conclude(&mut self) {
        if self.ending.is_some() {
            return self.leave_if_empty();
        }
        self.conclude_rollout();
        self.conclude_requests();
    }

    /// Ends the herd if it is in trouble for too long. Comes before anything is started: a worker
    /// that is to be drained at once would only take a connection with it.
    pub(super) fn judge_trouble(&mut self) {
        if self.ending.is_some() {
            return;
        }
        self.watch_trouble();
        if let Some((code, reason)) = self.verdict_on_trouble() {
            self.escalate(code, reason);
        }
    }

    fn watch_trouble(&mut self) {
        let now = self.now;
        let proved = self.workers().any(|(_, worker)| worker.is_ready() && worker.proved);
        if proved || self.wanted() == 0 {
            self.trouble = None;
        } else if self.trouble.is_none() {
            self.trouble = Some(Trouble { since: now, only_timeouts: true, last: None });
            for slot in &mut self.slots {
                slot.failures_in_trouble = 0;
            }
        }
        if !self.serves() {
            for slot in &mut self.slots {
                slot.not_before = slot.not_before.min(now + LONGEST_DELAY_IN_AN_OUTAGE);
            }
        }
    }

    fn verdict_on_trouble(&self) -> Option<(u8, String)> {
        let trouble = self.trouble.as_ref()?;
        if self.serves() || self.on_trial() {
            return None;
        }
        let burst = self.good.policy.crash_burst;
        let worn_out = self.wanted_slots().iter().all(|slot| slot.failures_in_trouble >= burst);
        let too_long = self.trouble_deadline().is_some_and(|deadline| deadline <= self.now);
        if !worn_out && !too_long {
            return None;
        }
        let code = match trouble.last {
            Some(Blame::System) => OS_ERROR,
            // Nobody had the time to fail: `crash-limit.after` is shorter than `start-timeout`.
            None => TEMPORARY,
            Some(Blame::Worker | Blame::Timeout) if trouble.only_timeouts => TEMPORARY,
            Some(Blame::Worker | Blame::Timeout) => UNAVAILABLE,
        };
        let last = self.wanted_slots().iter().zip(0..).find_map(|(slot, number)| {
            let last = slot.last.as_ref()?;
            Some(format!("slot {number} {}", last.ending))
        });
        let last = last.unwrap_or_else(|| "none became ready".to_owned());
        Some((code, format!("no worker serves for {}: {last}", self.now - trouble.since)))
    }

    /// Other settings are being brought in: they may be the way out, and each try is bounded.
    fn on_trial(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| rollout.phase != Phase::Replacing)
    }

    /// When the trouble has lasted too long. A worker that asked for more time to start has it.
    fn trouble_deadline(&self) -> Option<Time> {
        let trouble = self.trouble.as_ref()?;
        let extended = self.workers().filter_map(|(_, worker)| match worker.state {
            State::Starting { until, extended: true, .. } => Some(until),
            State::Starting { .. }
            | State::Spawning
            | State::Ready
            | State::Retiring { .. }
            | State::Draining { .. }
            | State::Aborting { .. }
            | State::Killing { .. }
            | State::Sweeping { .. }
            | State::Burying { .. } => None,
        });
        let limit = trouble.since + self.good.policy.crash_after;
        extended.chain([limit]).max()
    }

    fn escalate(&mut self, code: u8, reason: String) {
        self.report(Report::Escalating { code, reason: reason.clone() });
        self.end(code, Span::ZERO, Some(reason));
    }

    /// There is nothing to do, and somebody else will see when there is.
    pub(super) fn end_idle(&mut self) {
        self.begin_ending(0, Span::ZERO, None, true);
    }

    fn end(&mut self, code: u8, delay: Span, reason: Option<String>) {
        self.begin_ending(code, delay, reason, false);
    }

    fn begin_ending(&mut self, code: u8, delay: Span, reason: Option<String>, idle: bool) {
        self.cut_short(reason.as_deref());
        self.stop_requests();
        self.order(Action::Notify(Notice::Stopping));
        self.ending = Some(Ending {
            code,
            began: self.now,
            drain_at: self.now + delay,
            asked: reason.is_none(),
            hurried: false,
            reason,
            idle,
        });
        self.tell_status_now();
    }

    /// Step 3 of a herd that is to end: drain everything, or kill it.
    pub(super) fn settle_ending(&mut self) {
        let Some(ending) = &self.ending else { return };
        let hurried = ending.hurried;
        if ending.drain_at > self.now && !hurried {
            return;
        }
        let ids: Vec<WorkerId> = self.workers().map(|(_, worker)| worker.id).collect();
        for id in ids {
            self.send_off(id, hurried);
        }
    }

    fn send_off(&mut self, id: WorkerId, hurried: bool) {
        let now = self.now;
        let Some((_, worker)) = self.find(id) else { return };
        match worker.state {
            State::Starting { .. } | State::Ready if !hurried => self.drain(id),
            State::Starting { .. }
            | State::Ready
            | State::Retiring { .. }
            | State::Draining { .. }
            | State::Aborting { .. }
                if hurried =>
            {
                worker.state = Worker::killing(now);
                self.order(Action::Kill { worker: id });
            }
            State::Sweeping { .. } if hurried => {
                worker.state = Worker::burying(now);
                self.order(Action::Kill { worker: id });
            }
            // Nothing to signal yet, or nothing more to do.
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

    fn leave_if_empty(&mut self) {
        let Some(ending) = &self.ending else { return };
        if self.workers().next().is_some() {
            return;
        }
        let (code, took) = (ending.code, self.now - ending.began);
        self.report(Report::Stopped { code, took });
        self.order(Action::Exit { code });
        self.exited = true;
    }

    pub(super) fn ending_deadline(&self) -> Option<Time> {
        match &self.ending {
            Some(ending) => Some(ending.drain_at).filter(|&time| time > self.handled),
            None if self.serves() || self.on_trial() => None,
            None => self.trouble_deadline(),
        }
    }
}
