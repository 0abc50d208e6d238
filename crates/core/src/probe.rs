//! Probes: asking whether workers are well, and what follows if they are not.
//!
//! What is asked, and how, is the shell's. A probe that asks a worker decides about that worker, as its
//! watchdog does; one that can only ask the instance, whichever worker that reaches, is reported.
//! There is one at a time for each of them, and the next an interval after the last was answered.

use super::hang::Hang;
use super::report::Report;
use super::slot::{Ending, Slot};
use super::{Action, Herd, SlotId, Span, Time, WorkerId};
use alloc::string::String;

/// `probe`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `probe.interval`: from an answer, or from ready, to the next question.
    pub interval: Span,
    /// `probe.timeout`: how long an answer may take; the shell sees to that.
    pub timeout: Span,
    /// `probe.failures`: so many in a row mean that something is wrong.
    pub failures: u32,
    /// It asks one worker, and not whichever answers.
    pub of_worker: bool,
}

/// How far the questions to somebody are.
#[derive(Debug, Default)]
pub(super) struct Probing {
    next: Option<Time>,
    /// Ordered, and not answered.
    asked: bool,
    /// In a row.
    failures: u32,
    /// Of the instance: since when it fails, and why, once that was reported.
    failing: Option<(Time, String)>,
}

impl Probing {
    /// It is ready: the first question comes an interval later, or up to half of one sooner, as `chance` from 0
    /// to 1 has it. Who started together is not asked together: many commands at once might all take too long.
    pub fn begin(&mut self, now: Time, probe: Probe, chance: f64) {
        let less = (probe.interval.part(2).0 as f64 * chance) as u64;
        self.next = Some(now + Span(probe.interval.0.saturating_sub(less)));
    }

    pub fn deadline(&self) -> Option<Time> {
        self.next.filter(|_| !self.asked)
    }

    fn is_due(&mut self, now: Time) -> bool {
        let due = self.deadline().is_some_and(|next| next <= now);
        if due {
            self.next = None;
            self.asked = true;
        }
        due
    }
}

impl Herd {
    /// Asks a worker, if it is time.
    pub(super) fn probe(&mut self, id: WorkerId) {
        let now = self.now;
        let Some((_, worker)) = self.find(id) else { return };
        if worker.is_ready() && worker.probing.is_due(now) {
            self.order(Action::Probe { worker: Some(id) });
        }
    }

    pub(super) fn probed(&mut self, worker: Option<WorkerId>, outcome: Result<(), String>) {
        match worker {
            Some(id) => self.worker_probed(id, outcome),
            None => self.instance_probed(outcome),
        }
    }

    fn worker_probed(&mut self, id: WorkerId, outcome: Result<(), String>) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        let asked = core::mem::take(&mut worker.probing.asked);
        let Some(probe) = worker.policy().probe.filter(|_| asked && worker.is_ready()) else {
            return;
        };
        worker.probing.next = Some(now + probe.interval);
        match outcome {
            Ok(()) => worker.probing.failures = 0,
            Err(why) => {
                worker.probing.failures = worker.probing.failures.saturating_add(1);
                let failures = worker.probing.failures;
                if failures >= probe.failures && !self.replaces_another_unfit(slot) {
                    self.hangs(id, Hang::Unfit { failures, why });
                }
            }
        }
    }

    /// The place of a worker that failed its probe is being filled, and it is not in this slot. What all need,
    /// such as a database, may be gone: then it helps nobody to be without any worker, too.
    fn replaces_another_unfit(&self, slot: SlotId) -> bool {
        let was_unfit = |place: &Slot| {
            let last = place.last.as_ref().map(|last| &last.ending);
            matches!(last, Some(Ending::Hung(Hang::Unfit { .. }))) && !place.has_ready()
        };
        let others = (0..).map(SlotId).zip(self.wanted_slots()).filter(|(id, _)| *id != slot);
        others.into_iter().any(|(_, place)| was_unfit(place))
    }

    fn instance_probed(&mut self, outcome: Result<(), String>) {
        let now = self.now;
        if !core::mem::take(&mut self.probing.asked) {
            return;
        }
        let Some(probe) = self.instance_probe() else { return };
        self.probing.next = Some(now + probe.interval);
        match outcome {
            Ok(()) => {
                self.probing.failures = 0;
                self.probe_recovers();
            }
            Err(why) => {
                self.probing.failures = self.probing.failures.saturating_add(1);
                let failures = self.probing.failures;
                if failures >= probe.failures && self.probing.failing.is_none() {
                    self.probing.failing = Some((now, why.clone()));
                    self.report(Report::ProbeFails { failures, why });
                }
            }
        }
    }

    fn probe_recovers(&mut self) {
        if let Some((since, _)) = self.probing.failing.take() {
            self.report(Report::ProbeRecovers { after: self.now - since });
        }
    }

    /// The rules of asking the instance, if there is anybody to answer.
    fn instance_probe(&self) -> Option<Probe> {
        let probe = self.rules().probe.filter(|probe| !probe.of_worker);
        probe.filter(|_| self.ending.is_none() && self.serves())
    }

    /// Step 3, after everything else: asks the instance, if it is time.
    pub(super) fn keep_probing(&mut self) {
        let now = self.now;
        let Some(probe) = self.instance_probe() else {
            self.probing.next = None;
            self.probing.failures = 0;
            self.probe_recovers();
            return;
        };
        if self.probing.asked {
            return;
        }
        self.probing.next.get_or_insert(now + probe.interval);
        if self.probing.is_due(now) {
            self.order(Action::Probe { worker: None });
        }
    }

    pub(super) fn probe_deadline(&self) -> Option<Time> {
        self.probing.deadline()
    }

    /// Why the probe of the instance fails, as long as it does.
    pub(super) fn failing_probe(&self) -> Option<&str> {
        self.probing.failing.as_ref().map(|(_, why)| why.as_str())
    }
}
