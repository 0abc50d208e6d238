//! Looks at starting workers that the core has ordered: whether they wait on their sockets.
//!
//! A look reads `/proc` and takes some tens of microseconds, or as many milliseconds at a worker of hundreds of
//! processes. So one is taken at a time.

use crate::daemon::children::Children;
use crate::daemon::pacer::Pacer;
use herder_core::{Event, Sight, WorkerId};
use herder_linux::sockets::Socket;
use herder_linux::{poll, sight};
use std::collections::VecDeque;

/// Looks take a fifth of herder's time at most.
const REST: u64 = 4;

/// Looks that were ordered, the next first.
#[derive(Debug)]
pub struct Looks {
    ordered: VecDeque<WorkerId>,
    pacer: Pacer,
}

impl Default for Looks {
    fn default() -> Looks {
        Looks { ordered: VecDeque::new(), pacer: Pacer::resting(REST) }
    }
}

impl Looks {
    /// One more.
    pub fn order(&mut self, worker: WorkerId) {
        self.ordered.push_back(worker);
    }

    /// When the next one is due.
    pub fn deadline(&self) -> Option<u64> {
        self.ordered.front().map(|_| self.pacer.not_before())
    }

    fn take(&mut self, now: u64) -> Option<WorkerId> {
        if self.pacer.is_due(now) { self.ordered.pop_front() } else { None }
    }

    /// Takes the next look, if it is due.
    pub fn look_at_one(&mut self, children: &Children, sockets: &[Socket]) -> Option<Event> {
        let begin = poll::now();
        let worker = self.take(begin)?;
        let sight = match children.look(worker, sockets) {
            Some(sight::Observation::Waiting) => Sight::Waiting,
            Some(sight::Observation::NotYet(diagnosis)) => match diagnosis.is_a_mistake() {
                true => Sight::Astray(diagnosis.to_string()),
                false => Sight::NotYet(diagnosis.to_string()),
            },
            Some(sight::Observation::Unreadable(obstacle)) => {
                Sight::Unreadable(obstacle.to_string())
            }
            // It was given up in the meantime: the core no longer needs the answer.
            None => Sight::NotYet("it is gone".to_owned()),
        };
        self.pacer.done(begin, poll::now());
        Some(Event::Seen { worker, sight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_taken_in_turn_and_not_too_soon() {
        let mut looks = Looks::default();
        assert_eq!(looks.deadline(), None);
        looks.order(WorkerId(1));
        looks.order(WorkerId(2));
        assert_eq!((looks.deadline(), looks.take(5)), (Some(0), Some(WorkerId(1))));
        looks.pacer.done(4, 5);
        assert_eq!((looks.deadline(), looks.take(8)), (Some(9), None));
        assert_eq!(looks.take(9), Some(WorkerId(2)));
        assert_eq!((looks.deadline(), looks.take(9)), (None, None));
    }
}
