//! How many workers the load asks for: up fast, down slowly, between the two bounds of `workers`.
//!
//! It is fed with samples, each of which it has asked for. Nothing is sampled at rest, that is with as few workers as there
//! may be and no connection waiting: then a *watch* is set, which goes off when a connection is not accepted at once. So
//! there is always one of four: a watch, a sample on its way, the time of the next one, or nothing to do (the number is
//! fixed).
//!
//! Up: while connections go on waiting, by 1, 2, 4, … more workers with each sample, and by as many as there are if more
//! and more wait. Workers that are not ready yet are counted as help, and so are workers that have time: they will accept
//! what waits. While twice as many workers start as serve, the scaler waits for them for up to a second.
//!
//! Down: one worker at a time, when the load has not needed it for a *quiet time*. The quiet time is `idle-timeout` at
//! first, and is learned for each number of workers: it doubles where the load was back soon after the scaler had come down
//! to that number, and is halved where it was not. So workers for a single burst leave soon, and workers that a load needs
//! again and again stay.

use crate::load::Load;
use crate::sampling::Needs;
use crate::time::{Span, Time};
use alloc::collections::{BTreeMap, VecDeque};

/// Time between samples while connections wait …
const FAST: Span = Span::millis(100);
/// … and while there are only more workers than need be.
const SLOW: Span = Span::millis(500);
/// A connection may wait this long for a worker that has time: it is on its way out of the queue.
const SETTLE: Span = Span::millis(25);
/// This many workers may always be starting, or twice as many as serve; more than that only after [`START`].
const COMING: u32 = 4;
const START: Span = Span::secs(1);
/// When connections have waited this long for workers that use no time, the workers are blocked.
const BLOCKED: Span = Span::secs(1);
/// A worker that is busy for less of its time than this, in permille, does nothing.
const NOTHING: u32 = 20;
/// A worker that is busy for more of its time than this, in permille, has none to spare.
pub(crate) const BUSY: u32 = 900;
/// The quiet time grows to this many times `idle-timeout` at most.
const MOST_QUIET: u64 = 8;
/// Time between one worker told to leave and the next.
const APART: Span = Span::millis(500);
/// How long to wait while the worker in the highest slot is busy, so that a worker that does nothing leaves instead.
const MOST_COURTESY: Span = Span::secs(5);

/// The state of the fleet when a sample comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub least: u32,
    pub most: u32,
    /// Workers wanted until now.
    pub wanted: u32,
    /// How many of them serve.
    pub ready: u32,
    /// How many of those have time.
    pub idle: u32,
    /// The sum of their busy shares, in permille of one worker.
    pub busy: u32,
    /// The worker that would leave next has something to do.
    pub last_is_busy: bool,
    /// No reload is under way, so that fewer workers may be wanted.
    pub may_shrink: bool,
    /// `idle-timeout`: the quiet time at first.
    pub idle_timeout: Span,
}

/// What follows from a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Stay,
    To(u32),
    /// More are needed than there may be.
    Full,
    /// More are needed, and would make it worse.
    Held(Hold),
}

/// Why there are no more workers although connections wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Memory,
    Cpu,
}

#[derive(Debug)]
pub(crate) struct Scaler {
    /// A sample was asked for, and has not come.
    asked: bool,
    /// The watch is set.
    listens: bool,
    next: Option<Time>,
    /// The last sample: when, and how many connections waited.
    last: Option<(Time, u32)>,
    /// Since when connections have been waiting without a break.
    waits_since: Option<Time>,
    /// How many more at the next step up.
    step: u32,
    /// How many workers were needed lately, and when; entries that a later one exceeds are dropped.
    needed: VecDeque<(Time, u32)>,
    /// By the number of workers to come down to: the quiet time as a multiple of `idle-timeout`, where it is not 1.
    quiet: BTreeMap<u32, u64>,
    last_up: Option<Time>,
    /// When, and to how many.
    last_down: Option<(Time, u32)>,
    /// Since when only a busy worker in the highest slot has kept a worker from leaving.
    courtesy_since: Option<Time>,
}

impl Scaler {
    pub fn new() -> Scaler {
        Scaler {
            asked: false,
            listens: false,
            next: None,
            last: None,
            waits_since: None,
            step: 1,
            needed: VecDeque::new(),
            quiet: BTreeMap::new(),
            last_up: None,
            last_down: None,
            courtesy_since: None,
        }
    }

    /// Connections that waited at the last sample.
    pub fn waiting(&self) -> u32 {
        self.last.map_or(0, |(_, waiting)| waiting)
    }

    /// The watch has gone off. Without any worker a sample is due at once; else after workers that have time had the
    /// chance to accept.
    pub fn knocked(&mut self, now: Time, no_worker: bool) {
        if !core::mem::take(&mut self.listens) {
            return;
        }
        let soonest = self.last.map_or(now, |(at, _)| at + FAST);
        // (A socket that is broken is ready for ever, and nothing waits in it.)
        let due = soonest.max(if no_worker { now } else { now + SETTLE });
        self.waits_since.get_or_insert(now);
        self.sample_at(due);
    }

    /// A sample came that is of no use.
    pub fn ignore(&mut self) {
        self.asked = false;
    }

    /// The number is fixed: no sample is needed.
    pub fn rest(&mut self) {
        self.next = None;
        self.waits_since = None;
    }

    /// A sample is wanted at this time, or earlier.
    pub fn sample_at(&mut self, due: Time) {
        self.next = Some(self.next.map_or(due, |next| next.min(due)));
    }

    /// Plans the next sample if there are more workers than need be (`above`); else none, unless connections wait.
    pub fn plan(&mut self, now: Time, above: bool) {
        if !self.asked && self.waits_since.is_none() {
            self.next = above.then(|| self.next.unwrap_or(now + SLOW));
        }
    }

