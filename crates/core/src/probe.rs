//! Probes: asking whether workers are well, and what follows if they are not.
//!
//! What is asked, and how, is the shell's. A probe that asks one worker decides about that worker, as its watchdog does; one
//! that can only ask the instance, whichever worker answers, is only reported.

use crate::action::Action;
use crate::asking::Asking;
use crate::fleet::{Fleet, Slot};
use crate::ids::{SlotId, WorkerId};
use crate::policy::Probe;
use crate::reason::{Ending, Hang};
use crate::report::Report;
use crate::time::Time;
use crate::turn::Turn;
use alloc::string::String;

/// The probe of the instance.
#[derive(Debug, Default)]
pub(crate) struct InstanceProbe {
    asking: Asking,
    /// Since when it fails, and why, once that was reported.
    failing: Option<(Time, String)>,
}

impl InstanceProbe {
    /// It was answered. `probe` are its rules, if there is a worker to answer.
    pub fn answered(&mut self, outcome: Result<(), String>, probe: Option<Probe>, turn: &mut Turn) {
        if !self.asking.answered() {
            return;
        }
        let Some(probe) = probe else { return };
        let failures = self.asking.note(outcome.is_ok(), turn.now(), probe);
        match outcome {
            Ok(()) => self.recovers(turn),
            Err(why) if failures >= probe.failures && self.failing.is_none() => {
                self.failing = Some((turn.now(), why.clone()));
                turn.report(Report::ProbeFails { failures, why });
            }
            Err(_) => {}
        }
    }

    /// Asks the instance, if it is time. `probe` are the rules, if there is a worker to answer.
    pub fn step(&mut self, probe: Option<Probe>, turn: &mut Turn) {
        let Some(probe) = probe else {
            self.asking.end();
            return self.recovers(turn);
        };
        self.asking.plan(turn.now(), probe);
        if self.asking.is_due(turn.now()) {
            turn.order(Action::Probe { worker: None });
        }
    }

    fn recovers(&mut self, turn: &mut Turn) {
        if let Some((since, _)) = self.failing.take() {
            turn.report(Report::ProbeRecovers { after: turn.now() - since });
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        self.asking.deadline()
    }

    /// Why it fails, as long as it does.
    pub fn failing(&self) -> Option<&str> {
        self.failing.as_ref().map(|(_, why)| why.as_str())
    }
}

/// A worker serves: its probes begin.
pub(crate) fn begin(fleet: &mut Fleet, id: WorkerId, turn: &mut Turn) {
    let Some((_, worker)) = fleet.worker(id) else { return };
    let Some(probe) = worker.policy().probe.filter(|probe| probe.of_worker) else { return };
    let (now, chance) = (turn.now(), turn.chance());
    fleet.edit(id, |worker| worker.probes.begin(now, probe, chance));
}

/// Asks a serving worker, if it is time.
pub(crate) fn ask(fleet: &mut Fleet, id: WorkerId, turn: &mut Turn) {
    if fleet.edit(id, |worker| worker.probes.is_due(turn.now())) == Some(true) {
        turn.order(Action::Probe { worker: Some(id) });
    }
}

/// The probe of a worker was answered. Returns why it is to be given up, if it is.
///
/// Of several workers that fail their probe one is replaced at a time: what all of them need, such as a database, may be
/// gone, and then being without any worker would make it worse.
pub(crate) fn answered(
    fleet: &mut Fleet,
    id: WorkerId,
    outcome: Result<(), String>,
    wanted: u32,
    now: Time,
) -> Option<Hang> {
    let asked = fleet.edit(id, |worker| worker.probes.answered())?;
    let (slot, worker) = fleet.worker(id)?;
    let probe = worker.policy().probe.filter(|_| asked && worker.is_ready())?;
    let failures = fleet.edit(id, |worker| worker.probes.note(outcome.is_ok(), now, probe))?;
    let why = outcome.err()?;
    let give_up = failures >= probe.failures && !another_is_replaced(fleet, slot, wanted);
    give_up.then_some(Hang::Unfit { failures, why })
}

/// In another wanted slot a worker that failed its probe is gone, and its place is being filled.
fn another_is_replaced(fleet: &Fleet, slot: SlotId, wanted: u32) -> bool {
    let was_unfit = |slot: &Slot| {
        let last = slot.last().map(|last| &last.ending);
        matches!(last, Some(Ending::Hung(Hang::Unfit { .. }))) && !slot.has_ready()
    };
    let mut others = fleet.slots().take(wanted as usize).filter(|(id, _)| *id != slot);
    others.any(|(_, slot)| was_unfit(slot))
}
