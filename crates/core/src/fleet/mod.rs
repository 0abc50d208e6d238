//! The workers and their slots: which are there, in which state, and what happens to them.
//!
//! The fleet decides neither what is wanted nor what to do about a difference; it turns what happened to a worker into
//! its next state (`life`, by the table in [`state`]) and answers questions without walking over all workers
//! (`tally`). Only this module writes a worker's state or a slot's history.

mod life;
mod slot;
pub(crate) mod state;
mod tally;
mod worker;

pub(crate) use life::{Effect, Occurrence};
pub(crate) use slot::Slot;
pub(crate) use worker::Worker;

use crate::ids::{Generation, QueueId, SlotId, WorkerId};
use crate::policy::Spec;
use crate::time::Time;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ops::Bound;
use tally::Tally;

/// All slots and all workers.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    slots: Vec<Slot>,
    places: BTreeMap<WorkerId, SlotId>,
    last_worker: u64,
    tally: Tally,
    ever_ready: bool,
}

/// Questions.
impl Fleet {
    /// Every slot there is, with its number.
    pub fn slots(&self) -> impl Iterator<Item = (SlotId, &Slot)> {
        (0..).map(SlotId).zip(&self.slots)
    }

    pub fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id.index())
    }

    /// The number of slots there are: at least the wanted ones, once there was room made for them.
    pub fn size(&self) -> u32 {
        self.slots.len() as u32
    }

    pub fn worker(&self, id: WorkerId) -> Option<(SlotId, &Worker)> {
        let slot = *self.places.get(&id)?;
        let worker = self.slot(slot)?.workers().iter().find(|worker| worker.id() == id)?;
        Some((slot, worker))
    }

    /// Every worker that has not been forgotten, by slot. A walk over all: not for every event.
    pub fn workers(&self) -> impl Iterator<Item = (SlotId, &Worker)> {
        self.slots().flat_map(|(id, slot)| slot.workers().iter().map(move |worker| (id, worker)))
    }

    /// No worker is there, in whatever state.
    pub fn is_deserted(&self) -> bool {
        self.places.is_empty()
    }

    /// Workers between the order to start them and ready.
    pub fn starting(&self) -> u32 {
        self.tally.starting
    }

    pub fn starting_workers(&self) -> impl Iterator<Item = (SlotId, &Worker)> {
        let starting = self.tally.starting_of.values().flatten();
        starting.filter_map(|id| self.worker(*id))
    }

    /// Starting workers that have asked for more time.
    pub fn extended_workers(&self) -> impl Iterator<Item = (SlotId, &Worker)> {
        self.tally.extended.iter().filter_map(|id| self.worker(*id))
    }

    /// Workers whose process is there and on its way out.
    pub fn leaving(&self) -> u32 {
        self.tally.leaving
    }

    /// Workers that have a process, or are about to have one.
    pub fn processes(&self) -> u32 {
        self.tally.processes
    }

    /// Workers that serve or are on their way there.
    pub fn active(&self) -> u32 {
        self.tally.active
    }

    /// The same in the first `wanted` slots. (The first worker of new settings stands in slot 0 even where none is
    /// wanted, so with 0 all count.)
    pub fn active_in(&self, wanted: u32) -> u32 {
        if wanted == 0 {
            return self.tally.active;
        }
        let surplus: u32 = self.surplus(wanted).map(|(_, slot)| slot.active().count() as u32).sum();
        self.tally.active - surplus
    }

    /// Slots from `wanted` on that have an active worker.
    pub fn surplus(&self, wanted: u32) -> impl Iterator<Item = (SlotId, &Slot)> {
        let slots = self.tally.manned.range(SlotId(wanted)..);
        slots.filter_map(|id| Some((*id, self.slot(*id)?)))
    }

    /// A worker is ready.
    pub fn serves(&self) -> bool {
        !self.tally.ready.is_empty()
    }

    /// Some worker was ready, once.
    pub fn has_ever_served(&self) -> bool {
        self.ever_ready
    }

    /// A worker that has been ready for `min-lifetime` is ready.
    pub fn has_proved(&self) -> bool {
        self.tally.proved > 0
    }

    /// The first `wanted` slots that have a ready worker.
    pub fn ready_in(&self, wanted: u32) -> u32 {
        (self.tally.ready.len() - self.tally.ready.range(SlotId(wanted)..).count()) as u32
    }

    /// As many of the `wanted` workers as serve; workers in surplus slots stand in for others.
    pub fn serving_of(&self, wanted: u32) -> u32 {
        (self.tally.ready.len() as u32).min(wanted)
    }

    /// Slots from `wanted` on that have a ready worker.
    pub fn ready_surplus(&self, wanted: u32) -> impl Iterator<Item = SlotId> {
        self.tally.ready.range(SlotId(wanted)..).copied()
    }

    pub fn has_ready(&self, slot: SlotId) -> bool {
        self.tally.ready.contains(&slot)
    }

    pub fn is_manned(&self, slot: SlotId) -> bool {
        self.tally.manned.contains(&slot)
    }

    /// The first of the `wanted` slots that has no active worker.
    pub fn first_empty(&self, wanted: u32) -> Option<SlotId> {
        self.empty_slots(wanted).min()
    }

    /// The first `wanted` slots without an active worker, those with the fewest other workers first.
    pub fn empty_slots(&self, wanted: u32) -> impl Iterator<Item = SlotId> {
        let slots = self.tally.empty.iter().map(|(_, id)| *id);
        slots.filter(move |id| id.0 < wanted)
    }

    /// The first of the `wanted` slots that has no ready worker.
    pub fn first_unready(&self, wanted: u32) -> Option<SlotId> {
        let ready = self.tally.ready.iter().zip(0..).find(|(id, number)| id.0 != *number);
        let first = ready.map_or(self.tally.ready.len() as u32, |(_, number)| number);
        (first < wanted.min(self.size())).then_some(SlotId(first))
    }

    /// The first of the `wanted` slots whose workers fail while none there is ready.
    pub fn first_failing(&self, wanted: u32) -> Option<(SlotId, &Slot)> {
        let id = self.tally.failing.range(..SlotId(wanted)).next()?;
        Some((*id, self.slot(*id)?))
    }

    /// Every wanted slot has had one complete attempt.
    pub fn all_attempted(&self, wanted: u32) -> bool {
        self.tally.unattempted.range(..SlotId(wanted)).next().is_none()
    }

    /// Ready workers, of which there may be two in one slot for a moment.
    pub fn ready_workers(&self) -> u32 {
        self.tally.ready_of.values().sum()
    }

    /// Ready workers of this generation.
    pub fn ready_of(&self, generation: Generation) -> u32 {
        self.tally.ready_of.get(&generation).copied().unwrap_or(0)
    }

    /// A ready worker is of another generation.
    pub fn has_ready_of_others(&self, generation: Generation) -> bool {
        self.tally.ready_of.keys().any(|other| *other != generation)
    }

    /// Slots with a starting worker of another generation.
    pub fn starting_of_others(&self, generation: Generation) -> impl Iterator<Item = SlotId> {
        let others = self.tally.starting_of.iter().filter(move |(other, _)| **other != generation);
        others.flat_map(|(_, workers)| workers).filter_map(|id| self.places.get(id).copied())
    }

    /// Slots with an active worker of another generation, in the order of their numbers for each of those.
    pub fn slots_of_others(&self, generation: Generation) -> impl Iterator<Item = SlotId> {
        let others = self.tally.slots_of.iter().filter(move |(other, _)| **other != generation);
        others.flat_map(|(_, slots)| slots.iter().copied())
    }

    /// The first slot from `from` on whose active workers are all of other generations than this.
    pub fn next_outdated(&self, from: SlotId, generation: Generation) -> Option<SlotId> {
        // By the newest generation, slots that are being brought to it are passed over without a look; after a roll-back, a
        // slot may still have one of the right generation beside a newer one.
        let right = self.tally.slots_of.get(&generation);
        let is_outdated = |slot: &&SlotId| right.is_none_or(|right| !right.contains(slot));
        let others = self.tally.newest_of.iter().filter(|(other, _)| **other != generation);
        others.filter_map(|(_, slots)| slots.range(from..).find(is_outdated)).min().copied()
    }

    /// Slots with more than one active worker.
    pub fn crowded(&self) -> impl Iterator<Item = SlotId> {
        self.tally.crowded.iter().copied()
    }

    /// Slots with an active worker that was asked to stop.
    pub fn unwanted(&self) -> impl Iterator<Item = SlotId> {
        self.tally.unwanted.iter().copied()
    }

    /// Slots with a ready worker that is worn.
    pub fn worn(&self) -> impl Iterator<Item = SlotId> {
        self.tally.worn.iter().copied()
    }

    /// Whether an active worker, or a ready one, has this queue for itself.
    pub fn active_has(&self, queue: QueueId) -> bool {
        self.tally.holders.get(&queue).is_some_and(|holders| holders.active > 0)
    }

    /// How many ready workers have this queue for themselves.
    pub fn ready_with(&self, queue: QueueId) -> u32 {
        self.tally.holders.get(&queue).map_or(0, |holders| holders.ready)
    }

    /// Queues that some ready worker has for itself.
    pub fn served_queues(&self) -> impl Iterator<Item = QueueId> {
        let served = self.tally.holders.iter().filter(|(_, holders)| holders.ready > 0);
        served.map(|(queue, _)| *queue)
    }

    /// Slots that something has changed in since the last event was handled.
    pub fn changed(&self) -> impl Iterator<Item = SlotId> {
        self.tally.changed.iter().copied()
    }

    /// When a worker needs something at the latest.
    pub fn deadline(&self) -> Option<Time> {
        self.tally.deadlines.first().map(|(time, _)| *time)
    }

    /// Workers that need something by now.
    pub fn due(&self, now: Time) -> Vec<WorkerId> {
        let due = self.tally.deadlines.iter().take_while(|(time, _)| *time <= now);
        due.map(|(_, id)| *id).collect()
    }

    /// When slots that wait for their next try may have it, after a time, the soonest first.
    pub fn tries_after(&self, time: Time) -> impl Iterator<Item = (Time, SlotId)> {
        let after = (Bound::Excluded((time, SlotId(u32::MAX))), Bound::Unbounded);
        self.tally.tries.range(after).copied()
    }
}

