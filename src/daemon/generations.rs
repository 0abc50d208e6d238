//! The generations: which settings each has, and how a new one comes to be.
//!
//! Settings are kept as long as a worker may be started with them; and those that were in service
//! before, pinned as they were, in case somebody wants to go back.

use super::Daemon;
use super::calls::Caller;
use super::limits;
use super::source::Spec;
use crate::log::LogLevel;
use herder_core::{Event, Generation, Request};
use herder_linux::cgroup::{Group, limit_all};
use herder_wire::control::Failure;
use herder_wire::status::Changed;
use std::collections::{BTreeMap, BTreeSet};
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
            // What was changed at run time is over.
            self.before = spec.map(|spec| spec.accepted.clone().unwrap_or(spec));
        }
        self.in_service = in_service;
    }
}

impl Daemon {
    /// Brings in the settings as they are now, or those that were in service before; the caller
    /// waits for how it goes.
    pub(super) fn reload(&mut self, previous: bool, caller: Option<Caller>) {
        let spec = if previous { self.spec_before() } else { self.read_again().map(Rc::new) };
        let spec = spec.and_then(|spec| {
            self.keeps_apart(&spec)?;
            self.can_limit(&spec)?;
            Ok(spec)
        });
        match spec {
            Ok(spec) => {
                self.steer_also(&spec);
                let policy = spec.settings.policy.clone();
                let generation = self.generations.accept(spec);
                self.request(Request::Reload { generation, policy }, caller);
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

    /// Changes settings in force, and those of a reload under way: all that is asked for, or nothing.
    /// Says what is another now.
    pub(super) fn set(&mut self, assignments: &[String]) -> Result<String, String> {
        let in_service = self.herd.generation();
        let affected = BTreeSet::from([in_service, self.generations.newest()]);
        let mut adjusted = Vec::new();
        for generation in affected {
            if let Some(spec) = self.generations.get(generation) {
                adjusted.push((generation, spec.adjust(assignments)?));
            }
        }
        let mut changed = Vec::new();
        for (_, spec) in &adjusted {
            self.source.starts_again(&spec.settings)?;
            limits::can_be_set(spec, self.children.tree(), &self.name, self.recovery.is_some())?;
        }
        self.limit_workers(&adjusted)?;
        for (generation, spec) in adjusted {
            let spec = Rc::new(spec);
            let policy = spec.settings.policy.clone();
            let before = self.generations.specs.insert(generation, Rc::clone(&spec));
            if let Some(before) = before.filter(|_| generation == in_service) {
                changed = spec.differs_from(&before);
            }
            self.events.push_back(Event::Adjusted { generation, policy });
        }
        Ok(match changed.as_slice() {
            [] => "nothing is another than before".to_owned(),
            changed => format!("{}, until the next reload that succeeds", in_words(changed)),
        })
    }

    /// Holds the workers of generations to limits that are others than those they were started with: all of
    /// them, or none.
    fn limit_workers(&self, adjusted: &[(Generation, Spec)]) -> Result<(), String> {
        let mut changes = Vec::new();
        for (generation, spec) in adjusted {
            let before = self.generations.get(*generation).map(|spec| spec.limits.group.as_slice());
            let before = before.unwrap_or_default();
            let workers = self.herd.view().filter(|worker| worker.generation == *generation);
            let groups = workers.filter_map(|worker| self.children.group(worker.id));
            let groups: Vec<&Group> = groups.collect();
            for limit in spec.limits.group.iter().filter(|limit| !before.contains(limit)) {
                changes.extend(groups.iter().map(|group| (*group, limit)));
            }
        }
        limit_all(&changes)
    }

    /// Says what was changed at run time and goes with these settings.
    pub(super) fn tell_what_goes(&mut self, generation: Generation) {
        let in_service = self.herd.generation();
        let gone = self.generations.get(generation).map(|spec| spec.changed());
        let gone = gone.filter(|gone| generation < in_service && !gone.is_empty());
        if let Some(gone) = gone {
            let keys: Vec<String> = gone.into_iter().map(|changed| changed.key).collect();
            let keys = keys.join(", ");
            self.log.say(
                LogLevel::Notice,
                format_args!(
                    "what was set while {generation} was in force is over with it: {keys}"
                ),
            );
        }
    }

    /// Whether there is what the limits of these settings need.
    fn can_limit(&self, spec: &Spec) -> Result<(), Failure> {
        let under_systemd = self.recovery.is_some();
        limits::can_be_set(spec, self.children.tree(), &self.name, under_systemd)
            .map_err(|reason| Failure::ReloadRefused { reason })
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
        let restart = |key: &str| {
            let advice = "restart herder, or change it back";
            refused(format!("`{key}` cannot be changed by a reload: {advice}"))
        };
        let settings = self.source.settings().map_err(refused)?;
        let old = self.spec_in_service().map(|spec| &spec.settings);
        if old.is_some_and(|old| old.listen != settings.listen) {
            return Err(restart("listen"));
        }
        let other_queues = old.is_some_and(|old| old.queues != settings.queues);
        // Sockets of herder's own will be others after a restart.
        if other_queues && !self.source.systemd_listens {
            return Err(restart("queues"));
        }
        // What a restart would find wrong with systemd's is better told while there still is a service.
        let spec = self.source.bind(settings, &self.sockets).map_err(refused)?;
        if other_queues { Err(restart("queues")) } else { Ok(spec) }
    }

    pub(super) fn spec_in_service(&self) -> Option<&Rc<Spec>> {
        self.generations.get(self.herd.generation())
    }
}

fn in_words(changed: &[Changed]) -> String {
    let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "not set".to_owned());
    let words = |changed: &Changed| {
        let Changed { key, value: is, before } = changed;
        format!("{key} = {} (was {})", value(is), value(before))
    };
    changed.iter().map(words).collect::<Vec<_>>().join(", ")
}
