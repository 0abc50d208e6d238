//! Step 2: a reload, from accepted settings to its verdict.
//!
//! ```text
//! Checking ──► Canary ──► Rolling ──► done
//!     └───────────┴──────────┴──► RollingBack ──► failed
//! Replacing ──► done or failed            (before the first READY=1: there is nothing to protect)
//! ```
//!
//! A phase only says which generation a slot is to have; starting and draining is `settle`'s work.

use super::recycle::Recycler;
use super::report::Report;
use super::view::{Outcome, PastReload};
use super::worker::{Spec, State, Worker};
use super::{
    Action, Generation, Herd, Notice, Policy, RequestOutcome, SlotId, Time, Verdict, WorkerId,
};
use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;

/// Reloads that are remembered.
const PAST_RELOADS: usize = 5;

#[derive(Debug)]
pub(super) struct Rollout {
    pub to: Rc<Spec>,
    pub began: Time,
    pub phase: Phase,
    /// Slots wanted before: those beyond the new number go last.
    pub wanted_before: u32,
    /// Slots whose worker was drained for this: the ones a roll-back has to restore.
    pub touched: BTreeSet<SlotId>,
    /// Slots that have had a ready worker of the new generation, and not lost it to a failure.
    pub done: BTreeSet<SlotId>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The `check` command runs.
    Checking { until: Time },
    /// One worker of the new generation is on trial, or about to be started.
    Canary { worker: Option<WorkerId> },
    /// The others follow.
    Rolling,
    /// As Rolling, but without canary and roll-back.
    Replacing,
    /// The last good generation is being put back.
    RollingBack { reason: String, culprit: Option<WorkerId>, failed: BTreeSet<SlotId> },
}

impl Rollout {
    /// Slots are being given the new generation.
    pub fn is_forward(&self) -> bool {
        matches!(self.phase, Phase::Rolling | Phase::Replacing)
    }

    pub fn is_back(&self) -> bool {
        matches!(self.phase, Phase::RollingBack { .. })
    }

    pub fn canary(&self) -> Option<WorkerId> {
        match self.phase {
            Phase::Canary { worker } => worker,
            Phase::Checking { .. }
            | Phase::Rolling
            | Phase::Replacing
            | Phase::RollingBack { .. } => None,
        }
    }
}

impl Herd {
    pub(super) fn newest_generation(&self) -> Generation {
        self.rollout.as_ref().map_or(self.good.generation, |rollout| rollout.to.generation)
    }

    /// New settings were found valid: they take the next number, and a reload under way gives way.
    pub(super) fn accept(&mut self, generation: Generation, policy: Policy) {
        if self.ending.is_some() {
            return self.order(Action::Answer { generation, verdict: Verdict::Stopped });
        }
        if generation <= self.newest_generation() {
            return;
        }
        let to = Rc::new(Spec { generation, policy });
        let wanted_before = self.wanted();
        let from = self.good.generation;
        let reloading = self.rollout.is_some();
        let touched = self.supersede(generation);
        let phase = if !self.serving {
            self.take_at_once(Rc::clone(&to));
            Phase::Replacing
        } else if to.policy.check {
            self.order(Action::Check { generation });
            Phase::Checking { until: self.now + to.policy.start_timeout }
        } else {
            Phase::Canary { worker: None }
        };
        if self.serving && !reloading {
            self.order(Action::Notify(Notice::Reloading(self.now)));
        }
        self.report(Report::ReloadStarted { from, to: generation });
        let (began, done) = (self.now, BTreeSet::new());
        self.rollout = Some(Rollout { to, began, phase, wanted_before, touched, done });
    }

    /// Before the first READY=1 new settings simply take the place of the old.
    fn take_at_once(&mut self, to: Rc<Spec>) {
        self.order(Action::Forget { generation: self.good.generation });
        self.good = to;
        self.asked = None;
        self.watch_anew();
        self.trouble = None;
        let now = self.now;
        for slot in &mut self.slots {
            slot.try_afresh(now);
            slot.attempted = false;
        }
    }