/// Changes of slots, by those that decide.
impl Fleet {
    /// Changes a slot, and counts what that has changed.
    fn edit_slot<T>(&mut self, id: SlotId, change: impl FnOnce(&mut Slot) -> T) -> Option<T> {
        let slot = self.slots.get_mut(id.index())?;
        let result = change(slot);
        self.tally.update(id, slot, None);
        Some(result)
    }

    /// Changes a worker, and counts what that has changed. The worker's state and history have functions of their own
    /// in `life`; this is for the parts of a worker that belong to others.
    pub fn edit<T>(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        let place = *self.places.get(&id)?;
        let slot = self.slots.get_mut(place.index())?;
        let worker = slot.workers.iter_mut().find(|worker| worker.id() == id)?;
        let result = change(worker);
        self.tally.update(place, slot, Some(id));
        Some(result)
    }

    /// Slots that something has changed in since this was last called.
    pub fn take_unsettled(&mut self) -> BTreeSet<SlotId> {
        core::mem::take(&mut self.tally.unsettled)
    }

    /// Other settings count from now on: every slot is to be looked at again.
    pub fn all_changed(&mut self) {
        self.tally.changed.extend((0..self.slots.len() as u32).map(SlotId));
    }

    /// Begins a new event: nothing has changed in it yet.
    pub fn begin_event(&mut self) {
        self.tally.changed.clear();
    }

