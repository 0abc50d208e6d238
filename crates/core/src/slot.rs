//! A slot: one of N stable places, the workers in it, and what its failures cost the next try.

use super::hang::Hang;
use super::report::Manner;
use super::worker::Worker;
use super::{Exit, Span, Time, WorkerId};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The first wait after a failure; it doubles with each further one.
const FIRST_DELAY: Span = Span::millis(100);
/// The longest wait.
const LONGEST_DELAY: Span = Span::secs(30);
/// Normal endings in a row, each of a life shorter than [`HURRY`], that are replaced at once.
const HURRIED_ENDINGS: u32 = 10;
const HURRY: Span = Span::millis(100);

#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Usually one; two while one replaces the other; leaving ones besides.
    pub workers: Vec<Worker>,
    /// Failures in a row, since a worker here was proved.
    pub failures: u32,
    /// Failures since no proved worker has been ready in the whole herd.
    pub failures_in_trouble: u32,
    /// Normal endings in a row, each after next to no time.
    hurried: u32,
    /// No worker is started here before this.
    pub not_before: Time,
    /// Workers here in a row that were too heavy soon after they were first weighed.
    pub too_heavy_soon: u32,
    /// When a worn worker here was last to be replaced.
    pub renewed_at: Time,
    /// Some worker here was ready or failed: READY=1 need not wait for this slot.
    pub attempted: bool,
    /// Its last worker ended without having been told to.
    pub vacated: bool,
    /// Workers started here because the one before had ended so.
    pub respawns: u64,
    /// The last worker here that ended without having been told to.
    pub last: Option<PastLife>,
}

/// A worker that is no more, for whoever asks later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastLife {
    /// Which one.
    pub worker: WorkerId,
    /// How it ended.
    pub ending: Ending,
    /// When.
    pub at: Time,
    /// How long after it had been ordered.
    pub lived: Span,
    /// It had been ready.
    pub was_ready: bool,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There never was a process: `cannot execute …`.
    NotStarted(String),
    /// It was not ready in time.
    TimedOut {
        /// Within so long.
        after: Span,
        /// What it was seen doing instead, if anybody looked.
        why: Option<String>,
    },
    /// It was there and did nothing.
    Hung(Hang),
    /// Its process ended.
    Exited {
        /// How.
        exit: Exit,
        /// When, as herder sees it.
        manner: Manner,
        /// The mistake it was seen making before.
        why: Option<String>,
    },
}

/// Before the mistake that a worker was seen making before it ended. A program that starts another, a helper, looks
/// like one that has lost its socket to it, until it ends for a reason of its own.
pub const PERHAPS: &str = "; unless it says why itself: ";

/// Without the worker's name: `exited with status 1 before it was ready`.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::NotStarted(why) => f.write_str(why),
            Ending::TimedOut { after, why: None } => write!(f, "was not ready within {after}"),
            Ending::TimedOut { after, why: Some(why) } => {
                write!(f, "was not ready within {after}: {why}")
            }
            Ending::Hung(why) => write!(f, "hung: {why}"),
            Ending::Exited { exit, manner, why } => {
                write!(f, "{exit}")?;
                match manner {
                    Manner::BeforeReady | Manner::Young => write!(f, " {manner}")?,
                    Manner::Ordered | Manner::Crashed | Manner::Retired => {}
                }
                why.iter().try_for_each(|why| write!(f, "{PERHAPS}{why}"))
            }
        }
    }
}

impl Slot {
    /// The workers that serve or are on their way there.
    pub fn active(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| worker.is_active())
    }

    pub fn is_empty(&self) -> bool {
        self.active().next().is_none()
    }

    pub fn has_ready(&self) -> bool {
        self.workers.iter().any(Worker::is_ready)
    }

    /// Counts a failure and puts the next try off. `jitter` is between 0 and 1.
    pub fn failed(&mut self, now: Time, jitter: f64) -> Span {
        self.failures = self.failures.saturating_add(1);
        self.failures_in_trouble = self.failures_in_trouble.saturating_add(1);
        self.attempted = true;
        self.put_off(now, self.failures, jitter)
    }

    /// Counts a normal ending; a run of them that leads nowhere is slowed down.
    ///
    /// Says whether its life was long enough to have been of use.
    pub fn ended_normally(&mut self, now: Time, lived: Span) -> bool {
        self.hurried = if lived < HURRY { self.hurried.saturating_add(1) } else { 0 };
        if self.hurried > HURRIED_ENDINGS {
            self.not_before = now + HURRY;
        }
        self.hurried == 0
    }

    fn put_off(&mut self, now: Time, times: u32, jitter: f64) -> Span {
        let doubled = FIRST_DELAY.times(1 << (times - 1).min(16)).min(LONGEST_DELAY);
        // Up to a quarter off, so that slots which failed together do not try together.
        let delay = Span((doubled.0 as f64 * (1.0 - jitter / 4.0)) as u64);
        self.not_before = now + delay;
        delay
    }

    /// A worker here was ready for `min-lifetime`: what went before is forgotten.
    pub fn proved(&mut self) {
        self.failures = 0;
        self.hurried = 0;
    }

    /// Notes how a worker here ended of its own accord. Whoever comes next takes its place, unless
    /// somebody has already.
    pub fn vacate(&mut self, last: PastLife) {
        self.vacated |= self.is_empty();
        self.last = Some(last);
    }

    /// New settings deserve a fresh try.
    pub fn try_afresh(&mut self, now: Time) {
        self.failures = 0;
        self.hurried = 0;
        self.too_heavy_soon = 0;
        self.not_before = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_to_half_a_minute_and_is_forgotten() {
        let mut slot = Slot::default();
        let delays: Vec<u64> = (0..12).map(|_| slot.failed(Time(0), 0.0).0 / 1000).collect();
        assert_eq!(delays[..5], [100, 200, 400, 800, 1600]);
        assert_eq!(delays[9..], [30_000, 30_000, 30_000]);
        slot.proved();
        assert_eq!(slot.failed(Time(0), 1.0), Span::millis(75));
    }

    #[test]
    fn ten_hurried_endings_are_free() {
        let mut slot = Slot::default();
        for _ in 0..10 {
            slot.ended_normally(Time(5), Span::millis(1));
            assert_eq!(slot.not_before, Time(0));
        }
        slot.ended_normally(Time(5), Span::millis(1));
        assert_eq!(slot.not_before, Time(5) + Span::millis(100));
        slot.ended_normally(Time(9), Span::secs(1));
        slot.ended_normally(Time(9), Span::millis(1));
        assert_eq!(slot.not_before, Time(5) + Span::millis(100));
    }
}
