//! What workers and herder cost, as of the last look, and what that is per time.
//!
//! What a look has found is shown for a moment: however many clients ask, they cost herder one look in that time.
//! Between looks nothing is read. A look at thousands of workers is taken in parts, between which herder does
//! everything else; until it is complete, what is not known yet is what it was at the look before.

use super::LEAST_IN_PART;
use crate::daemon::pacer::Pacer;
use herder_core::{Span, WorkerId};
use herder_linux::poll;
use herder_linux::usage::{self, Subject, Survey};
use herder_wire::status::Usage;
use std::collections::{BTreeMap, BTreeSet};

/// The shortest time a rate is taken over, and the shortest a look is good for.
const MOMENT: Span = Span::millis(100);

/// A rate over a longer time says little of what happens now.
const LONG: Span = Span::secs(60);

/// A look that took long, as with hundreds of workers, is good for so many times as long: looking takes at
/// most a twentieth of herder's time …
const REST: u64 = 20;

/// … but no longer than this. On a machine that has no time for herder a look may take seconds, and what was
/// true a minute ago would be shown as if it were now.
const STALE: Span = Span::secs(2);

/// How long a part of a look may take, in microseconds, unless it is of few workers.
const PART: u64 = 30_000;

/// The figures of an instance.
#[derive(Debug)]
pub struct Figures {
    workers: BTreeMap<WorkerId, Seen>,
    /// The look that is not complete.
    look: Option<Look>,
    herder: Seen,
    /// A look is good for as long as the rest after it.
    pacer: Pacer,
}

impl Default for Figures {
    fn default() -> Figures {
        let pacer = Pacer::resting(REST).within(MOMENT.0, STALE.0);
        Figures { workers: BTreeMap::new(), look: None, herder: Seen::default(), pacer }
    }
}

impl Figures {
    /// Looks at these workers, and at herder, unless the last look is still good. A worker not seen
    /// before is always looked at, unless a look at thousands is under way.
    pub fn look(&mut self, workers: impl Iterator<Item = (WorkerId, Subject)> + Clone) {
        if self.look.is_none() {
            let is_known = |(worker, _): (WorkerId, _)| self.workers.contains_key(&worker);
            if !self.pacer.is_due(poll::now()) && workers.clone().all(is_known) {
                return;
            }
            let (workers, subjects) = workers.unzip();
            let survey = Survey::new(subjects);
            self.look = Some(Look { workers, survey });
            self.pacer.begin_at_once();
        }
        self.look_on();
    }

    /// When the next part of a look is due.
    pub fn deadline(&self) -> Option<u64> {
        self.look.as_ref().map(|_| self.pacer.not_before())
    }

    /// Takes the next part of the look that is under way, if it is due.
    pub fn look_on(&mut self) {
        let begin = poll::now();
        let Some(look) = self.look.as_mut().filter(|_| self.pacer.is_due(begin)) else { return };
        let over = begin + PART;
        let mut read = 0;
        let is_over = || {
            read += 1;
            read >= LEAST_IN_PART && poll::now() >= over
        };
        for (index, usage) in look.survey.advance(is_over) {
            self.workers.entry(look.workers[index]).or_default().update(begin, usage);
        }
        if !look.survey.is_complete() {
            return self.pacer.part_done(begin, poll::now());
        }
        let workers: BTreeSet<WorkerId> = look.workers.iter().copied().collect();
        self.look = None;
        self.workers.retain(|worker, _| workers.contains(worker));
        self.herder.update(begin, usage::of_herder());
        let end = poll::now();
        self.pacer.done(begin, end);
        // How busy they are now only the next look can tell, after the first and after a long pause.
        let over = self.herder.usage.cpu_share_over_usec;
        if over.is_none_or(|over| over > LONG.0) {
            self.pacer.rest_only(end, MOMENT.0);
        }
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

/// A look under way.
#[derive(Debug)]
struct Look {
    /// In the order of the survey.
    workers: Vec<WorkerId>,
    survey: Survey,
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
        let Usage { mut cpu_share, mut cpu_share_over_usec, .. } = self.usage;
        if let Some(cpu) = cpu_usec {
            match self.rated {
                None => self.rated = Some((now, cpu)),
                Some((at, before)) if now - at >= MOMENT.0 => {
                    let time = now - at;
                    cpu_share = Some((cpu - before) as f64 / time as f64);
                    cpu_share_over_usec = Some(time);
                    self.rated = Some((now, cpu));
                }
                Some(_) => {}
            }
        }
        self.usage = Usage { cpu_usec, cpu_share, cpu_share_over_usec, ..fresh };
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
    fn a_rate_says_what_time_it_is_of() {
        let mut seen = Seen::default();
        seen.update(0, cpu(0));
        assert_eq!(seen.usage.cpu_share_over_usec, None);
        // After an hour without a look.
        seen.update(3_600_000_000, cpu(36_000_000));
        let usage = seen.usage;
        assert_eq!((usage.cpu_share, usage.cpu_share_over_usec), (Some(0.01), Some(3_600_000_000)));
        // Too soon: that is still what is known.
        seen.update(3_600_050_000, cpu(36_050_000));
        assert_eq!(seen.usage.cpu_share_over_usec, Some(3_600_000_000));
        seen.update(3_600_200_000, cpu(36_200_000));
        assert_eq!(
            (seen.usage.cpu_share, seen.usage.cpu_share_over_usec),
            (Some(1.0), Some(200_000))
        );
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
    fn clients_that_ask_at_once_share_one_look() {
        let mut figures = Figures::default();
        let me = Subject { pid: nix::unistd::getsid(None).unwrap().as_raw(), cgroup: None };
        figures.look([(WorkerId(1), me.clone())].into_iter());
        let good_until = figures.pacer.not_before();
        assert!(figures.worker(WorkerId(1)).cpu_usec.is_some());
        figures.look([(WorkerId(1), me.clone())].into_iter());
        assert_eq!(figures.pacer.not_before(), good_until);
        // A worker that is new is not kept waiting, and one that is gone is forgotten.
        figures.look([(WorkerId(2), me)].into_iter());
        assert!(figures.worker(WorkerId(2)).cpu_usec.is_some());
        assert_eq!(figures.worker(WorkerId(1)), Usage::default());
    }
}
