//! A reload, from accepted settings to its verdict.
//!
//! ```text
//! Checking ──► Canary ──► Rolling ──► done
//!     └───────────┴──────────┴──► RollingBack ──► failed
//! Replacing ──► done or failed            (before the first READY=1: there is nothing to protect)
//! ```
//!
//! A phase only says which settings a slot is to have (through [`Policies`]) and what a failure means; starting and
//! draining workers is the work of `settle`.

use crate::action::{Action, Notice};
use crate::fleet::Fleet;
use crate::ids::{Generation, SlotId, WorkerId};
use crate::policies::{Policies, Stage};
use crate::policy::{Policy, Spec};
use crate::report::Report;
use crate::shown::{Outcome, PastReload, Progress, ReloadPhase};
use crate::time::Time;
use crate::turn::Turn;
use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;

/// How many past reloads are remembered.
const PAST_RELOADS: usize = 5;

/// The reload under way, if there is one, and those that are over.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    current: Option<Current>,
    past: VecDeque<PastReload>,
}

#[derive(Debug)]
struct Current {
    to: Generation,
    began: Time,
    phase: Phase,
    /// Slots that were wanted before: those beyond the new number are drained last.
    wanted_before: u32,
    /// Slots whose serving worker was drained for this reload, which a roll-back has to restore.
    touched: BTreeSet<SlotId>,
    /// Slots that have had a ready worker of the new generation, and have not lost it to a failure.
    done: BTreeSet<SlotId>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The `check` command runs.
    Checking { until: Time },
    /// One worker of the new generation is on trial, or about to be started.
    Canary { worker: Option<WorkerId> },
    /// The others follow.
    Rolling,
    /// As Rolling, but without canary and roll-back.
    Replacing,
    /// The good generation is being put back. `failed` are the slots where that does not work.
    RollingBack { reason: String, culprit: Option<WorkerId>, failed: BTreeSet<SlotId> },
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every wanted slot has a ready worker of the new generation.
    Done,
    /// What failed, and where things stand now; the worker whose failure it was, if it was a worker's.
    Failed { reason: String, worker: Option<WorkerId> },
    /// A newer reload took over.
    Superseded { by: Generation },
    /// herder is stopping.
    Stopped,
}

/// A reload that is over, for those that wait for it.
#[derive(Debug)]
pub(crate) struct Closed {
    pub to: Generation,
    pub verdict: Verdict,
    /// What it means for requests to abort it: the roll-back is complete, or not (`Err`).
    pub roll_back: Option<Result<String, String>>,
}

/// Questions.
impl Reload {
    pub fn is_under_way(&self) -> bool {
        self.current.is_some()
    }

    pub fn phase(&self) -> Option<&Phase> {
        self.current.as_ref().map(|current| &current.phase)
    }

    /// The worker on trial.
    pub fn canary(&self) -> Option<WorkerId> {
        match self.phase()? {
            Phase::Canary { worker } => *worker,
            Phase::Checking { .. }
            | Phase::Rolling
            | Phase::Replacing
            | Phase::RollingBack { .. } => None,
        }
    }

    /// Other settings are being brought in while old ones are there to fall back to: they may be the way out of an
    /// outage, and each try of them is bounded.
    pub fn may_end_an_outage(&self) -> bool {
        self.phase().is_some_and(|phase| *phase != Phase::Replacing)
    }

    /// Slots that were wanted before the reload under way.
    pub fn wanted_before(&self) -> u32 {
        self.current.as_ref().map_or(0, |current| current.wanted_before)
    }

    /// The failure of a worker of this generation ends the reload.
    pub fn is_failed_by(&self, generation: Generation) -> bool {
        self.current.as_ref().is_some_and(|current| {
            let protected = match current.phase {
                Phase::Canary { .. } | Phase::Rolling => true,
                Phase::Checking { .. } | Phase::Replacing | Phase::RollingBack { .. } => false,
            };
            protected && current.to == generation
        })
    }

    /// When time alone asks for a step.
    pub fn deadline(&self, fleet: &Fleet) -> Option<Time> {
        match *self.phase()? {
            Phase::Checking { until } => Some(until),
            Phase::Canary { worker: Some(id) } => fleet.worker(id)?.1.trial_over(),
            Phase::Canary { worker: None }
            | Phase::Rolling
            | Phase::Replacing
            | Phase::RollingBack { .. } => None,
        }
    }