    /// Has as many slots as asked for, but keeps those that still have a worker.
    pub fn resize(&mut self, slots: usize) {
        let used = self.slots.iter().rposition(|slot| !slot.workers.is_empty());
        let size = used.map_or(0, |used| used + 1).max(slots);
        for index in size..self.slots.len() {
            self.tally.remove_slot(SlotId(index as u32));
        }
        self.slots.truncate(size);
        for index in self.slots.len()..size {
            self.slots.push(Slot::default());
            self.tally.add_slot(SlotId(index as u32), &self.slots[index]);
        }
    }

    /// Puts a new worker into a slot. Returns its id, and whether it takes the place of one that had ended of its own
    /// accord.
    pub fn take_in(
        &mut self,
        slot: SlotId,
        spec: Rc<Spec>,
        queues: Vec<QueueId>,
        now: Time,
    ) -> (WorkerId, bool) {
        self.last_worker += 1;
        let id = WorkerId(self.last_worker);
        let worker = Worker::new(id, spec, queues, now);
        let respawn = self.slots[slot.index()].take_in(worker);
        self.places.insert(id, slot);
        self.tally.update(slot, &self.slots[slot.index()], Some(id));
        (id, respawn)
    }

    /// Forgets a worker of which nothing is left.
    fn forget(&mut self, id: WorkerId) {
        let Some(place) = self.places.remove(&id) else { return };
        let slot = &mut self.slots[place.index()];
        if let Some(at) = slot.workers.iter().position(|worker| worker.id() == id) {
            let worker = slot.workers.remove(at);
            self.tally.remove_worker(place, slot, &worker);
        }
    }

