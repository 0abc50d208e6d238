//! Workers that are replaced although nobody asks for it: those that have served for `max-age`, or have grown
//! beyond `max-memory`, are *worn*.
//!
//! What comes of it is `request`'s, as if somebody had asked for it: one slot at a time, the new worker ready
//! and watched before the old one is told to stop, and never during a reload. Here is only who is worn, when
//! that is found out, and how soon it is tried again after a new worker has failed.
//!
//! So that workers which started together do not go together, each has a little less than the settings say.
//! All are weighed at the same moments: herder wakes up once for all of them.

use super::report::Report;
use super::worker::Worker;
use super::{Action, Generation, Herd, Policy, Size, SlotId, Span, Time, WorkerId};
use alloc::vec::Vec;
use core::fmt;

/// In each such span workers are weighed once at most.
const WEIGH_EVERY: Span = Span::secs(10);
/// A worker that uses no CPU time cannot grow, and is weighed ever less often, down to this many times
/// less.
const RARELY: u32 = 6;
/// So many times in a row a worker has to be too heavy: one look may be at a peak.
const TOO_HEAVY: u32 = 3;
/// By up to this part is the limit of each worker lower than the settings say.
const SPREAD: f64 = 0.1;
/// A worker that was too heavy this soon after it was first weighed may just need that much: the next in
/// its slot is left alone for longer.
const SOON: Span = Span::secs(60);
/// For so long at most.
const LEFT_ALONE: Span = Span::secs(600);
/// The wait after a new worker has failed; it doubles with each further one.
const FIRST_DELAY: Span = Span::secs(5);
const LONGEST_DELAY: Span = Span::secs(300);

/// Why a worker is replaced that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wear {
    /// Somebody asked for it.
    Asked,
    /// It has served for as long as `max-age` allows.
    Age {
        /// So long.
        served: Span,
    },
    /// It has grown beyond `max-memory`.
    Memory {
        /// What it uses.
        memory: Size,
        /// What it was allowed, which is a little less than the settings say.
        most: Size,
        /// How long it has served.
        served: Span,
        /// So many workers of its slot in a row have needed no more than a minute for that.
        soon: u32,
    },
}

/// To follow the worker's name.
impl fmt::Display for Wear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wear::Asked => f.write_str("is recycled"),
            Wear::Age { served } => write!(f, "is recycled after {served}, as max-age wants it"),
            Wear::Memory { memory, most, served, .. } => {
                write!(
                    f,
                    "is recycled after {served}, it uses {memory}, more than its {most} of max-memory"
                )
            }
        }
    }
}

/// What a worker uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// So much.
    Is(Size),
    /// It has used no CPU time since it was weighed: what it was then.
    Same,
    /// Nobody can tell.
    Unknown,
}

/// How worn a worker is; of one that does not serve, or need not be watched, nothing.
#[derive(Debug, Default)]
pub(super) struct Use {
    pub worn: Option<Wear>,
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
    /// So many times in a row it was too heavy, the last time with this weight.
    heavy: u32,
    last: Size,
    /// So many times in a row it had not used any CPU time.
    idle: u32,
}

/// When it may be tried again to recycle what is worn.
#[derive(Debug, Default)]
pub(super) struct Recycler {
    pub not_before: Time,
    failures: u32,
}

impl Use {
    /// Of a worker that has been ready since then. `soon` is that of its slot; `chance` are numbers from 0 to 1.
    fn begin(policy: &Policy, since: Time, now: Time, soon: u32, chance: [f64; 2]) -> Use {
        let less = |most: u64, chance: f64| (most as f64 * (1.0 - SPREAD * chance)) as u64;
        let old_at = policy.max_age.map(|age| since + Span(less(age.0, chance[0])));
        let scales = policy.max_memory.map(|memory| {
            let alone = WEIGH_EVERY.times((1 << soon.min(16)) - 1).min(LEFT_ALONE);
            let begin = next_moment(now + alone, 1);
            let most = Size(less(memory.0, chance[1]));
            Scales { most, begin, next: Some(begin), heavy: 0, last: Size(0), idle: 0 }
        });
        Use { worn: None, old_at, scales }
    }

    pub fn deadline(&self) -> Option<Time> {
        let weighing = self.scales.as_ref().and_then(|scales| scales.next);
        self.old_at.into_iter().chain(weighing).min()
    }

    fn wear(&mut self, wear: Wear) {
        *self = Use { worn: Some(wear), ..Use::default() };
    }
}

impl Scales {
    /// Whether that is too much, by now.
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

impl Recycler {
    /// A new worker has failed in place of a worn one. `chance` is from 0 to 1.
    fn failed(&mut self, now: Time, chance: f64) {
        let doubled = FIRST_DELAY.times(1 << self.failures.min(16)).min(LONGEST_DELAY);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + Span((doubled.0 as f64 * (1.0 - chance / 4.0)) as u64);
    }
}

impl Herd {
    /// A worker became ready: from now on it wears out.
    pub(super) fn put_to_use(&mut self, id: WorkerId, slot: SlotId) {
        let now = self.now;
        let soon = self.slot(slot).too_heavy_soon;
        let Some((_, worker)) = self.find(id) else { return };
        let policy = worker.policy();
        if policy.max_age.is_none() && policy.max_memory.is_none() {
            worker.wear = Use::default();
            return;
        }
        let chance = [self.jitter.next(), self.jitter.next()];
        if let Some((_, worker)) = self.find(id) {
            let since = worker.ready.map_or(now, |(since, _)| since);
            worker.wear = Use::begin(worker.policy(), since, now, soon, chance);
        }
    }

