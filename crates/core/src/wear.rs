//! How worn one serving worker is: how long until its `max-age`, and how its memory compares with `max-memory`.
//!
//! So that workers which started together are not replaced together, each may have a little less than the settings
//! say. All workers are weighed at the same moments, so that herder wakes up once for all of them.

use crate::load::Weight;
use crate::policy::Policy;
use crate::reason::Wear;
use crate::size::Size;
use crate::time::{Span, Time};

/// Workers are weighed at most once in this time.
const WEIGH_EVERY: Span = Span::secs(10);
/// A worker that uses no CPU time cannot grow, and is weighed ever less often, down to this many times less.
const RARELY: u32 = 6;
/// A worker has to be too heavy this many times in a row, because one look may be at a peak.
const TOO_HEAVY: u32 = 3;
/// The limits of each worker are up to this part lower than the settings say.
const SPREAD: f64 = 0.1;
/// A worker that was too heavy this soon after it was first weighed may just need that much memory, so the next one
/// in its slot is first weighed later.
const SOON: Span = Span::secs(60);
/// The first weighing is put off by no more than this.
const LONGEST_GRACE: Span = Span::secs(600);

/// How worn a worker is; nothing while it does not serve, or where the settings have no limits.
#[derive(Debug, Default)]
pub(crate) struct WearState {
    worn: Option<Wear>,
    old_at: Option<Time>,
    scales: Option<Scales>,
}

/// How a worker is weighed.
#[derive(Debug)]
struct Scales {
    most: Size,
    begin: Time,
    /// When it is weighed next; `None` while it is being weighed.
    next: Option<Time>,
    /// How many times in a row it was too heavy.
    heavy: u32,
    /// What it weighed the last time that it was too heavy.
    last: Size,
    /// How many times in a row it had used no CPU time.
    idle: u32,
}

/// What time asks of a serving worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WearStep {
    Nothing,
    /// Its memory is to be measured.
    Weigh,
}

/// A worker was found to be too heavy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooHeavy {
    pub memory: Size,
    pub most: Size,
    /// It was so within a minute.
    pub soon: bool,
}

impl WearState {
    /// Of a worker that has been ready since then. `soon` tells how many workers of its slot in a row were too heavy
    /// soon; `chance` are numbers from 0 to 1.
    pub fn begin(
        policy: &Policy,
        since: Time,
        now: Time,
        soon: u32,
        chance: [f64; 2],
    ) -> WearState {
        let less = |most: u64, chance: f64| (most as f64 * (1.0 - SPREAD * chance)) as u64;
        let old_at = policy.max_age.map(|age| since + Span(less(age.0, chance[0])));
        let scales = policy.max_memory.map(|memory| {
            let grace = WEIGH_EVERY.times((1 << soon.min(16)) - 1).min(LONGEST_GRACE);
            let begin = next_moment(now + grace, 1);
            let most = Size(less(memory.0, chance[1]));
            Scales { most, begin, next: Some(begin), heavy: 0, last: Size(0), idle: 0 }
        });
        WearState { worn: None, old_at, scales }
    }

    /// Why the worker is to be replaced, if it is.
    pub fn worn(&self) -> Option<Wear> {
        self.worn
    }

    /// The worker is worn from now on, and need not be watched any more.
    pub fn set_worn(&mut self, wear: Wear) {
        *self = WearState { worn: Some(wear), ..WearState::default() };
    }

    /// When the worker is old, or is to be weighed.
    pub fn deadline(&self) -> Option<Time> {
        let weighing = self.scales.as_ref().and_then(|scales| scales.next);
        self.old_at.into_iter().chain(weighing).min()
    }

    /// Takes the step that is due.
    pub fn step(&mut self, served: Span, now: Time) -> WearStep {
        let is_due = |time: &Option<Time>| time.is_some_and(|time| time <= now);
        if is_due(&self.old_at) {
            self.set_worn(Wear::Age { served });
            return WearStep::Nothing;
        }
        match self.scales.as_mut() {
            Some(scales) if is_due(&scales.next) => {
                scales.next = None;
                WearStep::Weigh
            }
            Some(_) | None => WearStep::Nothing,
        }
    }

    /// The worker was weighed. Says whether it is too heavy by now.
    pub fn weighed(&mut self, weight: Weight, now: Time) -> Option<TooHeavy> {
        let scales = self.scales.as_mut().filter(|scales| scales.next.is_none())?;
        let too_heavy = scales.note(weight, now);
        too_heavy.then(|| TooHeavy {
            memory: scales.last,
            most: scales.most,
            soon: now - scales.begin < SOON,
        })
    }
}

impl Scales {
    /// Whether the worker is too heavy by now.
    fn note(&mut self, weight: Weight, now: Time) -> bool {
        match weight {
            Weight::Is(size) if size > self.most => {
                (self.heavy, self.last, self.idle) = (self.heavy + 1, size, 0);
            }
            Weight::Is(_) => (self.heavy, self.idle) = (0, 0),
            Weight::Same if self.heavy > 0 => self.heavy += 1,
            Weight::Same => self.idle = (self.idle + 1).min(RARELY),
            Weight::Unknown => {}
        }
        self.next = Some(next_moment(now, (1 << self.idle).min(RARELY)));
        self.heavy >= TOO_HEAVY
    }
}

/// The moments at which workers are weighed are the same for all of them.
fn next_moment(now: Time, steps: u32) -> Time {
    let every = WEIGH_EVERY.0;
    Time((now.0 / every + u64::from(steps)).saturating_mul(every))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn scales() -> Scales {
        let (begin, most) = (Time(0), Size(100));
        Scales { most, begin, next: None, heavy: 0, last: Size(0), idle: 0 }
    }

    #[test]
    fn one_look_at_a_peak_is_not_enough() {
        let mut scales = scales();
        for (weight, is_worn) in [
            (Weight::Is(Size(101)), false),
            (Weight::Is(Size(102)), false),
            (Weight::Is(Size(100)), false),
            (Weight::Is(Size(101)), false),
            (Weight::Unknown, false),
            (Weight::Is(Size(150)), false),
            // A worker that uses no CPU time does not get lighter by that.
            (Weight::Same, true),
        ] {
            assert_eq!(scales.note(weight, Time(5)), is_worn, "{weight:?}");
        }
        assert_eq!(scales.last, Size(150));
    }

    #[test]
    fn idle_workers_are_weighed_ever_less_often() {
        let mut scales = scales();
        let mut now = Time(0);
        let mut waits = Vec::new();
        for _ in 0..6 {
            scales.note(Weight::Same, now);
            let next = scales.next.unwrap();
            waits.push((next - now).0 / 1_000_000);
            now = next;
        }
        assert_eq!(waits, [20, 40, 60, 60, 60, 60]);
        scales.note(Weight::Is(Size(1)), now);
        assert_eq!(scales.next.unwrap() - now, WEIGH_EVERY);
    }

    #[test]
    fn all_workers_are_weighed_at_the_same_moments() {
        let every = WEIGH_EVERY.0;
        for now in [0, 1, every - 1] {
            assert_eq!(next_moment(Time(now), 1), Time(every));
        }
        assert_eq!(next_moment(Time(every), 1), Time(2 * every));
        assert_eq!(next_moment(Time(every + 1), 3), Time(4 * every));
    }
}
