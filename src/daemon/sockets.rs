//! The sockets that workers are given: their accept queues, and what workers do to them.

mod effects;
mod own;
mod queues;

pub use effects::blocks;
pub use own::{serve_control, serve_metrics, split};
pub use queues::slots_of;

use super::instance::Instance;
use super::settings::Spec;
use crate::log::{self, Entry};
use effects::Effects;
use herder_core::{QueueId, Report};
use herder_linux::poll::Poll;
use herder_linux::sockets::Socket;
use herder_wire::control::Failure;
use queues::Queues;

/// The sockets, from the start of herder to its end.
#[derive(Debug)]
pub struct Sockets {
    all: Vec<Socket>,
    queues: Queues,
    effects: Effects,
    /// Sockets handed over for herder itself under a name that it does not serve. They stay open.
    _unserved: Vec<Socket>,
}

impl Sockets {
    /// All queues are open, whatever an earlier herder has left there.
    pub fn new(all: Vec<Socket>, unserved: Vec<Socket>, spec: &Spec) -> Sockets {
        let queues = Queues::begin(queues::groups(spec, &all), &all);
        let effects = Effects::new(&all);
        Sockets { all, queues, effects, _unserved: unserved }
    }

    /// All that workers can be given, in the order in which they are counted.
    pub fn all(&self) -> &[Socket] {
        &self.all
    }

    /// Why the queues of groups cannot be opened and closed, a sentence for each group.
    pub fn obstacles(&self) -> Vec<String> {
        self.queues.obstacles(&self.all).collect()
    }

    /// Other settings may have other groups. Returns the obstacles, if there are new groups.
    pub fn steer_also(&mut self, spec: &Spec) -> Vec<String> {
        match self.queues.also(queues::groups(spec, &self.all), &self.all) {
            true => self.obstacles(),
            false => Vec::new(),
        }
    }

    /// Has new connections go past these queues and no others. Returns the obstacles, if there is a new one.
    pub fn steer(&mut self, closed: &[QueueId]) -> Vec<String> {
        match self.queues.close(closed, &self.all) {
            true => self.obstacles(),
            false => Vec::new(),
        }
    }

    /// Watches these queues, each until something waits in it, and no others.
    pub fn watch_queues(&mut self, queues: &[QueueId], poll: &Poll) {
        self.queues.watch(queues, poll, &self.all);
    }

    /// Whether new connections go past the queue of this socket.
    pub fn is_closed(&self, socket: usize) -> bool {
        self.queues.is_closed(socket)
    }

    /// Leaves the queues as the kernel has them without herder.
    pub fn end(&self) {
        self.queues.end(&self.all);
    }

    /// Notes what may have changed a socket.
    pub fn note(&mut self, report: &Report) {
        self.effects.note(report);
    }

    /// When the next look at the sockets is due.
    pub fn deadline(&self) -> Option<u64> {
        self.effects.deadline()
    }

    /// Looks at the sockets if that is due; before herder ends, `is_last`, in any case.
    pub fn look_if_due(
        &mut self,
        is_last: bool,
        has_to_block: &dyn Fn(usize) -> bool,
        instance: &Instance,
    ) {
        self.effects.look_if_due(is_last, &self.all, has_to_block, instance);
    }

    /// What has changed about each socket since herder was given it.
    pub fn look(
        &mut self,
        has_to_block: &dyn Fn(usize) -> bool,
        instance: &Instance,
    ) -> Vec<Vec<log::Effect>> {
        self.effects.look(None, &self.all, has_to_block, instance)
    }

    /// The changes that were found and not told yet, as entries for the log.
    pub fn take_news(&mut self) -> Vec<Entry> {
        self.effects.take_news()
    }

    /// Whether the sockets suit these settings beside the workers that run.
    ///
    /// # Errors
    ///
    /// A reload to them would mix servers that need a socket to block with others.
    pub fn keeps_apart(
        &self,
        spec: &Spec,
        has_to_block: &dyn Fn(usize) -> bool,
        instance: &Instance,
    ) -> Result<(), Failure> {
        self.effects.keeps_apart(spec, &self.all, has_to_block, instance)
    }
}
