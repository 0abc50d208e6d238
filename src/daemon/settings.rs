//! The settings: where they come from, which each generation has, and the `check` command of a reload.
//!
//! Changes nothing outside: that sockets are steered, workers limited and the core told is the composition's part.

mod generations;
mod precheck;
mod source;

pub use source::{Source, Spec, machine};

use super::children::Children;
use generations::{Generations, in_words};
use herder_core::{Event, Generation, Herd};
use herder_linux::poll::Poll;
use herder_linux::sockets::Socket;
use herder_wire::control::Failure;
use precheck::Precheck;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;

/// The settings of every generation that matters, and their source.
#[derive(Debug)]
pub struct Configuration {
    source: Source,
    generations: Generations,
    check: Option<Precheck>,
}

/// Settings that a change at run time has made, of generations that are there already.
pub type Adjusted = Vec<(Generation, Spec)>;

impl Configuration {
    /// With the settings of the first generation.
    pub fn new(source: Source, first: Spec) -> Configuration {
        Configuration { source, generations: Generations::new(first), check: None }
    }

    /// The settings file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.source.file()
    }

    /// The last generation that was given a number.
    pub fn newest(&self) -> Generation {
        self.generations.newest()
    }

    pub fn get(&self, generation: Generation) -> Option<&Rc<Spec>> {
        self.generations.get(generation)
    }

    /// The settings of the last complete generation.
    pub fn in_service(&self, herd: &Herd) -> Option<&Rc<Spec>> {
        self.get(herd.generation())
    }

    /// Whether workers of these generations, or of the one in service, need this socket to block.
    pub fn needs_blocking(
        &self,
        socket: usize,
        running: impl Iterator<Item = Generation>,
        herd: &Herd,
    ) -> bool {
        let specs = running.filter_map(|generation| self.get(generation));
        let needs =
            |spec: &Rc<Spec>| spec.settings.blocking && spec.launch.sockets.contains(&socket);
        specs.chain(self.in_service(herd)).any(needs)
    }

    /// The settings that a reload would bring: as they are now, or those that were in service before.
    ///
    /// # Errors
    ///
    /// Why there are none, or why they cannot be brought by a reload.
    pub fn candidate(
        &self,
        previous: bool,
        herd: &Herd,
        sockets: &[Socket],
    ) -> Result<Rc<Spec>, Failure> {
        match previous {
            true => self.generations.before().ok_or_else(|| Failure::NotFound {
                reason: format!(
                    "there is no generation before {}: no reload has replaced one since herder started",
                    herd.generation()
                ),
            }),
            false => self.read_again(herd, sockets).map(Rc::new),
        }
    }

    fn read_again(&self, herd: &Herd, sockets: &[Socket]) -> Result<Spec, Failure> {
        let refused = |reason| Failure::ReloadRefused { reason };
        let restart = |key: &str| {
            let advice = "restart herder, or change it back";
            refused(format!("`{key}` cannot be changed by a reload: {advice}"))
        };
        let settings = self.source.settings().map_err(refused)?;
        let old = self.in_service(herd).map(|spec| &spec.settings);
        if old.is_some_and(|old| old.listen != settings.listen) {
            return Err(restart("listen"));
        }
        let other_queues = old.is_some_and(|old| old.queues != settings.queues);
        // Sockets that herder has bound itself will be others after a restart.
        if other_queues && !self.source.systemd_listens() {
            return Err(restart("queues"));
        }
        // What a restart would find wrong with systemd's sockets is better told while there still is a service.
        let spec = self.source.bind(settings, sockets).map_err(refused)?;
        if other_queues { Err(restart("queues")) } else { Ok(spec) }
    }

    /// Gives accepted settings the next number.
    pub fn accept(&mut self, spec: Rc<Spec>) -> Generation {
        self.generations.accept(spec)
    }

    /// No worker of this generation will be started again. Returns the keys that were changed at run time while it was in
    /// force, whose values end with it.
    pub fn forget(&mut self, generation: Generation, herd: &Herd) -> Vec<String> {
        let in_service = herd.generation();
        let changed = self.get(generation).map(|spec| spec.changed());
        let changed = changed.filter(|_| generation < in_service).unwrap_or_default();
        self.generations.forget(generation, in_service);
        changed.into_iter().map(|changed| changed.key).collect()
    }

    /// The settings in service, and those of a reload under way, with assignments of `herder set`.
    ///
    /// # Errors
    ///
    /// Every problem there is, a line each.
    pub fn adjusted(&self, assignments: &[String], herd: &Herd) -> Result<Adjusted, String> {
        let affected = BTreeSet::from([herd.generation(), self.generations.newest()]);
        let mut adjusted = Vec::new();
        for generation in affected {
            if let Some(spec) = self.get(generation) {
                adjusted.push((generation, spec.adjust(assignments)?));
            }
        }
        for (_, spec) in &adjusted {
            self.source.starts_again(&spec.settings)?;
        }
        Ok(adjusted)
    }

    /// Puts adjusted settings in force. Returns what the core is told, and says what has changed.
    pub fn adjust(&mut self, adjusted: Adjusted, herd: &Herd) -> (Vec<Event>, String) {
        let mut changed = Vec::new();
        let mut events = Vec::new();
        for (generation, spec) in adjusted {
            let spec = Rc::new(spec);
            let policy = spec.settings.policy.clone();
            let before = self.generations.replace(generation, Rc::clone(&spec));
            if let Some(before) = before.filter(|_| generation == herd.generation()) {
                changed = spec.differs_from(&before);
            }
            events.push(Event::Adjusted { generation, policy });
        }
        let message = match changed.as_slice() {
            [] => "no value has changed".to_owned(),
            changed => format!("{}, until the next reload that succeeds", in_words(changed)),
        };
        (events, message)
    }

    /// Starts the `check` command of a generation. Returns its outcome if that is known at once.
    pub fn start_check(
        &mut self,
        generation: Generation,
        poll: &Poll,
        children: &mut Children,
    ) -> Option<Event> {
        self.end_check(children);
        let spec = self.generations.get(generation)?;
        match Precheck::start(poll, generation, spec, children.inheritance()) {
            Ok(check) => {
                children.helper_started(check.pid());
                self.check = Some(check);
                None
            }
            Err(why) => Some(Event::Checked { generation, outcome: Err(why) }),
        }
    }

    /// The process of the `check` command has changed. Returns its outcome, if it has ended.
    pub fn check_ready(&mut self, children: &mut Children) -> Option<Event> {
        let outcome = self.check.as_mut().and_then(Precheck::outcome)?;
        self.end_check(children);
        Some(outcome)
    }

    /// The outcome of the check of this generation is no longer wanted.
    pub fn cancel_check(&mut self, generation: Generation, children: &mut Children) {
        if self.check.as_ref().is_some_and(|check| check.generation() == generation) {
            self.end_check(children);
        }
    }

    fn end_check(&mut self, children: &mut Children) {
        if let Some(check) = self.check.take() {
            children.helper_ended(check.pid());
        }
    }
}
