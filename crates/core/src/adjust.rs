//! Step 1: rules that are changed while they are in force.
//!
//! Not a new generation: nothing is started or replaced for it, and who was started by these rules
//! now lives by the new ones. A deadline that is running moves by what its time-out has become longer or
//! shorter: whoever sees a worker that needs more time to stop can still give it.

use super::policy::Policy;
use super::report::Report;
use super::worker::{Spec, State, Worker};
use super::{Generation, Herd, Span, Time};
use alloc::rc::Rc;

impl Herd {
    /// Other rules for a generation that is in force, or on its way to be.
    pub(super) fn adjust(&mut self, generation: Generation, policy: Policy) {
        let from = self.bounds();
        let spec = Rc::new(Spec { generation, policy });
        let mut before = None;
        if self.good.generation == generation {
            before = Some(core::mem::replace(&mut self.good, Rc::clone(&spec)));
        }
        if let Some(rollout) = &mut self.rollout
            && rollout.to.generation == generation
        {
            before = Some(core::mem::replace(&mut rollout.to, Rc::clone(&spec)));
        }
        let now = self.now;
        for worker in self.slots.iter_mut().flat_map(|slot| &mut slot.workers) {
            if worker.generation() == generation {
                worker.adjust(Rc::clone(&spec), now);
            }
        }
        if before.as_ref().is_some_and(|before| wears_otherwise(&before.policy, &spec.policy)) {
            self.put_to_use_again(generation);
        }
        // What was asked for before is over: this is the newer word on it.
        if before.is_some_and(|before| scales_otherwise(&before.policy, &spec.policy)) {
            self.asked = None;
            self.bounds_have_changed(from);
        }
    }

    /// At least and at most so many were wanted, and now it may be other numbers.
    pub(super) fn bounds_have_changed(&mut self, from: (u32, u32)) {
        let (to, wanted) = (self.bounds(), self.wanted());
        if to == from {
            return;
        }
        if let Some(rollout) = &mut self.rollout {
            rollout.wanted_before = rollout.wanted_before.min(wanted);
        }
        // Whoever scales watches more than who does not.
        if (to.0 < to.1) != (from.0 < from.1) {
            self.watch_anew();
        }
        if to.0 != from.0 {
            self.report(Report::Scaled { from: from.0, to: to.0 });
        }
    }
}

impl Worker {
    fn adjust(&mut self, spec: Rc<Spec>, now: Time) {
        let (old, new) = (self.policy(), &spec.policy);
        let start = |until| moved(until, old.start_timeout, new.start_timeout, now);
        let stop = |kill_at| moved(kill_at, old.stop_timeout, new.stop_timeout, now);
        self.state = match self.state {
            State::Starting { since, until, extended: false, looking } => {
                State::Starting { since, until: start(until), extended: false, looking }
            }
            State::Retiring { kill_at } => State::Retiring { kill_at: stop(kill_at) },
            State::Draining { kill_at } => State::Draining { kill_at: stop(kill_at) },
            State::Sweeping { kill_at } => State::Sweeping { kill_at: stop(kill_at) },
            // What it asked for itself, and what is no setting's.
            state @ (State::Spawning
            | State::Starting { extended: true, .. }
            | State::Ready
            | State::Aborting { .. }
            | State::Killing { .. }
            | State::Burying { .. }) => state,
        };
        self.spec = spec;
    }
}

fn wears_otherwise(old: &Policy, new: &Policy) -> bool {
    (old.max_age, old.max_memory) != (new.max_age, new.max_memory)
}

fn scales_otherwise(old: &Policy, new: &Policy) -> bool {
    (old.workers, old.most_workers()) != (new.workers, new.most_workers())
}

/// A deadline set by a time-out of `old`, as it would be by one of `new`.
fn moved(deadline: Time, old: Span, new: Span, now: Time) -> Time {
    match (old, new) {
        (_, Span::MAX) => Time(u64::MAX),
        // Since when it runs is not known any more.
        (Span::MAX, new) => now + new,
        (old, new) => Time((deadline.0.saturating_sub(old.0)).saturating_add(new.0)),
    }
}