    /// Ends the reload under way where it is; what it touched is the next one's to answer for.
    fn supersede(&mut self, new: Generation) -> BTreeSet<SlotId> {
        let Some(rollout) = self.rollout.take() else { return BTreeSet::new() };
        let old = rollout.to.generation;
        self.report(Report::ReloadSuperseded { old, new });
        let verdict = match &rollout.phase {
            Phase::RollingBack { reason, culprit, .. } => Verdict::Failed {
                reason: format!("{reason}; the roll-back gave way to {new}"),
                worker: *culprit,
            },
            Phase::Checking { .. } | Phase::Canary { .. } | Phase::Rolling | Phase::Replacing => {
                Verdict::Superseded { by: new }
            }
        };
        self.remember(&rollout, &verdict);
        self.answer(old, verdict);
        let reason = format!("the roll-back gave way to a reload to {new}");
        self.abort_answered(RequestOutcome::Failed { reason, worker: None });
        rollout.touched
    }

    /// Settings that were refused end nothing and change nothing.
    pub(super) fn refuse(&mut self, reason: String) {
        if self.ending.is_some() {
            return;
        }
        // Type=notify-reload waits for this pair, also when there was nothing to do (facts of systemd 253).
        if self.serving && self.rollout.is_none() {
            self.order(Action::Notify(Notice::Reloading(self.now)));
            self.order(Action::Notify(Notice::Ready));
        }
        self.report(Report::ReloadRefused { reason: reason.clone() });
        self.put_on_record(PastReload {
            generation: None,
            at: self.now,
            took: None,
            outcome: Outcome::Refused,
            reason: Some(reason),
        });
    }

    pub(super) fn checked(&mut self, generation: Generation, outcome: Result<(), String>) {
        let Some(rollout) = &mut self.rollout else { return };
        if rollout.to.generation != generation || !matches!(rollout.phase, Phase::Checking { .. }) {
            return;
        }
        match outcome {
            Ok(()) => rollout.phase = Phase::Canary { worker: None },
            Err(why) => self.abort(format!("its check failed: {why}"), None),
        }
    }

    /// Takes the step that time or a worker has made due.
    pub(super) fn advance(&mut self) {
        let now = self.now;
        match self.rollout.as_ref().map(|rollout| &rollout.phase) {
            Some(Phase::Checking { until }) if *until <= now => {
                self.abort("its check did not end within start-timeout".to_owned(), None);
            }
            Some(&Phase::Canary { worker: Some(id) }) => self.judge(id),
            Some(
                Phase::Checking { .. }
                | Phase::Canary { worker: None }
                | Phase::Rolling
                | Phase::Replacing
                | Phase::RollingBack { .. },
            )
            | None => {}
        }
    }

    fn judge(&mut self, id: WorkerId) {
        let now = self.now;
        let canary = self.find(id).map(|(slot, worker)| (slot, worker.state, trial_over(worker)));
        match canary {
            Some((_, State::Spawning | State::Starting { .. }, _)) => {}
            Some((slot, State::Ready, over)) => {
                if over.is_some_and(|over| over <= now) {
                    self.pass(id, slot);
                }
            }
            Some((
                slot,
                State::Retiring { .. }
                | State::Draining { .. }
                | State::Aborting { .. }
                | State::Killing { .. }
                | State::Sweeping { .. }
                | State::Burying { .. },
                _,
            )) => self.abort(format!("{id} ({slot}) left while it was on trial"), Some(id)),
            None => self.abort(format!("{id} left while it was on trial"), Some(id)),
        }
    }

    fn pass(&mut self, worker: WorkerId, slot: SlotId) {
        let now = self.now;
        let Some(rollout) = &mut self.rollout else { return };
        rollout.phase = Phase::Rolling;
        let to = rollout.to.generation;
        for slot in &mut self.slots {
            slot.try_afresh(now);
        }
        self.report(Report::CanaryPassed { worker, slot, to });
    }

