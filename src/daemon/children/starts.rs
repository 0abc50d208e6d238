//! Workers that the core has ordered and that are to be started.
//!
//! A few are started at once. Thousands, as when an instance starts, are started in parts, a part in each turn: between two
//! parts herder listens to the workers that run already, and answers clients.

use crate::daemon::pacer::Share;
use crate::daemon::settings::Spec;
use herder_core::{Cause, Event, Generation, QueueId, SlotId, SpawnFailure, WorkerId};
use std::collections::VecDeque;
use std::rc::Rc;

/// How long a turn starts workers, in microseconds. It always starts one.
const SHARE: u64 = 10_000;

/// A worker to be started.
#[derive(Debug)]
pub struct Start {
    pub worker: WorkerId,
    pub slot: SlotId,
    pub generation: Generation,
    /// Those it is given, of the queues that workers do not share.
    pub queues: Vec<QueueId>,
    /// The settings it is started with, as they were when it was ordered: they may be forgotten by the time it is started.
    pub spec: Rc<Spec>,
}

/// The workers that are to be started, in the order in which they were ordered.
#[derive(Debug, Default)]
pub struct Starts {
    waiting: VecDeque<Start>,
    share: Share,
}

impl Starts {
    /// One more.
    pub fn order(&mut self, start: Start) {
        self.waiting.push_back(start);
    }

    /// A turn begins now.
    pub fn begin_turn(&mut self, now: u64) {
        self.share = Share::begin(now, SHARE);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// At once, while any worker is to be started.
    pub fn deadline(&self) -> Option<u64> {
        (!self.waiting.is_empty()).then_some(0)
    }

    /// The next one, if this turn still starts workers.
    pub fn take(&mut self, now: u64) -> Option<Start> {
        if self.waiting.is_empty() || !self.share.takes_one(now) {
            return None;
        }
        self.waiting.pop_front()
    }

    /// herder ends: what was not started yet never is. To start a worker only to stop it would delay the end, and with
    /// thousands of them by longer than systemd waits.
    pub fn withdraw(&mut self) -> Vec<Event> {
        let withdrawn = self.waiting.drain(..).map(|start| {
            let failure = SpawnFailure { cause: Cause::Withdrawn, text: "herder ends".to_owned() };
            Event::SpawnFailed { worker: start.worker, failure }
        });
        withdrawn.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::settings::{Source, machine};
    use crate::launch::Surroundings;
    use herder_config::Overrides;

    fn spec() -> Spec {
        let text = "command = [\"/bin/true\"]";
        let settings = herder_config::load(Some(("test", text)), &Overrides::default(), &machine());
        let surroundings = Surroundings::of_this_process("test").unwrap();
        let source = Source::new(None, Overrides::default(), surroundings, false);
        source.bind(settings.unwrap(), &[]).unwrap()
    }

    fn start(worker: u64) -> Start {
        Start {
            worker: WorkerId(worker),
            slot: SlotId(0),
            generation: Generation(1),
            queues: Vec::new(),
            spec: Rc::new(spec()),
        }
    }

    #[test]
    fn a_turn_starts_one_worker_at_least_and_the_others_later() {
        let mut starts = Starts::default();
        assert_eq!(starts.deadline(), None);
        (1..=3).for_each(|id| starts.order(start(id)));
        starts.begin_turn(0);
        let late = SHARE;
        assert_eq!(starts.take(late).map(|start| start.worker), Some(WorkerId(1)));
        assert!(starts.take(late).is_none());
        assert_eq!(starts.deadline(), Some(0));
        starts.begin_turn(late);
        assert_eq!(starts.take(late).map(|start| start.worker), Some(WorkerId(2)));
        assert_eq!(starts.take(late).map(|start| start.worker), Some(WorkerId(3)));
        assert!(starts.is_empty());
    }

    #[test]
    fn a_start_that_is_withdrawn_is_answered_and_never_runs() {
        let mut starts = Starts::default();
        (1..=2).for_each(|id| starts.order(start(id)));
        let answered: Vec<_> = starts
            .withdraw()
            .into_iter()
            .map(|event| match event {
                Event::SpawnFailed { worker, failure } => (worker, failure.cause),
                event => panic!("{event}"),
            })
            .collect();
        let withdrawn = |id| (WorkerId(id), Cause::Withdrawn);
        assert_eq!(answered, [withdrawn(1), withdrawn(2)]);
        starts.begin_turn(0);
        assert!(starts.take(0).is_none() && starts.deadline().is_none());
    }
}
