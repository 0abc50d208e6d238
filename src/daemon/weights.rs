//! Weighs the workers that the core has ordered weighed (`max-memory`).
//!
//! All of them at the same moment, because who has no cgroup is found only by a walk over all processes; and as
//! with looks, however many there are, it takes a fifth of herder's time at most.

use super::Daemon;
use herder_core::{Event, Size, Weight, WorkerId};
use herder_linux::poll;
use herder_linux::usage::{self, Subject, Weighable};

/// So many are weighed before herder looks after anything else.
const AT_ONCE: usize = 64;

impl Daemon {
    /// Weighs whom it is time to weigh.
    pub(super) fn weigh_some(&mut self) {
        let begin = poll::now();
        let due: Vec<WorkerId> =
            std::iter::from_fn(|| self.weights.take(begin)).take(AT_ONCE).collect();
        if due.is_empty() {
            return;
        }
        let load = |worker: &WorkerId| {
            let pid = self.children.unreaped(*worker)?;
            let cgroup = self.children.group(*worker).map(|group| group.path().to_owned());
            let cpu_usec = self.children.cpu_when_weighed(*worker);
            Some((*worker, Weighable { subject: Subject { pid, cgroup }, cpu_usec }))
        };
        // One that is gone will not be missed: the core expects nothing of it.
        let (workers, loads): (Vec<WorkerId>, Vec<Weighable>) = due.iter().filter_map(load).unzip();
        for ((worker, load), weight) in workers.into_iter().zip(&loads).zip(usage::weigh(&loads)) {
            let is_idle = weight.cpu_usec.is_some() && weight.cpu_usec == load.cpu_usec;
            let weight_is = match weight.memory_bytes {
                Some(bytes) => Weight::Is(Size(bytes)),
                None if is_idle => Weight::Same,
                None => Weight::Unknown,
            };
            self.children.was_weighed(worker, weight.cpu_usec);
            self.events.push_back(Event::Weighed { worker, weight: weight_is });
        }
        self.weights.rest(begin, poll::now());
    }
}
