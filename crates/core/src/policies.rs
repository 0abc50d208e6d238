//! Which settings count, and how many workers are wanted: the one place that answers it, also during a reload.
//!
//! There are up to two sets of settings. The *good* one is the last complete generation. During a reload there is an
//! *incoming* one, which is on trial (its check runs, or its first worker), is being rolled out, or is being rolled back:
//!
//! | question | on trial | rolled out | rolled back | no reload |
//! | --- | --- | --- | --- | --- |
//! | which settings does a slot get ([`Policies::for_slots`])? | good | incoming | good | good |
//! | how many workers are wanted ([`Policies::bounds`])? | good | incoming | good | good |
//! | what may a reload spare, run beside, ask or watch ([`Policies::for_instance`])? | incoming | incoming | good | good |
//!
//! A worker that runs lives by the rules of its own generation ([`Worker::policy`](crate::fleet::Worker::policy)).
//! Escalation, READY=1 and stopping go by the good settings ([`Policies::good`]), because until a reload has succeeded
//! those are what the service falls back to.

use crate::ids::Generation;
use crate::policy::{Policy, Scaling, Spec};
use alloc::rc::Rc;

/// The settings in force and on their way, a number that an operator has asked for, and what the load asks for.
#[derive(Debug)]
pub(crate) struct Policies {
    good: Rc<Spec>,
    incoming: Option<(Rc<Spec>, Stage)>,
    asked: Option<Asked>,
    /// How many workers the load asks for, before bounds.
    load: u32,
}

/// How far incoming settings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// One worker of them runs at most.
    Trial,
    /// Slots are given them.
    Forward,
    /// Slots are given the good ones again.
    Back,
}

/// A number of workers that was asked for at run time.
#[derive(Clone, Copy, Debug)]
struct Asked {
    workers: u32,
    /// The newest generation at that time: when a later one has succeeded, the number in its settings counts again.
    under: Generation,
}

/// Questions.
impl Policies {
    pub fn new(good: Rc<Spec>) -> Policies {
        Policies { good, incoming: None, asked: None, load: 0 }
    }

    /// The last complete generation.
    pub fn good(&self) -> &Rc<Spec> {
        &self.good
    }

    /// The settings that a reload under way is to bring.
    pub fn incoming(&self) -> Option<&Rc<Spec>> {
        self.incoming.as_ref().map(|(spec, _)| spec)
    }

    pub fn newest_generation(&self) -> Generation {
        self.incoming().unwrap_or(&self.good).generation
    }

    /// The settings that a slot is to have.
    pub fn for_slots(&self) -> &Rc<Spec> {
        self.at_stage(|stage| stage == Stage::Forward).unwrap_or(&self.good)
    }

    /// The rules for the instance as a whole: what may run beside what is wanted, and what is asked or watched.
    pub fn for_instance(&self) -> &Policy {
        &self.at_stage(|stage| stage != Stage::Back).unwrap_or(&self.good).policy
    }

    fn at_stage(&self, wanted: impl Fn(Stage) -> bool) -> Option<&Rc<Spec>> {
        self.incoming.as_ref().filter(|(_, stage)| wanted(*stage)).map(|(spec, _)| spec)
    }

    /// How many slots are wanted now: what the load asks for, within the bounds.
    pub fn wanted(&self) -> u32 {
        let (least, most) = self.bounds();
        self.load.clamp(least, most)
    }

    /// How many slots are wanted at least and at most; the same if the number is fixed.
    pub fn bounds(&self) -> (u32, u32) {
        let policy = &self.for_slots().policy;
        let least = self.asked_for().unwrap_or(policy.workers);
        (least, policy.scaling.map_or(least, |scaling| scaling.max.max(least)))
    }

    /// The number that was asked for at run time, while it counts.
    pub fn asked_for(&self) -> Option<u32> {
        // What was asked for before incoming settings were accepted is over once they are in force.
        let forward = self.at_stage(|stage| stage == Stage::Forward);
        let counts =
            |asked: &Asked| forward.is_none_or(|incoming| asked.under >= incoming.generation);
        Some(self.asked.filter(counts)?.workers)
    }

    /// The rules of scaling, if more workers may be wanted than the least.
    pub fn scaling(&self) -> Option<Scaling> {
        let (least, most) = self.bounds();
        let scaling = self.for_instance().scaling.or(self.good.policy.scaling);
        scaling.filter(|_| most > least)
    }

    /// How many slots there are at most under these settings. (A smaller number that was asked for does not count: the
    /// queues of the slots that are not wanted are closed, not given to others.)
    pub fn slots_under(&self, spec: &Spec) -> u32 {
        let asked = self.asked.filter(|asked| asked.under >= spec.generation);
        spec.policy.most_workers().max(asked.map_or(0, |asked| asked.workers))
    }
}

/// Changes. Only `reload`, `requests` and `elastic` have reasons for them.
impl Policies {
    /// New settings are accepted, and are tried.
    pub fn try_out(&mut self, to: Rc<Spec>) {
        self.incoming = Some((to, Stage::Trial));
    }

    /// New settings simply take the place of the old, because no worker has served yet.
    pub fn take_at_once(&mut self, to: Rc<Spec>) {
        self.good = Rc::clone(&to);
        self.asked = None;
        self.incoming = Some((to, Stage::Forward));
    }

    pub fn turn(&mut self, stage: Stage) {
        if let Some((_, its)) = &mut self.incoming {
            *its = stage;
        }
    }

    /// The reload is over, and has not succeeded.
    pub fn drop_incoming(&mut self) {
        self.incoming = None;
    }

    /// The reload has succeeded.
    pub fn keep_incoming(&mut self) {
        if let Some((to, _)) = self.incoming.take() {
            self.asked = self.asked.filter(|asked| asked.under >= to.generation);
            self.good = to;
        }
    }

    /// An operator wants this many workers, until the next reload that succeeds.
    pub fn ask_for(&mut self, workers: u32) {
        let under = self.newest_generation();
        self.asked = Some(Asked { workers, under });
    }

    /// The rules of a generation, that is in force or on its way, are others from now on. Returns the rules before.
    pub fn adjust(&mut self, spec: &Rc<Spec>) -> Option<Rc<Spec>> {
        let mut before = None;
        if self.good.generation == spec.generation {
            before = Some(core::mem::replace(&mut self.good, Rc::clone(spec)));
        }
        match &mut self.incoming {
            Some((incoming, _)) if incoming.generation == spec.generation => {
                before = Some(core::mem::replace(incoming, Rc::clone(spec)));
            }
            Some(_) | None => {}
        }
        // A number that was asked for before is over: this is the newer word on it.
        let number = |policy: &Policy| (policy.workers, policy.most_workers());
        if before.as_ref().is_some_and(|before| number(&before.policy) != number(&spec.policy)) {
            self.asked = None;
        }
        before
    }

    /// The load asks for this many workers.
    pub fn set_load(&mut self, workers: u32) {
        self.load = workers;
    }
}