    /// A worn worker of the slot is about to be replaced.
    pub fn renew(&mut self, slot: SlotId, now: Time) {
        self.edit_slot(slot, |slot| slot.renew(now));
    }

    /// A worker of the slot was too heavy. Returns how many in a row were so soon.
    pub fn too_heavy(&mut self, slot: SlotId, soon: bool) -> u32 {
        let count = self.edit_slot(slot, |slot| {
            slot.too_heavy(soon);
            slot.too_heavy_soon()
        });
        count.unwrap_or(0)
    }

    /// While no worker serves, no slot waits for longer than until then.
    pub fn try_by(&mut self, latest: Time) {
        let later: Vec<SlotId> = self.tries_after(latest).map(|(_, slot)| slot).collect();
        for slot in later {
            self.edit_slot(slot, |slot| slot.try_by(latest));
        }
    }

    /// No proved worker is ready any more: failures are counted from here on.
    pub fn trouble_begins(&mut self) {
        self.slots.iter_mut().for_each(Slot::trouble_begins);
    }

    /// New settings deserve a fresh try in every slot; with `attempted` false also before READY=1.
    pub fn try_afresh(&mut self, now: Time, forget_attempts: bool) {
        for index in 0..self.size() {
            self.edit_slot(SlotId(index), |slot| {
                slot.try_afresh(now);
                if forget_attempts {
                    slot.attempted(false);
                }
            });
        }
    }

    /// A worker of this slot has failed. Returns how many have in a row, and the wait before the next try.
    pub fn back_off(&mut self, slot: SlotId, now: Time, chance: f64) -> (u32, crate::time::Span) {
        let failed = self.edit_slot(slot, |slot| {
            let wait = slot.failed(now, chance);
            (slot.failures(), wait)
        });
        failed.unwrap_or_default()
    }

    /// An operator has asked that this worker stops.
    pub fn set_unwanted(&mut self, id: WorkerId) {
        self.edit(id, Worker::note_unwanted);
    }

    /// The rules of a generation are others from now on. Returns its ready workers.
    pub fn adjust(&mut self, spec: &Rc<Spec>, now: Time) -> Vec<WorkerId> {
        let of_it = |worker: &Worker| worker.generation() == spec.generation;
        let ids: Vec<WorkerId> = self
            .workers()
            .filter(|(_, worker)| of_it(worker))
            .map(|(_, worker)| worker.id())
            .collect();
        for id in &ids {
            self.edit(*id, |worker| worker.adjust(Rc::clone(spec), now));
        }
        ids.into_iter()
            .filter(|id| self.worker(*id).is_some_and(|(_, worker)| worker.is_ready()))
            .collect()
    }

    /// herder was stopped, perhaps with its workers.
    pub fn excuse_watchdogs(&mut self, now: Time) {
        let ids: Vec<WorkerId> = self.places.keys().copied().collect();
        for id in ids {
            self.edit(id, |worker| worker.watchdog.excuse(now));
        }
    }
}