    /// What is to be ordered now; it counts as ordered then.
    pub fn needs(&mut self, now: Time) -> Needs {
        if self.next.is_some_and(|next| next <= now) && !self.asked {
            self.asked = true;
            self.next = None;
        }
        self.listens |= !self.asked && self.waits_since.is_none();
        Needs { sample: self.asked, knock: self.listens }
    }

    pub fn deadline(&self) -> Option<Time> {
        self.next.filter(|_| !self.asked)
    }

    /// Takes a sample that was ordered, and says what follows.
    pub fn note(&mut self, now: Time, load: &Load, scene: &Scene) -> Step {
        if !core::mem::take(&mut self.asked) {
            return Step::Stay;
        }
        let before = self.waiting();
        self.last = Some((now, load.waiting));
        self.decide(now, load, before, scene)
    }

    fn decide(&mut self, now: Time, load: &Load, before: u32, scene: &Scene) -> Step {
        self.remember(now, load.waiting, scene);
        if load.waiting > 0 {
            self.sample_at(now + FAST);
            self.waits_since.get_or_insert(now);
            self.courtesy_since = None;
            return self.up(now, load, before, scene);
        }
        self.waits_since = None;
        self.step = 1;
        self.down(now, scene)
    }

    /// Remembers how many workers this load needs: the busy ones, and one for each connection that waits.
    fn remember(&mut self, now: Time, waiting: u32, scene: &Scene) {
        let busy = if scene.busy <= NOTHING * scene.ready { 0 } else { scene.busy };
        let needed = busy.div_ceil(1000).saturating_add(waiting);
        while self.needed.back().is_some_and(|(_, before)| *before <= needed) {
            self.needed.pop_back();
        }
        self.needed.push_back((now, needed));
        let longest = self.quiet.values().copied().max().unwrap_or(0);
        let longest = scene.idle_timeout.times(longest.max(1));
        while self.needed.len() > 1 && self.needed[1].0 + longest <= now {
            self.needed.pop_front();
        }
    }

    /// The most workers that were needed at any time of the last `span`.
    fn needed_within(&self, now: Time, span: Span) -> u32 {
        let recent = self.needed.iter().filter(|(at, _)| *at + span > now);
        recent.map(|(_, needed)| *needed).max().unwrap_or(0)
    }

    fn up(&mut self, now: Time, load: &Load, before: u32, scene: &Scene) -> Step {
        let coming = scene.wanted.saturating_sub(scene.ready);
        let waited = self.waits_since.map_or(Span::ZERO, |since| now - since);
        let do_nothing = scene.busy <= NOTHING * scene.ready;
        let from_none = scene.wanted == 0;
        let lacking = load.waiting.saturating_sub(coming);
        let lacking = match lacking.saturating_sub(scene.idle) {
            0 if do_nothing && waited >= BLOCKED => lacking,
            lacking => lacking,
        };
        if lacking == 0 || waited < SETTLE && !from_none {
            return Step::Stay;
        }
        let since_up = self.last_up.map_or(Span::MAX, |at| now - at);
        if coming >= scene.ready.saturating_mul(2).max(COMING) && since_up < START {
            return Step::Stay;
        }
        let room = scene.most.saturating_sub(scene.wanted);
        if room == 0 {
            self.next = Some(now + SLOW);
            return Step::Full;
        }
        // Without any worker no client is served, so the first one is started in any case.
        if !from_none && load.memory_pressure {
            return Step::Held(Hold::Memory);
        }
        if !from_none && load.cpu_starved {
            return Step::Held(Hold::Cpu);
        }
        let nearly_full = load.limit.is_some_and(|limit| load.waiting >= limit - limit / 4);
        let urgent = before > 0 && load.waiting > before || nearly_full;
        let most = if urgent { self.step.max(scene.wanted) } else { self.step };
        self.step = self.step.saturating_mul(2);
        self.learn(now, true, scene.idle_timeout);
        self.last_up = Some(now);
        Step::To(scene.wanted + most.min(lacking).min(room))
    }

    /// The quiet time before there are only so many workers.
    fn quiet(&self, to: u32, shortest: Span) -> Span {
        shortest.times(self.quiet.get(&to).copied().unwrap_or(1))
    }

    /// Learns from the last step down: `is_back` says whether the load needed the worker again.
    fn learn(&mut self, now: Time, is_back: bool, shortest: Span) {
        let Some((at, to)) = self.last_down.take() else { return };
        let times = self.quiet.remove(&to).unwrap_or(1);
        let times = match is_back && now - at < shortest.times(times) {
            true => (times * 2).min(MOST_QUIET),
            false => times / 2,
        };
        if times > 1 {
            self.quiet.insert(to, times);
        }
    }

    fn down(&mut self, now: Time, scene: &Scene) -> Step {
        let Some(to) = scene.wanted.checked_sub(1) else { return Step::Stay };
        let quiet = self.quiet(to, scene.idle_timeout);
        let long_enough = self.last_up.is_none_or(|at| at + quiet <= now)
            && self.last_down.is_none_or(|(at, _)| at + APART <= now);
        let needless = self.needed_within(now, quiet) <= to;
        if scene.wanted <= scene.least || !long_enough || !needless || !scene.may_shrink {
            self.courtesy_since = None;
            return Step::Stay;
        }
        let since = *self.courtesy_since.get_or_insert(now);
        if scene.last_is_busy && now - since < MOST_COURTESY {
            return Step::Stay;
        }
        self.courtesy_since = None;
        self.learn(now, false, scene.idle_timeout);
        self.last_down = Some((now, to));
        Step::To(to)
    }
}