    /// The reload under way, for others to see.
    pub fn progress(&self, fleet: &Fleet, wanted: u32) -> Option<Progress> {
        let Current { to, began, phase, .. } = self.current.as_ref()?;
        let phase = match phase {
            Phase::Checking { .. } => ReloadPhase::Checking,
            Phase::Canary { .. } => ReloadPhase::Canary,
            Phase::Rolling | Phase::Replacing => ReloadPhase::Rolling,
            Phase::RollingBack { .. } => ReloadPhase::RollingBack,
        };
        let replaced = fleet.ready_of(*to);
        Some(Progress { generation: *to, phase, replaced, wanted, began: *began })
    }

    /// The last reloads that ended, the newest first.
    pub fn past(&self) -> impl Iterator<Item = &PastReload> {
        self.past.iter()
    }
}

/// The course of a reload.
impl Reload {
    /// New settings are to be brought in. A reload under way gives way, and is returned.
    pub fn accept(
        &mut self,
        to: Generation,
        policy: Policy,
        serving: bool,
        policies: &mut Policies,
        fleet: &mut Fleet,
        turn: &mut Turn,
    ) -> Option<Closed> {
        let (now, from, wanted_before) =
            (turn.now(), policies.good().generation, policies.wanted());
        let to_spec = Rc::new(Spec { generation: to, policy });
        let reloading = self.current.is_some();
        let (touched, closed) = self.supersede(to, policies, turn);
        let phase = if !serving {
            turn.order(Action::Forget { generation: from });
            policies.take_at_once(to_spec);
            fleet.try_afresh(now, true);
            Phase::Replacing
        } else if to_spec.policy.check {
            turn.order(Action::Check { generation: to });
            let until = now + to_spec.policy.start_timeout;
            policies.try_out(to_spec);
            Phase::Checking { until }
        } else {
            policies.try_out(to_spec);
            Phase::Canary { worker: None }
        };
        if serving && !reloading {
            turn.order(Action::Notify(Notice::Reloading(now)));
        }
        turn.report(Report::ReloadStarted { from, to });
        let done = BTreeSet::new();
        self.current = Some(Current { to, began: now, phase, wanted_before, touched, done });
        closed
    }

    /// Ends the reload under way where it is. What it has touched is the next one's to answer for.
    fn supersede(
        &mut self,
        new: Generation,
        policies: &mut Policies,
        turn: &mut Turn,
    ) -> (BTreeSet<SlotId>, Option<Closed>) {
        let Some(current) = &mut self.current else { return (BTreeSet::new(), None) };
        let old = current.to;
        let touched = core::mem::take(&mut current.touched);
        turn.report(Report::ReloadSuperseded { old, new });
        let verdict = match &current.phase {
            Phase::RollingBack { reason, culprit, .. } => Verdict::Failed {
                reason: format!("{reason}; the roll-back gave way to {new}"),
                worker: *culprit,
            },
            Phase::Checking { .. } | Phase::Canary { .. } | Phase::Rolling | Phase::Replacing => {
                Verdict::Superseded { by: new }
            }
        };
        let reason = format!("the roll-back gave way to a reload to {new}");
        policies.drop_incoming();
        (touched, self.close(verdict, Some(Err(reason)), policies, turn))
    }

    /// Settings that were refused end nothing and change nothing.
    pub fn refuse(&mut self, reason: String, serving: bool, turn: &mut Turn) {
        // Type=notify-reload waits for this pair, also when there was nothing to do (systemd 253 and later).
        if serving && self.current.is_none() {
            turn.order(Action::Notify(Notice::Reloading(turn.now())));
            turn.order(Action::Notify(Notice::Ready));
        }
        turn.report(Report::ReloadRefused { reason: reason.clone() });
        let past = PastReload {
            generation: None,
            at: turn.now(),
            took: None,
            outcome: Outcome::Refused,
            reason: Some(reason),
        };
        self.remember(past, turn);
    }

    /// The `check` command of a generation has ended.
    pub fn checked(
        &mut self,
        generation: Generation,
        outcome: Result<(), String>,
        policies: &mut Policies,
        turn: &mut Turn,
    ) {
        let Some(current) = &mut self.current else { return };
        let checking = matches!(current.phase, Phase::Checking { .. });
        if current.to != generation || !checking {
            return;
        }
        match outcome {
            Ok(()) => current.phase = Phase::Canary { worker: None },
            Err(why) => self.abort(format!("its check failed: {why}"), None, policies, turn),
        }
    }

