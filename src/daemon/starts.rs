//! Workers that the core has ordered and that are to be started.
//!
//! A few are started at once. Thousands, as when an instance starts, are started in parts, a part in each turn:
//! between two parts herder listens to the workers that run already, and answers clients.

use super::Daemon;
use super::children::Job;
use super::source::Spec;
use herder_core::{Generation, QueueId, SlotId, WorkerId};
use herder_linux::poll;
use std::collections::VecDeque;
use std::rc::Rc;

/// How long a turn starts workers, in microseconds. It always starts one.
const PART: u64 = 10_000;

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
    part: Part,
}

/// What one turn may start.
#[derive(Debug, Default)]
struct Part {
    /// When it stops, in microseconds.
    until: u64,
    /// It has started one.
    has_started: bool,
}

impl Part {
    /// Whether the turn starts one more.
    fn takes_one(&mut self, now: u64) -> bool {
        let takes = !self.has_started || now < self.until;
        self.has_started |= takes;
        takes
    }
}

impl Starts {
    /// One more.
    pub fn order(&mut self, start: Start) {
        self.waiting.push_back(start);
    }

    /// A turn begins now.
    pub fn begin_turn(&mut self, now: u64) {
        self.part = Part { until: now + PART, has_started: false };
    }

    /// At once, while any worker is to be started.
    pub fn deadline(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then_some(0)
    }

    /// The next one, if this turn still starts workers.
    fn take(&mut self, now: u64) -> Option<Start> {
        if self.waiting.is_empty() || !self.part.takes_one(now) {
            return None;
        }
        self.waiting.pop_front()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_starts_one_worker_at_least_and_others_while_it_has_time() {
        let mut starts = Starts::default();
        starts.begin_turn(100);
        assert!(starts.part.takes_one(100));
        assert!(starts.part.takes_one(99 + PART));
        assert!(!starts.part.takes_one(100 + PART));
        starts.begin_turn(200);
        assert!(starts.part.takes_one(1000 + PART), "the machine stood still meanwhile");
        assert!(!starts.part.takes_one(1000 + PART));
        assert_eq!(starts.deadline(), None);
    }
}
