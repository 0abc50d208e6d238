//! Looks at starting workers that the core has ordered: whether they wait on their sockets.
//!
//! A look reads `/proc` and takes some tens of microseconds, or as many milliseconds at a worker of
//! hundreds of processes. So there is one at a time, and a rest after it: however many workers start, looking
//! takes a fifth of herder's time at most.

use super::Daemon;
use herder_core::{Event, Sight, WorkerId};
use herder_linux::{poll, sight};
use std::collections::VecDeque;

/// So many times as long as a look has taken there is no other.
pub(super) const REST: u64 = 4;

/// Looks that were ordered, the next first.
#[derive(Debug, Default)]
pub struct Looks {
    ordered: VecDeque<WorkerId>,
    /// In microseconds.
    not_before: u64,
}

impl Looks {
    /// One more.
    pub fn order(&mut self, worker: WorkerId) {
        self.ordered.push_back(worker);
    }

    /// When the next one is due.
    pub fn deadline(&self) -> Option<u64> {
        self.ordered.front().map(|_| self.not_before)
    }

    /// The next one, if it is due.
    pub fn take(&mut self, now: u64) -> Option<WorkerId> {
        if now < self.not_before { None } else { self.ordered.pop_front() }
    }

    /// After a look that took from then to then.
    pub fn rest(&mut self, begin: u64, end: u64) {
        self.not_before = end + REST * (end - begin);
    }
}

impl Daemon {
    /// Carries out the next look, if it is due.
    pub(super) fn look_at_one(&mut self) {
        let begin = poll::now();
        let Some(worker) = self.looks.take(begin) else { return };
        let sight = match self.children.look(worker, &self.sockets) {
            Some(sight::Observation::Waiting) => Sight::Waiting,
            Some(sight::Observation::NotYet(diagnosis)) => match diagnosis.is_a_mistake() {
                true => Sight::Astray(diagnosis.to_string()),
                false => Sight::NotYet(diagnosis.to_string()),
            },
            Some(sight::Observation::Unreadable(obstacle)) => {
                Sight::Unreadable(obstacle.to_string())
            }
            // It was given up in the meantime: nobody waits for the answer.
            None => Sight::NotYet("it is gone".to_owned()),
        };
        self.events.push_back(Event::Seen { worker, sight });
        self.looks.rest(begin, poll::now());
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
        looks.not_before = 9;
        assert_eq!((looks.deadline(), looks.take(8)), (Some(9), None));
        assert_eq!(looks.take(9), Some(WorkerId(2)));
        assert_eq!((looks.deadline(), looks.take(9)), (None, None));
    }
}