    /// Takes the step that time or a worker has made due.
    pub fn advance(&mut self, policies: &mut Policies, fleet: &mut Fleet, turn: &mut Turn) {
        let now = turn.now();
        let (reason, culprit) = match self.phase() {
            Some(Phase::Checking { until }) if *until <= now => {
                ("its check did not end within start-timeout".to_owned(), None)
            }
            Some(&Phase::Canary { worker: Some(id) }) => match fleet.worker(id) {
                Some((slot, canary)) if canary.facts().active() => {
                    if canary.trial_over().is_some_and(|over| over <= now) {
                        self.pass(id, slot, policies, fleet, turn);
                    }
                    return;
                }
                Some((slot, _)) => (format!("{id} ({slot}) left while it was on trial"), Some(id)),
                None => (format!("{id} left while it was on trial"), Some(id)),
            },
            Some(
                Phase::Checking { .. }
                | Phase::Canary { worker: None }
                | Phase::Rolling
                | Phase::Replacing
                | Phase::RollingBack { .. },
            )
            | None => return,
        };
        self.abort(reason, culprit, policies, turn);
    }

    /// The first worker of new settings has been started.
    pub fn canary_started(&mut self, worker: WorkerId) {
        if let Some(current) = &mut self.current {
            current.phase = Phase::Canary { worker: Some(worker) };
        }
    }

    fn pass(
        &mut self,
        worker: WorkerId,
        slot: SlotId,
        policies: &mut Policies,
        fleet: &mut Fleet,
        turn: &mut Turn,
    ) {
        let Some(current) = &mut self.current else { return };
        current.phase = Phase::Rolling;
        policies.turn(Stage::Forward);
        fleet.try_afresh(turn.now(), false);
        turn.report(Report::CanaryPassed { worker, slot, to: current.to });
    }

    /// Turns a reload round: from here on the good settings are put back.
    pub fn abort(
        &mut self,
        reason: String,
        culprit: Option<WorkerId>,
        policies: &mut Policies,
        turn: &mut Turn,
    ) {
        if let Some(to) = self.turn_back(reason.clone(), culprit, policies) {
            turn.report(Report::ReloadFailed { to, reason });
        }
    }

    /// The same because an operator has asked for it.
    pub fn abort_on_request(&mut self, policies: &mut Policies, turn: &mut Turn) {
        if let Some(to) = self.turn_back("aborted on request".to_owned(), None, policies) {
            turn.report(Report::ReloadAborted { to });
        }
    }

    fn turn_back(
        &mut self,
        reason: String,
        culprit: Option<WorkerId>,
        policies: &mut Policies,
    ) -> Option<Generation> {
        let current = self.current.as_mut()?;
        current.phase = Phase::RollingBack { reason, culprit, failed: BTreeSet::new() };
        policies.turn(Stage::Back);
        Some(current.to)
    }

    /// A worker of these settings became ready in this slot.
    pub fn done_in(&mut self, slot: SlotId, generation: Generation) {
        if let Some(current) = self.current_to(generation) {
            current.done.insert(slot);
        }
    }

    /// A worker of these settings has failed in this slot, and the reload goes on. If the worker was one that a
    /// roll-back put back, its files are no longer what they were.
    pub fn failed_in(
        &mut self,
        slot: SlotId,
        generation: Generation,
        policies: &Policies,
        fleet: &Fleet,
    ) {
        if let Some(current) = self.current_to(generation) {
            current.done.remove(&slot);
        }
        let Some(current) = &mut self.current else { return };
        let put_back = fleet.is_manned(slot) || current.touched.contains(&slot);
        match &mut current.phase {
            Phase::RollingBack { failed, .. }
                if put_back && generation == policies.good().generation =>
            {
                failed.insert(slot);
            }
            Phase::RollingBack { .. }
            | Phase::Checking { .. }
            | Phase::Canary { .. }
            | Phase::Rolling
            | Phase::Replacing => {}
        }
    }

    fn current_to(&mut self, generation: Generation) -> Option<&mut Current> {
        self.current.as_mut().filter(|current| current.to == generation)
    }

    /// A serving worker of this slot is drained for the reload.
    pub fn touch(&mut self, slot: SlotId) {
        if let Some(current) = &mut self.current {
            current.touched.insert(slot);
        }
    }

    /// The load asks for this many slots while the reload is under way.
    pub fn wanted_at_least(&mut self, wanted: u32) {
        if let Some(current) = &mut self.current {
            current.wanted_before = current.wanted_before.max(wanted);
        }
    }

    /// Other bounds were set while the reload was under way.
    pub fn wanted_at_most(&mut self, wanted: u32) {
        if let Some(current) = &mut self.current {
            current.wanted_before = current.wanted_before.min(wanted);
        }
    }

