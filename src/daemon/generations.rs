//! The generations: which settings each has, and how a new one comes to be.
//!
//! Settings are kept as long as a worker may be started with them; and those that were in service
//! before, pinned as they were, in case somebody wants to go back.

use super::Daemon;
use super::calls::Caller;
use super::source::Spec;
use crate::herd::{Event, Generation};
use crate::wire::control::Failure;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The settings of every generation that matters.
#[derive(Debug)]
pub struct Generations {
    specs: BTreeMap<Generation, Rc<Spec>>,
    newest: Generation,
    in_service: Generation,
    /// What was in service before.
    before: Option<Rc<Spec>>,
}

impl Generations {
    /// The first one.
    pub fn new(spec: Spec) -> Generations {
        let first = Generation(1);
        let specs = BTreeMap::from([(first, Rc::new(spec))]);
        Generations { specs, newest: first, in_service: first, before: None }
    }

    pub fn newest(&self) -> Generation {
        self.newest
    }

    pub fn get(&self, generation: Generation) -> Option<&Rc<Spec>> {
        self.specs.get(&generation)
    }

    /// Gives accepted settings the next number.
    fn accept(&mut self, spec: Rc<Spec>) -> Generation {
        self.newest = Generation(self.newest.0 + 1);
        self.specs.insert(self.newest, spec);
        self.newest
    }

    /// No worker of this generation will be started again; `in_service` is the one that is now.
    pub fn forget(&mut self, generation: Generation, in_service: Generation) {
        let spec = self.specs.remove(&generation);
        if generation == self.in_service {
            self.before = spec;
        }
        self.in_service = in_service;
    }
}

impl Daemon {
    /// Brings in the settings as they are now, or those that were in service before; the caller
    /// waits for how it goes.
    pub(super) fn reload(&mut self, previous: bool, caller: Option<Caller>) {
        let spec = if previous { self.spec_before() } else { self.read_again().map(Rc::new) };
        let spec = spec.and_then(|spec| self.keeps_apart(&spec).map(|()| spec));
        match spec {
            Ok(spec) => {
                let policy = spec.settings.policy.clone();
                let generation = self.generations.accept(spec);
                self.events.push_back(Event::Reload { generation, policy });
                if let Some(caller) = caller {
                    self.calls.reloads.insert(generation, caller);
                }
            }
            Err(failure) => {
                if let Failure::ReloadRefused { reason } = &failure {
                    let reason = reason.lines().collect::<Vec<_>>().join(" | ");
                    self.events.push_back(Event::Refused { reason });
                }
                if let Some(caller) = caller {
                    self.fail(&caller, &failure);
                }
            }
        }
    }

    fn spec_before(&self) -> Result<Rc<Spec>, Failure> {
        self.generations.before.clone().ok_or_else(|| Failure::NotFound {
            reason: format!(
                "there is no generation before {}: no reload has replaced one since herder started",
                self.herd.generation()
            ),
        })
    }

    fn read_again(&self) -> Result<Spec, Failure> {
        let refused = |reason| Failure::ReloadRefused { reason };
        let settings = self.source.settings().map_err(refused)?;
        if let Some(old) = self.spec_in_service()
            && old.settings.listen != settings.listen
        {
            return Err(refused(
                "`listen` cannot be changed by a reload: restart herder, or change it back"
                    .to_owned(),
            ));
        }
        if let Some(old) = self.spec_in_service()
            && old.settings.queues != settings.queues
        {
            return Err(refused(
                "`queues` cannot be changed by a reload: restart herder, or change it back"
                    .to_owned(),
            ));
        }
        self.source.bind(settings, &self.sockets).map_err(refused)
    }

    pub(super) fn spec_in_service(&self) -> Option<&Rc<Spec>> {
        self.generations.get(self.herd.generation())
    }
}