    /// The limits are others for workers that serve: as if they had been those from the beginning.
    pub(super) fn put_to_use_again(&mut self, generation: Generation) {
        let serves = |worker: &Worker| worker.is_ready() && worker.generation() == generation;
        let affected =
            self.workers().filter(|(_, worker)| serves(worker) && worker.wear.worn.is_none());
        let affected: Vec<_> = affected.map(|(slot, worker)| (worker.id, slot)).collect();
        for (worker, slot) in affected {
            self.put_to_use(worker, slot);
        }
    }

    /// A moment has come for a worker that serves: it is old, or to be weighed.
    pub(super) fn wear_on(&mut self, id: WorkerId) {
        let now = self.now;
        let Some((_, worker)) = self.find(id) else { return };
        let is_due = |time: &Option<Time>| time.is_some_and(|time| time <= now);
        if is_due(&worker.wear.old_at) {
            let served = worker.served(now);
            worker.wear.wear(Wear::Age { served });
        } else if let Some(scales) = worker.wear.scales.as_mut()
            && is_due(&scales.next)
        {
            scales.next = None;
            self.order(Action::Weigh { worker: id });
        }
    }

    pub(super) fn weighed(&mut self, id: WorkerId, weight: Weight) {
        let now = self.now;
        let Some((slot, worker)) = self.find(id) else { return };
        let served = worker.served(now);
        let is_ready = worker.is_ready();
        let asked = |scales: &&mut Scales| is_ready && scales.next.is_none();
        let Some(scales) = worker.wear.scales.as_mut().filter(asked) else { return };
        if !scales.note(weight, now) {
            return;
        }
        let (memory, most, took) = (scales.last, scales.most, now - scales.begin);
        let place = self.slot(slot);
        place.too_heavy_soon = if took < SOON { place.too_heavy_soon.saturating_add(1) } else { 0 };
        let soon = place.too_heavy_soon;
        if let Some((_, worker)) = self.find(id) {
            worker.wear.wear(Wear::Memory { memory, most, served, soon });
        }
    }

    /// The worker that serves in this slot, if it is worn.
    pub(super) fn worn_out(&self, slot: SlotId) -> Option<&Worker> {
        let mut workers = self.slots.get(slot.0 as usize)?.workers.iter();
        let serving = workers.find(|worker| worker.is_ready() && !worker.unwanted);
        // One of settings that were given up is replaced for that, and by other rules.
        let right = self.good.generation;
        serving.filter(|worker| worker.wear.worn.is_some() && worker.generation() == right)
    }

    /// A worn worker was replaced, and is no longer needed.
    pub(super) fn replaced(&mut self, old: WorkerId, slot: SlotId, by: WorkerId, why: Wear) {
        self.counters.recycled(why);
        if let Some((_, worker)) = self.find(old) {
            let generation = worker.generation();
            worker.wear = Use::default();
            self.report(Report::Recycled { worker: old, slot, generation, by, why });
        }
        if why != Wear::Asked {
            self.recycler = Recycler::default();
        }
    }

    /// A new worker has failed in this slot, where a worn one serves on.
    pub(super) fn put_off_recycling(&mut self, slot: SlotId) {
        if self.worn_out(slot).is_some() {
            let (now, chance) = (self.now, self.jitter.next());
            self.recycler.failed(now, chance);
        }
    }

    /// When what is worn may be tried again.
    pub(super) fn recycler_deadline(&self) -> Option<Time> {
        let not_before = Some(self.recycler.not_before).filter(|&time| time > self.handled)?;
        let slots = (0..self.wanted()).map(SlotId);
        slots.into_iter().any(|slot| self.worn_out(slot).is_some()).then_some(not_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            // What uses no CPU time does not get lighter by that.
            (Weight::Same, true),
        ] {
            assert_eq!(scales.note(weight, Time(5)), is_worn, "{weight:?}");
        }
        assert_eq!(scales.last, Size(150));
    }

    #[test]
    fn who_sleeps_is_weighed_ever_less_often() {
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
    fn everybody_is_weighed_at_the_same_moments() {
        let every = WEIGH_EVERY.0;
        for now in [0, 1, every - 1] {
            assert_eq!(next_moment(Time(now), 1), Time(every));
        }
        assert_eq!(next_moment(Time(every), 1), Time(2 * every));
        assert_eq!(next_moment(Time(every + 1), 3), Time(4 * every));
    }

    #[test]
    fn tries_that_fail_become_rare() {
        let mut recycler = Recycler::default();
        let mut delays = Vec::new();
        for _ in 0..9 {
            recycler.failed(Time(0), 0.0);
            delays.push(recycler.not_before.0 / 1_000_000);
        }
        assert_eq!(delays, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    }
}
