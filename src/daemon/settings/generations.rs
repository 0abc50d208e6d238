//! The generations: which settings each has.
//!
//! Settings are kept as long as a worker may be started with them. Those that were in service before are kept as they were
//! accepted, for `herder reload --previous`.

use super::source::Spec;
use herder_core::Generation;
use herder_wire::status::Changed;
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
    pub fn accept(&mut self, spec: Rc<Spec>) -> Generation {
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

    /// The settings that were in service before those that are now.
    pub fn before(&self) -> Option<Rc<Spec>> {
        self.before.clone()
    }

    /// Other settings for a generation. Returns those before.
    pub fn replace(&mut self, generation: Generation, spec: Rc<Spec>) -> Option<Rc<Spec>> {
        self.specs.insert(generation, spec)
    }
}

/// The changes as part of a sentence.
pub fn in_words(changed: &[Changed]) -> String {
    let value = |text: &Option<String>| text.clone().unwrap_or_else(|| "not set".to_owned());
    let words = |changed: &Changed| {
        let Changed { key, value: is, before } = changed;
        format!("{key} = {} (was {})", value(is), value(before))
    };
    changed.iter().map(words).collect::<Vec<_>>().join(", ")
}