    /// Ends a reload that has got where it was going.
    pub fn conclude(
        &mut self,
        policies: &mut Policies,
        fleet: &Fleet,
        turn: &mut Turn,
    ) -> Option<Closed> {
        let current = self.current.as_ref()?;
        let wanted = policies.wanted();
        let (verdict, roll_back) = match &current.phase {
            Phase::Checking { .. } | Phase::Canary { .. } => return None,
            Phase::Rolling | Phase::Replacing if all_have(current, wanted, fleet) => {
                let took = turn.now() - current.began;
                let old = policies.good().generation;
                if old != current.to {
                    turn.order(Action::Forget { generation: old });
                }
                turn.report(Report::Reloaded { to: current.to, took });
                policies.keep_incoming();
                (Verdict::Done, None)
            }
            Phase::Rolling => return None,
            Phase::Replacing if fleet.all_attempted(wanted) && fleet.serves() => {
                let reason = "not every worker of it became ready; it is in force all the same, \
                              because nothing served before"
                    .to_owned();
                (Verdict::Failed { reason, worker: None }, None)
            }
            Phase::Replacing => return None,
            Phase::RollingBack { reason, culprit, failed } => {
                let good = policies.good().generation;
                if !all_restored(current, failed, good, wanted, fleet) {
                    return None;
                }
                let complete = failed.is_empty();
                let how = if complete { "" } else { ", but its files have changed" };
                let reason = format!("{reason}; rolled back to {good}{how}");
                turn.report(Report::RolledBack { to: good, complete });
                let now = format!("rolled back to {good}{how}");
                let verdict = Verdict::Failed { reason, worker: *culprit };
                (verdict, Some(if complete { Ok(now) } else { Err(now) }))
            }
        };
        policies.drop_incoming();
        self.close(verdict, roll_back, policies, turn)
    }

    /// The reload under way is over, and is put on record. Settings that did not come into force are forgotten.
    fn close(
        &mut self,
        verdict: Verdict,
        roll_back: Option<Result<String, String>>,
        policies: &Policies,
        turn: &mut Turn,
    ) -> Option<Closed> {
        let current = self.current.take()?;
        self.remember(past(&current, &verdict, turn.now()), turn);
        let to = current.to;
        if to != policies.good().generation {
            turn.order(Action::Forget { generation: to });
        }
        Some(Closed { to, verdict, roll_back })
    }

    /// Ends a reload because herder ends: as asked, or for this reason.
    pub fn cut_short(
        &mut self,
        why: Option<&str>,
        policies: &mut Policies,
        turn: &mut Turn,
    ) -> Option<Closed> {
        let verdict = match why {
            None => Verdict::Stopped,
            Some(why) => {
                Verdict::Failed { reason: format!("herder gives up: {why}"), worker: None }
            }
        };
        policies.drop_incoming();
        self.close(verdict, None, policies, turn)
    }

    fn remember(&mut self, past: PastReload, turn: &mut Turn) {
        turn.reloaded(past.outcome);
        self.past.truncate(PAST_RELOADS - 1);
        self.past.push_front(past);
    }
}

fn past(current: &Current, verdict: &Verdict, now: Time) -> PastReload {
    let (outcome, reason) = match verdict {
        Verdict::Done => (Outcome::Done, None),
        Verdict::Failed { reason, .. } => (Outcome::Failed, Some(reason.clone())),
        Verdict::Superseded { by } => (Outcome::Superseded, Some(format!("by {by}"))),
        Verdict::Stopped => (Outcome::Stopped, None),
    };
    let took = Some(now - current.began);
    PastReload { generation: Some(current.to), at: now, took, outcome, reason }
}

/// Every wanted slot has had its worker of the new generation, a worker serves, and no worker of another generation does.
/// (A slot whose worker is just being replaced, because it retired or died in service, does not hold the reload up:
/// there may always be one.)
fn all_have(current: &Current, wanted: u32, fleet: &Fleet) -> bool {
    let done = current.done.len() - current.done.range(SlotId(wanted)..).count();
    done == wanted as usize
        && (wanted == 0 || fleet.serves())
        && fleet.slots_of_others(current.to).next().is_none()
        && (wanted > 0 || fleet.active() == 0)
}

/// No wanted slot has a worker of a generation other than the good one, and the slots that were touched have a ready
/// one; slots that cannot be restored are left out.
fn all_restored(
    current: &Current,
    failed: &BTreeSet<SlotId>,
    good: Generation,
    wanted: u32,
    fleet: &Fleet,
) -> bool {
    let counts = |slot: &SlotId| slot.0 < wanted && !failed.contains(slot);
    let mut of_others = fleet.slots_of_others(good);
    let mut touched = current.touched.range(..SlotId(wanted));
    !of_others.any(|slot| counts(&slot))
        && touched.all(|slot| !counts(slot) || fleet.has_ready(*slot))
}
