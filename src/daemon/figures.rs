//! What workers and herder cost, as of the last look, and what that is per time.
//!
//! A look is repeated for a moment: however many people look, they cost herder one look in that time.
//! Between looks nothing is read.

use crate::herd::{Span, WorkerId};
use crate::linux::poll;
use crate::linux::usage::{self, Subject};
use crate::wire::status::Usage;
use std::collections::BTreeMap;

/// The shortest time a rate is taken over, and the shortest a look is good for.
const MOMENT: Span = Span::millis(100);

/// A look that took long, as with hundreds of workers, is good for so many times as long: looking takes at
/// most a twentieth of herder's time.
const REST: u64 = 20;

/// The figures of an instance.
#[derive(Debug, Default)]
pub struct Figures {
    workers: BTreeMap<WorkerId, Seen>,
    herder: Seen,
    /// In microseconds.
    good_until: u64,
}

impl Figures {
    /// Looks at these workers, and at herder, unless somebody has just done so. A worker not seen
    /// before is always looked at.
    pub fn look(&mut self, workers: &[(WorkerId, Subject)]) {
        let begin = poll::now();
        let all_known = workers.iter().all(|(worker, _)| self.workers.contains_key(worker));
        if begin < self.good_until && all_known {
            return;
        }
        let subjects: Vec<Subject> = workers.iter().map(|(_, subject)| subject.clone()).collect();
        let usages = usage::of_workers(&subjects);
        let mut before = std::mem::take(&mut self.workers);
        for ((worker, _), usage) in workers.iter().zip(usages) {
            let mut seen = before.remove(worker).unwrap_or_default();
            seen.update(begin, usage);
            self.workers.insert(*worker, seen);
        }
        self.herder.update(begin, usage::of_herder());
        let end = poll::now();
        self.good_until = end + MOMENT.0.max(REST * (end - begin));
    }

    /// What a worker cost at the last look.
    pub fn worker(&self, worker: WorkerId) -> Usage {
        self.workers.get(&worker).map(|seen| seen.usage).unwrap_or_default()
    }

    /// What herder cost at the last look.
    pub fn herder(&self) -> Usage {
        self.herder.usage
    }
}

/// The figures of one of them.
#[derive(Debug, Default)]
struct Seen {
    usage: Usage,
    /// When CPU time was last set against the clock, and how much there was.
    rated: Option<(u64, u64)>,
}

impl Seen {
    fn update(&mut self, now: u64, fresh: Usage) {
        // A process that ends may take its time with it; a sum that falls is no sum.
        let cpu_usec = fresh.cpu_usec.max(self.usage.cpu_usec);
        let mut cpu_share = self.usage.cpu_share;
        if let Some(cpu) = cpu_usec {
            match self.rated {
                None => self.rated = Some((now, cpu)),
                Some((at, before)) if now - at >= MOMENT.0 => {
                    cpu_share = Some((cpu - before) as f64 / (now - at) as f64);
                    self.rated = Some((now, cpu));
                }
                Some(_) => {}
            }
        }
        self.usage = Usage { cpu_usec, cpu_share, ..fresh };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(usec: u64) -> Usage {
        Usage { cpu_usec: Some(usec), memory_bytes: Some(usec), ..Usage::default() }
    }

    #[test]
    fn the_rate_is_of_the_time_since_the_look_before() {
        let mut seen = Seen::default();
        seen.update(1_000_000, cpu(500_000));
        assert_eq!(seen.usage.cpu_share, None);
        seen.update(1_500_000, cpu(750_000));
        assert_eq!(seen.usage.cpu_share, Some(0.5));
        seen.update(2_500_000, cpu(2_750_000));
        assert_eq!(seen.usage.cpu_share, Some(2.0));
        assert_eq!(seen.usage.memory_bytes, Some(2_750_000));
    }

    #[test]
    fn a_look_too_soon_repeats_the_rate_and_not_the_rest() {
        let mut seen = Seen::default();
        seen.update(0, cpu(0));
        seen.update(99_999, cpu(50_000));
        assert_eq!((seen.usage.cpu_share, seen.usage.cpu_usec), (None, Some(50_000)));
        seen.update(100_000, cpu(50_000));
        assert_eq!(seen.usage.cpu_share, Some(0.5));
        seen.update(150_000, cpu(100_000));
        assert_eq!((seen.usage.cpu_share, seen.usage.cpu_usec), (Some(0.5), Some(100_000)));
    }

    #[test]
    fn cpu_time_never_falls() {
        let mut seen = Seen::default();
        seen.update(0, cpu(1_000));
        seen.update(1_000_000, cpu(400));
        assert_eq!((seen.usage.cpu_usec, seen.usage.cpu_share), (Some(1_000), Some(0.0)));
        seen.update(2_000_000, Usage::default());
        assert_eq!((seen.usage.cpu_usec, seen.usage.memory_bytes), (Some(1_000), None));
    }

    #[test]
    fn everybody_who_looks_at_once_sees_one_look() {
        let mut figures = Figures::default();
        let me = Subject { pid: nix::unistd::getsid(None).unwrap().as_raw(), cgroup: None };
        figures.look(&[(WorkerId(1), me.clone())]);
        let good_until = figures.good_until;
        assert!(figures.worker(WorkerId(1)).cpu_usec.is_some());
        figures.look(&[(WorkerId(1), me.clone())]);
        assert_eq!(figures.good_until, good_until);
        // A worker that is new is not kept waiting, and one that is gone is forgotten.
        figures.look(&[(WorkerId(2), me)]);
        assert!(figures.worker(WorkerId(2)).cpu_usec.is_some());
        assert_eq!(figures.worker(WorkerId(1)), Usage::default());
    }
}
