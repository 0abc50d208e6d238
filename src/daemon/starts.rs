//! Workers that the core has ordered and that are to be started.
//!
//! A few are started at once. Thousands, as when an instance starts, are started in parts, a part in each turn:
//! between two parts herder listens to the workers that run already, and answers clients.

use super::Daemon;
use super::children::Job;
use super::source::Spec;
use crate::herd::{Generation, QueueId, SlotId, WorkerId};
use crate::linux::poll;
use std::collections::VecDeque;
use std::rc::Rc;

/// How long a turn starts workers, in microseconds. It always starts one.
const PART: u64 = 20_000;

/// A worker to be started.
#[derive(Debug)]
pub struct Start {
    pub worker: WorkerId,
    pub slot: SlotId,
    pub generation: Generation,
    /// Those it is given, of the queues that workers do not share.
    pub queues: Vec<QueueId>,
    /// The settings it is started with.
    pub spec: Rc<Spec>,
}

/// The workers that are to be started, in the order in which they were ordered.
#[derive(Debug, Default)]
pub struct Starts {
    waiting: VecDeque<Start>,
    /// When this turn stops starting workers, in microseconds.
    until: u64,
    /// This turn has started one.
    has_started: bool,
}

impl Starts {
    /// One more.
    pub fn order(&mut self, start: Start) {
        self.waiting.push_back(start);
    }

    /// A turn begins now.
    pub fn begin_turn(&mut self, now: u64) {
        self.until = now + PART;
        self.has_started = false;
    }

    /// At once, while any worker is to be started.
    pub fn deadline(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then_some(0)
    }

    /// The next one, if this turn still starts workers.
    fn take(&mut self, now: u64) -> Option<Start> {
        if self.has_started && now >= self.until {
            return None;
        }
        let next = self.waiting.pop_front();
        self.has_started |= next.is_some();
        next
    }
}

impl Daemon {
    /// Starts workers until none is left, or the turn's time for that is over.
    pub(super) fn start_some(&mut self) {
        while !self.starts.waiting.is_empty()
            && let Some(start) = self.starts.take(poll::now())
        {
            let Start { worker, slot, generation, queues, spec } = start;
            let job = Job { worker, slot, generation, queues: &queues };
            let event = self.children.spawn(&self.poll, job, &spec, &self.sockets);
            self.events.push_back(event);
        }
    }
}
