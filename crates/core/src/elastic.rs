//! What a herd does about its load: takes samples, wants more workers or fewer, and leaves when there is
//! nothing to do. *How many* is the [`Scaler`]'s to say.

use super::report::{Report, connections};
use super::sample::{Load, Needs};
use super::scale::{BUSY, Hold, Scaler, Scene, Step};
use super::worker::Worker;
use super::{Herd, Scaling, Time};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

#[derive(Debug)]
pub(super) struct Elastic {
    pub scaler: Scaler,
    /// The last step up, until its workers are ready: from how many, and for how many connections.
    going_up: Option<(u32, u32)>,
    strain: Option<Strain>,
    /// It was told that there may be no more, and there have not been fewer since.
    limit_told: bool,
    /// Since when there has been nothing to do, and nobody to do it.
    rest_since: Option<Time>,
    /// The rest was long enough: the sample on its way is the last.
    leaving: bool,
}

/// Why connections wait, as long as they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strain {
    Full,
    Held(Hold),
}

impl Elastic {
    pub fn new() -> Elastic {
        Elastic {
            scaler: Scaler::new(),
            going_up: None,
            strain: None,
            limit_told: false,
            rest_since: None,
            leaving: false,
        }
    }
}

impl Herd {
    /// The rules of scaling, if more workers may be wanted than are at least.
    fn scaling(&self) -> Option<Scaling> {
        let (least, most) = self.bounds();
        let scaling = self.rules().scaling.or(self.good.policy.scaling);
        scaling.filter(|_| most > least && self.ending.is_none())
    }

    pub(super) fn scaling_knocked(&mut self) {
        let (now, nobody) = (self.now, self.count(Worker::is_active) == 0);
        self.elastic.scaler.knocked(now, nobody);
    }

    pub(super) fn scale_by(&mut self, load: &Load) {
        let leaving = core::mem::take(&mut self.elastic.leaving);
        let Some(scaling) = self.scaling() else { return self.elastic.scaler.ignore() };
        if leaving && load.waiting == 0 && self.serving && self.is_at_rest() {
            return self.leave_idle(scaling);
        }
        let from = self.wanted();
        let scene = self.scene(load, scaling);
        let step = self.elastic.scaler.note(self.now, load, &scene);
        let strain = match step {
            Step::To(to) if to > from => {
                self.grow(from, to, load.waiting);
                None
            }
            Step::To(to) => {
                self.counters.scale_downs += 1;
                self.report(Report::ScaledDown { from, to });
                None
            }
            Step::Full => Some(Strain::Full),
            Step::Held(hold) => Some(Strain::Held(hold)),
            // Waiting for workers that are on their way up is no relief.
            Step::Stay => self.elastic.strain.filter(|_| load.waiting > 0),
        };
        self.elastic.limit_told &= from == self.bounds().1;
        if strain == Some(Strain::Full) && !core::mem::replace(&mut self.elastic.limit_told, true) {
            self.counters.scale_limits += 1;
            self.report(Report::ScaleLimit { most: from, waiting: load.waiting });
        }
        self.elastic.strain = strain;
    }

    fn grow(&mut self, from: u32, to: u32, waiting: u32) {
        self.counters.scale_ups += 1;
        self.report(Report::ScaledUp { from, to, waiting });
        self.elastic.going_up = Some((from, waiting));
        if let Some(rollout) = &mut self.rollout {
            rollout.wanted_before = rollout.wanted_before.max(to);
        }
    }

    fn scene(&self, load: &Load, scaling: Scaling) -> Scene {
        let (least, most) = self.bounds();
        // The share of the ready worker in each wanted slot. One of which nothing is known has time.
        let share = |worker: &Worker| {
            let known = load.workers.iter().find(|(id, _)| *id == worker.id);
            known.map_or(0, |(_, share)| (*share).min(1000))
        };
        let slots = self.wanted_slots().iter();
        let ready: Vec<Option<u32>> =
            slots.map(|slot| slot.active().find(|w| w.is_ready()).map(share)).collect();
        let shares = || ready.iter().flatten();
        Scene {
            least,
            most,
            wanted: self.wanted(),
            ready: shares().map(|_| 1).sum(),
            idle: shares().map(|&share| u32::from(share < BUSY)).sum(),
            busy: shares().sum(),
            last_is_busy: ready.last().copied().flatten().is_some_and(|share| share >= BUSY),
            may_shrink: self.rollout.is_none(),
            idle_timeout: scaling.idle_timeout,
        }
    }

    /// What is needed to know of load.
    pub(super) fn needs_of_scaling(&mut self) -> Needs {
        let now = self.now;
        let Some(scaling) = self.scaling() else {
            self.elastic.rest_since = None;
            self.elastic.scaler.rest();
            return Needs::default();
        };
        if self.elastic.going_up.is_some() && self.ready() == self.wanted() {
            self.elastic.going_up = None;
        }
        let rest = scaling.exit_idle_time.is_some() && self.is_at_rest();
        let rest_since = rest.then(|| self.elastic.rest_since.unwrap_or(now));
        self.elastic.rest_since = rest_since;
        let above = self.wanted() > self.bounds().0;
        self.elastic.scaler.plan(now, above);
        if self.leave_at().is_some_and(|at| at <= now) {
            self.elastic.leaving = true;
            self.elastic.scaler.sample_at(now);
        }
        self.elastic.scaler.needs(now)
    }

    /// Nothing is wanted, nothing is there, and nobody waits for anything.
    fn is_at_rest(&self) -> bool {
        self.wanted() == 0
            && self.rollout.is_none()
            && self.open.is_empty()
            && self.workers().next().is_none()
    }

    /// When the rest has been long enough.
    fn leave_at(&self) -> Option<Time> {
        let after = self.scaling()?.exit_idle_time?;
        let since = self.elastic.rest_since.filter(|_| !self.elastic.leaving)?;
        Some(since + after).filter(|&at| at != Time(u64::MAX))
    }

    fn leave_idle(&mut self, scaling: Scaling) {
        let after = scaling.exit_idle_time.unwrap_or_default();
        self.elastic.scaler.ignore();
        self.report(Report::LeavingIdle { after });
        self.end_idle();
    }

    pub(super) fn elastic_deadline(&self) -> Option<Time> {
        self.scaling()?;
        let sample = self.elastic.scaler.deadline();
        sample.into_iter().chain(self.leave_at()).min()
    }

    /// `scaling 4 → 6: 37 connections waiting`, as long as that is under way.
    pub(super) fn scaling_up(&self) -> Option<String> {
        let (from, waiting) = self.elastic.going_up?;
        let to = self.wanted();
        (self.ready() < to && to > from)
            .then(|| format!("scaling {from} → {to}: {}", connections(waiting)))
    }

    /// What the status line says of connections that go on waiting.
    pub(super) fn strain(&self) -> &'static str {
        match self.elastic.strain.filter(|_| self.scaling().is_some()) {
            None => "",
            Some(Strain::Full) => ", all busy: connections wait, and there may be no more workers",
            Some(Strain::Held(Hold::Memory)) => {
                ", connections wait: no more workers while memory is short"
            }
            Some(Strain::Held(Hold::Cpu)) => {
                ", connections wait: no more workers while CPUs are short"
            }
        }
    }
}