    /// Whether the failure of a worker of this generation ends the reload.
    pub(super) fn fails_rollout(&self, generation: Generation) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| {
            rollout.to.generation == generation
                && matches!(rollout.phase, Phase::Canary { .. } | Phase::Rolling)
        })
    }

    /// Turns a reload round: from here on it puts the last good generation back.
    pub(super) fn abort(&mut self, reason: String, culprit: Option<WorkerId>) {
        if let Some(to) = self.turn_back(reason.clone(), culprit) {
            self.report(Report::ReloadFailed { to, reason });
        }
    }

    /// The same because somebody asked for it.
    pub(super) fn abort_on_request(&mut self) {
        if let Some(to) = self.turn_back("aborted on request".to_owned(), None) {
            self.report(Report::ReloadAborted { to });
        }
    }

    fn turn_back(&mut self, reason: String, culprit: Option<WorkerId>) -> Option<Generation> {
        let rollout = self.rollout.as_mut()?;
        rollout.phase = Phase::RollingBack { reason, culprit, failed: BTreeSet::new() };
        Some(rollout.to.generation)
    }

    /// A worker of these settings became ready in this slot.
    pub(super) fn done_in(&mut self, slot: SlotId, generation: Generation) {
        let rollout = self.rollout.as_mut();
        if let Some(rollout) = rollout.filter(|rollout| rollout.to.generation == generation) {
            rollout.done.insert(slot);
        }
    }

    /// A worker of these settings failed in this slot.
    pub(super) fn undone_in(&mut self, slot: SlotId, generation: Generation) {
        let rollout = self.rollout.as_mut();
        if let Some(rollout) = rollout.filter(|rollout| rollout.to.generation == generation) {
            rollout.done.remove(&slot);
        }
    }

    /// A worker failed; if it was one that a roll-back put back, its files are no longer what they were.
    pub(super) fn roll_back_failed(&mut self, slot: SlotId, generation: Generation) {
        let good = self.good.generation;
        let replacing_another = !self.slot(slot).is_empty();
        let Some(rollout) = &mut self.rollout else { return };
        let put_back = replacing_another || rollout.touched.contains(&slot);
        if let Phase::RollingBack { failed, .. } = &mut rollout.phase
            && generation == good
            && put_back
        {
            failed.insert(slot);
        }
    }

    /// Ends a reload that has got where it was going.
    pub(super) fn conclude_rollout(&mut self) {
        let Some(rollout) = &self.rollout else { return };
        match &rollout.phase {
            Phase::Checking { .. } | Phase::Canary { .. } => {}
            Phase::Rolling => {
                if self.all_have(rollout.to.generation) {
                    self.succeed();
                }
            }
            Phase::Replacing => {
                if self.all_have(rollout.to.generation) {
                    self.succeed();
                } else if self.all_tried() {
                    let reason =
                        "not every worker of it became ready; it is in force all the same, \
                                  because nothing served before"
                            .to_owned();
                    self.finish(Verdict::Failed { reason, worker: None });
                }
            }
            Phase::RollingBack { reason, culprit, failed } => {
                if self.all_restored(&rollout.touched, failed) {
                    let (good, worker) = (self.good.generation, *culprit);
                    let complete = failed.is_empty();
                    let how = if complete { "" } else { ", but its files have changed" };
                    let reason = format!("{reason}; rolled back to {good}{how}");
                    self.report(Report::RolledBack { to: good, complete });
                    self.finish(Verdict::Failed { reason, worker });
                    let now = format!("rolled back to {good}{how}");
                    self.abort_answered(match complete {
                        true => RequestOutcome::Done(now),
                        false => RequestOutcome::Failed { reason: now, worker: None },
                    });
                }
            }
        }
    }

    /// Every wanted slot has had its worker of this generation, somebody serves, and nobody who is
    /// of another. (A slot whose worker is just being replaced, because it retired or died in
    /// service, does not hold the reload up: there may always be one.)
    fn all_have(&self, generation: Generation) -> bool {
        let Some(rollout) = &self.rollout else { return false };
        let wanted = self.wanted();
        (0..wanted).all(|slot| rollout.done.contains(&SlotId(slot)))
            && (wanted == 0 || self.serves())
            && self.workers().all(|(_, w)| !w.is_active() || w.generation() == generation)
            && (wanted > 0 || self.count(Worker::is_active) == 0)
    }

    /// Every wanted slot has had a worker of these settings, ready or not, and somebody serves.
    fn all_tried(&self) -> bool {
        self.wanted_slots().iter().all(|slot| slot.attempted) && self.serves()
    }

    /// No wanted slot has a worker of a generation other than the good one, and the slots that
    /// were changed have a ready one; except for those that cannot be restored.
    fn all_restored(&self, touched: &BTreeSet<SlotId>, failed: &BTreeSet<SlotId>) -> bool {
        let good = self.good.generation;
        (0..).map(SlotId).zip(self.wanted_slots()).all(|(id, slot)| {
            let restored = slot.active().all(|worker| worker.generation() == good)
                && (slot.has_ready() || !touched.contains(&id));
            restored || failed.contains(&id)
        })
    }

    fn succeed(&mut self) {
        let Some(rollout) = &self.rollout else { return };
        let (to, took) = (Rc::clone(&rollout.to), self.now - rollout.began);
        let generation = to.generation;
        if self.good.generation != generation {
            self.order(Action::Forget { generation: self.good.generation });
        }
        self.good = to;
        self.watch_anew();
        self.asked = self.asked.filter(|asked| asked.under >= generation);
        self.report(Report::Reloaded { to: generation, took });
        self.finish(Verdict::Done);
    }

    fn finish(&mut self, verdict: Verdict) {
        let Some(rollout) = self.rollout.take() else { return };
        self.recycler = Recycler::default();
        self.remember(&rollout, &verdict);
        // The line first: who waits for READY=1, or for the answer, looks at it next.
        self.tell_status_now();
        if self.serving {
            self.order(Action::Notify(Notice::Ready));
        }
        self.answer(rollout.to.generation, verdict);
    }

    /// Ends a reload because herder ends: as asked, or for this reason.
    pub(super) fn cut_short(&mut self, why: Option<&str>) {
        if let Some(rollout) = self.rollout.take() {
            let verdict = match why {
                None => Verdict::Stopped,
                Some(why) => {
                    Verdict::Failed { reason: format!("herder gives up: {why}"), worker: None }
                }
            };
            self.remember(&rollout, &verdict);
            self.answer(rollout.to.generation, verdict);
        }
    }

    fn remember(&mut self, rollout: &Rollout, verdict: &Verdict) {
        let (outcome, reason) = match verdict {
            Verdict::Done => (Outcome::Done, None),
            Verdict::Failed { reason, .. } => (Outcome::Failed, Some(reason.clone())),
            Verdict::Superseded { by } => (Outcome::Superseded, Some(format!("by {by}"))),
            Verdict::Stopped => (Outcome::Stopped, None),
        };
        let (at, took) = (self.now, Some(self.now - rollout.began));
        let generation = Some(rollout.to.generation);
        self.put_on_record(PastReload { generation, at, took, outcome, reason });
    }

    fn put_on_record(&mut self, past: PastReload) {
        self.counters.reloaded(past.outcome);
        self.past_reloads.truncate(PAST_RELOADS - 1);
        self.past_reloads.push_front(past);
    }

    fn answer(&mut self, generation: Generation, verdict: Verdict) {
        if generation != self.good.generation {
            self.order(Action::Forget { generation });
        }
        self.order(Action::Answer { generation, verdict });
    }

    pub(super) fn rollout_deadline(&self) -> Option<Time> {
        match self.rollout.as_ref()?.phase {
            Phase::Checking { until } => Some(until),
            Phase::Canary { worker: Some(id) } => self
                .workers()
                .find(|(_, worker)| worker.id == id)
                .and_then(|(_, worker)| trial_over(worker)),
            Phase::Canary { worker: None }
            | Phase::Rolling
            | Phase::Replacing
            | Phase::RollingBack { .. } => None,
        }
    }
}

/// When a ready worker on trial has been watched for long enough.
pub(super) fn trial_over(worker: &Worker) -> Option<Time> {
    let (since, _) = worker.ready.filter(|_| worker.is_ready())?;
    Some(since + worker.policy().soak())
}
