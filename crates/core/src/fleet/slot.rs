//! A slot: one of N stable places, the workers in it, and what its failures cost the next try.

use super::worker::Worker;
use crate::backoff::Backoff;
use crate::reason::PastLife;
use crate::time::{Span, Time};
use alloc::vec::Vec;

/// The wait after failures in a row.
const BACKOFF: Backoff = Backoff { first: Span::millis(100), longest: Span::secs(30) };
/// This many normal endings in a row, each of a life shorter than [`HURRY`], are replaced at once.
const HURRIED_ENDINGS: u32 = 10;
const HURRY: Span = Span::millis(100);

#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// Usually one; two while one replaces the other; leaving ones besides.
    pub(super) workers: Vec<Worker>,
    failures: u32,
    failures_in_trouble: u32,
    hurried: u32,
    not_before: Time,
    too_heavy_soon: u32,
    renewed_at: Time,
    attempted: bool,
    vacated: bool,
    respawns: u64,
    last: Option<PastLife>,
}

impl Slot {
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// The workers that serve or are on their way there.
    pub fn active(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| worker.facts().active())
    }

    pub fn ready_worker(&self) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.is_ready())
    }

    /// No worker serves or is on its way there.
    pub fn is_empty(&self) -> bool {
        self.active().next().is_none()
    }

    pub fn has_ready(&self) -> bool {
        self.ready_worker().is_some()
    }

    /// Failures in a row, since a worker here was ready for `min-lifetime`.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Failures since no proved worker has been ready in any slot.
    pub fn failures_in_trouble(&self) -> u32 {
        self.failures_in_trouble
    }

    /// No worker is started here before this.
    pub fn not_before(&self) -> Time {
        self.not_before
    }

    /// Workers here in a row that were too heavy soon after they were first weighed.
    pub fn too_heavy_soon(&self) -> u32 {
        self.too_heavy_soon
    }

    /// When a worn worker here was last to be replaced.
    pub fn renewed_at(&self) -> Time {
        self.renewed_at
    }

    /// A worker here was ready or has failed: READY=1 need not wait for this slot.
    pub fn is_attempted(&self) -> bool {
        self.attempted
    }

    /// Workers started here in place of one that had ended without having been told to.
    pub fn respawns(&self) -> u64 {
        self.respawns
    }

    /// The last worker here that ended without having been told to.
    pub fn last(&self) -> Option<&PastLife> {
        self.last.as_ref()
    }

    /// Its workers fail, and none is ready.
    pub fn is_failing(&self) -> bool {
        self.failures > 0 && !self.has_ready()
    }

    /// Counts a failure and puts the next try off by what is returned. `chance` is between 0 and 1.
    pub(super) fn failed(&mut self, now: Time, chance: f64) -> Span {
        self.failures = self.failures.saturating_add(1);
        self.failures_in_trouble = self.failures_in_trouble.saturating_add(1);
        self.attempted = true;
        let wait = BACKOFF.after(self.failures, chance);
        self.not_before = now + wait;
        wait
    }

    /// Counts a normal ending; a run of them after next to no time is slowed down.
    ///
    /// Returns whether the life was long enough to have been of use.
    pub(super) fn ended_normally(&mut self, now: Time, lived: Span) -> bool {
        self.hurried = if lived < HURRY { self.hurried.saturating_add(1) } else { 0 };
        if self.hurried > HURRIED_ENDINGS {
            self.not_before = now + HURRY;
        }
        self.hurried == 0
    }

    /// A worker here was ready for `min-lifetime`: earlier failures no longer count.
    pub(super) fn proved(&mut self) {
        self.failures = 0;
        self.hurried = 0;
    }

    /// Its worker has left its place, and the next one here is a respawn, unless another is there already.
    pub(super) fn vacate(&mut self) {
        self.vacated |= self.is_empty();
    }

    /// Remembers how a worker here ended of its own accord.
    pub(super) fn remember(&mut self, last: PastLife) {
        self.last = Some(last);
    }

    /// A worker is started here. `true` if it takes the place of one that had ended of its own accord.
    pub(super) fn take_in(&mut self, worker: Worker) -> bool {
        let respawn = core::mem::take(&mut self.vacated);
        self.respawns += u64::from(respawn);
        self.workers.push(worker);
        respawn
    }

    pub(super) fn attempted(&mut self, attempted: bool) {
        self.attempted = attempted;
    }

    pub(super) fn too_heavy(&mut self, soon: bool) {
        self.too_heavy_soon = if soon { self.too_heavy_soon.saturating_add(1) } else { 0 };
    }

    pub(super) fn renew(&mut self, now: Time) {
        self.renewed_at = now;
    }

    /// The next try is no later than this.
    pub(super) fn try_by(&mut self, latest: Time) {
        self.not_before = self.not_before.min(latest);
    }

    pub(super) fn trouble_begins(&mut self) {
        self.failures_in_trouble = 0;
    }

    /// New settings deserve a fresh try.
    pub(super) fn try_afresh(&mut self, now: Time) {
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
    fn back_off_is_forgotten_once_a_worker_has_proved_itself() {
        let mut slot = Slot::default();
        assert_eq!(slot.failed(Time(0), 0.0), Span::millis(100));
        assert_eq!(slot.failed(Time(0), 0.0), Span::millis(200));
        slot.proved();
        assert_eq!(slot.failed(Time(0), 1.0), Span::millis(75));
    }

    #[test]
    fn ten_hurried_endings_are_replaced_at_once() {
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
