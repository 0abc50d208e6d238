//! Measures the memory of workers for which the core has ordered that (`max-memory`).
//!
//! Several workers at the same moment, because the processes of a worker without a cgroup are found only by a walk over all
//! processes of the machine.

use crate::daemon::children::Children;
use crate::daemon::pacer::Pacer;
use herder_core::{Event, Size, Weight, WorkerId};
use herder_linux::poll;
use herder_linux::usage::{self, Subject, Weighable};
use std::collections::VecDeque;

/// So many are measured before herder does anything else.
const AT_ONCE: usize = 64;

/// Measuring takes a fifth of herder's time at most.
const REST: u64 = 4;

/// Workers to be measured, the next first.
#[derive(Debug)]
pub struct Weights {
    ordered: VecDeque<WorkerId>,
    pacer: Pacer,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights { ordered: VecDeque::new(), pacer: Pacer::resting(REST) }
    }
}

impl Weights {
    /// One more.
    pub fn order(&mut self, worker: WorkerId) {
        self.ordered.push_back(worker);
    }

    /// When the next ones are due.
    pub fn deadline(&self) -> Option<u64> {
        self.ordered.front().map(|_| self.pacer.not_before())
    }

    fn take(&mut self, now: u64) -> Vec<WorkerId> {
        let number = if self.pacer.is_due(now) { self.ordered.len().min(AT_ONCE) } else { 0 };
        self.ordered.drain(..number).collect()
    }

    /// Measures some, if that is due.
    pub fn weigh_some(&mut self, children: &mut Children) -> Vec<Event> {
        let begin = poll::now();
        let due = self.take(begin);
        if due.is_empty() {
            return Vec::new();
        }
        let load = |worker: &WorkerId| {
            let pid = children.unreaped(*worker)?;
            let cgroup = children.group(*worker).map(|group| group.path().to_owned());
            let cpu_usec = children.cpu_when_weighed(*worker);
            Some((*worker, Weighable { subject: Subject { pid, cgroup }, cpu_usec }))
        };
        // The core expects no answer for a worker that is gone.
        let (workers, loads): (Vec<WorkerId>, Vec<Weighable>) = due.iter().filter_map(load).unzip();
        let mut events = Vec::new();
        for ((worker, load), weight) in workers.into_iter().zip(&loads).zip(usage::weigh(&loads)) {
            let is_idle = weight.cpu_usec.is_some() && weight.cpu_usec == load.cpu_usec;
            let weight_is = match weight.memory_bytes {
                Some(bytes) => Weight::Is(Size(bytes)),
                None if is_idle => Weight::Same,
                None => Weight::Unknown,
            };
            children.was_weighed(worker, weight.cpu_usec);
            events.push(Event::Weighed { worker, weight: weight_is });
        }
        self.pacer.done(begin, poll::now());
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_workers_are_measured_at_once_and_the_others_after_a_rest() {
        let mut weights = Weights::default();
        (0..=AT_ONCE as u64).for_each(|id| weights.order(WorkerId(id)));
        assert_eq!(weights.take(0).len(), AT_ONCE);
        weights.pacer.done(0, 10);
        assert_eq!(weights.deadline(), Some(50));
        assert_eq!(weights.take(49), []);
        assert_eq!(weights.take(50), [WorkerId(AT_ONCE as u64)]);
        assert_eq!(weights.deadline(), None);
    }
}
