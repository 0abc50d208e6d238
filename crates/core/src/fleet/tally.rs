//! Sums and indexes over all workers and slots, kept up to date with every change, so that no question about the fleet
//! costs a walk over it: with 10,000 workers a walk at every event would cost more than the event.
//!
//! Each worker and each slot remembers what was counted of it ([`Counted`], [`CountedSlot`]); after a change the
//! difference is applied. Questions about *wanted* slots, which are a prefix, subtract the surplus: there are few of
//! those, and only while the fleet shrinks.

use super::slot::Slot;
use super::worker::Worker;
use crate::ids::{Generation, QueueId, SlotId, WorkerId};
use crate::time::Time;
use alloc::collections::{BTreeMap, BTreeSet};

/// What is counted of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    starting: bool,
    ready: bool,
    leaving: bool,
    process: bool,
    proved: bool,
    unwanted: bool,
    extended: bool,
    generation: Option<Generation>,
    deadline: Option<Time>,
    proof: Option<Time>,
}

impl Counted {
    fn of(worker: &Worker) -> Counted {
        let facts = worker.facts();
        Counted {
            starting: facts.starting,
            ready: facts.serves,
            leaving: facts.leaving,
            process: facts.has_process(),
            proved: facts.serves && worker.is_proved(),
            unwanted: facts.active() && worker.is_unwanted(),
            extended: worker.state().start().is_some_and(|start| start.extended),
            generation: Some(worker.generation()),
            deadline: worker.deadline(),
            proof: worker.proof_at(),
        }
    }

    fn active(self) -> bool {
        self.starting || self.ready
    }
}

/// What is counted of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CountedSlot {
    workers: u32,
    active: u32,
    ready: bool,
    unwanted: bool,
    worn: bool,
    failing: bool,
    unattempted: bool,
    /// The newest generation of its active workers.
    newest: Option<Generation>,
    not_before: Time,
}

impl CountedSlot {
    fn of(slot: &Slot) -> CountedSlot {
        let count = |what: &dyn Fn(&Worker) -> bool| -> u32 {
            slot.workers().iter().map(|worker| u32::from(what(worker))).sum()
        };
        CountedSlot {
            workers: count(&|_| true),
            active: count(&|worker| worker.facts().active()),
            ready: slot.has_ready(),
            unwanted: count(&|worker| worker.facts().active() && worker.is_unwanted()) > 0,
            worn: count(&|worker| worker.is_ready() && worker.wear.worn().is_some()) > 0,
            failing: slot.is_failing(),
            unattempted: !slot.is_attempted(),
            newest: slot.active().map(Worker::generation).max(),
            not_before: slot.not_before(),
        }
    }
}

/// Sums over all workers, and sets of the slots and workers that something has to be done about.
#[derive(Debug, Default)]
pub(super) struct Tally {
    workers: BTreeMap<WorkerId, Counted>,
    slots: BTreeMap<SlotId, CountedSlot>,
    pub starting: u32,
    /// Starting workers by generation.
    pub starting_of: BTreeMap<Generation, BTreeSet<WorkerId>>,
    pub leaving: u32,
    pub processes: u32,
    pub active: u32,
    pub proved: u32,
    /// Starting workers that have asked for more time.
    pub extended: BTreeSet<WorkerId>,
    /// Ready workers by generation.
    pub ready_of: BTreeMap<Generation, u32>,
    /// Slots by the generations of their active workers.
    pub slots_of: BTreeMap<Generation, BTreeSet<SlotId>>,
    /// Slots by the newest generation of their active workers.
    pub newest_of: BTreeMap<Generation, BTreeSet<SlotId>>,
    pub deadlines: BTreeSet<(Time, WorkerId)>,
    /// When ready workers will have been ready for `min-lifetime`.
    pub proofs: BTreeSet<(Time, WorkerId)>,
    /// How many active workers have a queue, and how many ready ones, where workers have queues of their own.
    pub holders: BTreeMap<QueueId, Holders>,
    /// Slots without an active worker, those with the fewest other workers first.
    pub empty: BTreeSet<(u32, SlotId)>,
    /// Slots with an active worker.
    pub manned: BTreeSet<SlotId>,
    /// Slots with more than one active worker.
    pub crowded: BTreeSet<SlotId>,
    pub ready: BTreeSet<SlotId>,
    /// Slots with an active worker that was asked to stop.
    pub unwanted: BTreeSet<SlotId>,
    /// Slots with a ready worker that is worn.
    pub worn: BTreeSet<SlotId>,
    pub failing: BTreeSet<SlotId>,
    pub unattempted: BTreeSet<SlotId>,
    /// When slots may have their next try.
    pub tries: BTreeSet<(Time, SlotId)>,
    /// Slots that something has changed in since this was emptied.
    pub changed: BTreeSet<SlotId>,
    /// The same, for another reader.
    pub unsettled: BTreeSet<SlotId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holders {
    pub active: u32,
    pub ready: u32,
}

impl Tally {
    /// Applies what has changed in a slot and in one of its workers.
    pub fn update(&mut self, id: SlotId, slot: &Slot, worker: Option<WorkerId>) {
        if let Some(changed) = worker {
            let there = slot.workers().iter().find(|worker| worker.id() == changed);
            self.update_worker(id, slot, changed, there);
        }
        self.update_slot(id, Some(CountedSlot::of(slot)));
        self.changed.insert(id);
        self.unsettled.insert(id);
    }

    /// A slot is there that was not, or is no longer there.
    pub fn add_slot(&mut self, id: SlotId, slot: &Slot) {
        self.update_slot(id, Some(CountedSlot::of(slot)));
    }

    pub fn remove_slot(&mut self, id: SlotId) {
        self.update_slot(id, None);
    }

    /// A worker has left its slot for good.
    pub fn remove_worker(&mut self, id: SlotId, slot: &Slot, worker: &Worker) {
        self.count_queues(worker, self.counted(worker.id()), Counted::default());
        self.update_worker(id, slot, worker.id(), None);
        self.workers.remove(&worker.id());
        self.update_slot(id, Some(CountedSlot::of(slot)));
        self.changed.insert(id);
        self.unsettled.insert(id);
    }

    fn counted(&self, worker: WorkerId) -> Counted {
        self.workers.get(&worker).copied().unwrap_or_default()
    }

    fn update_worker(&mut self, id: SlotId, slot: &Slot, worker: WorkerId, there: Option<&Worker>) {
        let before = self.counted(worker);
        let after = there.map(Counted::of).unwrap_or_default();
        if before == after {
            return;
        }
        self.workers.insert(worker, after);
        if let Some(there) = there {
            self.count_queues(there, before, after);
        }
        let differ = |what: fn(&Counted) -> bool| (what(&before), what(&after));
        add(&mut self.starting, differ(|counted| counted.starting));
        set(&mut self.extended, worker, differ(|counted| counted.extended));
        add(&mut self.leaving, differ(|counted| counted.leaving));
        add(&mut self.processes, differ(|counted| counted.process));
        add(&mut self.active, differ(|counted| counted.active()));
        add(&mut self.proved, differ(|counted| counted.proved));
        move_time(&mut self.deadlines, worker, before.deadline, after.deadline);
        move_time(&mut self.proofs, worker, before.proof, after.proof);
        for counted in [before, after] {
            let Some(generation) = counted.generation else { continue };
            let starting = self.starting_of.entry(generation).or_default();
            let starts = after.starting && after.generation == Some(generation);
            if starts {
                starting.insert(worker)
            } else {
                starting.remove(&worker)
            };
            if starting.is_empty() {
                self.starting_of.remove(&generation);
            }
        }
        for (generation, ready) in [(before.generation, -1), (after.generation, 1)] {
            let counted = if ready < 0 { before } else { after };
            let Some(generation) = generation.filter(|_| counted.ready) else { continue };
            let count = self.ready_of.entry(generation).or_default();
            *count = count.wrapping_add_signed(ready);
            if *count == 0 {
                self.ready_of.remove(&generation);
            }
        }
        if (before.active(), before.generation) != (after.active(), after.generation) {
            for generation in [before.generation, after.generation].into_iter().flatten() {
                let has = slot.active().any(|worker| worker.generation() == generation);
                let slots = self.slots_of.entry(generation).or_default();
                if has {
                    slots.insert(id)
                } else {
                    slots.remove(&id)
                };
                if slots.is_empty() {
                    self.slots_of.remove(&generation);
                }
            }
        }
    }

    fn count_queues(&mut self, worker: &Worker, before: Counted, after: Counted) {
        let differ = |what: fn(&Counted) -> bool| (what(&before), what(&after));
        for queue in worker.queues() {
            let holders = self.holders.entry(*queue).or_default();
            add(&mut holders.active, differ(|counted| counted.active()));
            add(&mut holders.ready, differ(|counted| counted.ready));
            if *holders == Holders::default() {
                self.holders.remove(queue);
            }
        }
    }

    fn update_slot(&mut self, id: SlotId, after: Option<CountedSlot>) {
        let before = self.slots.get(&id).copied();
        if before == after {
            return;
        }
        match after {
            Some(after) => self.slots.insert(id, after),
            None => self.slots.remove(&id),
        };
        let differ = |what: fn(&CountedSlot) -> bool| {
            (before.as_ref().is_some_and(what), after.as_ref().is_some_and(what))
        };
        set(&mut self.manned, id, differ(|slot| slot.active > 0));
        set(&mut self.crowded, id, differ(|slot| slot.active > 1));
        set(&mut self.ready, id, differ(|slot| slot.ready));
        set(&mut self.unwanted, id, differ(|slot| slot.unwanted));
        set(&mut self.worn, id, differ(|slot| slot.worn));
        set(&mut self.failing, id, differ(|slot| slot.failing));
        set(&mut self.unattempted, id, differ(|slot| slot.unattempted));
        let empty = |slot: CountedSlot| (slot.active == 0).then_some(slot.workers);
        let (was, is) = (before.and_then(empty), after.and_then(empty));
        if was != is {
            was.map(|workers| self.empty.remove(&(workers, id)));
            is.map(|workers| self.empty.insert((workers, id)));
        }
        let (was, is) = (before.and_then(|slot| slot.newest), after.and_then(|slot| slot.newest));
        if was != is {
            if let Some(generation) = was {
                let slots = self.newest_of.entry(generation).or_default();
                slots.remove(&id);
                if slots.is_empty() {
                    self.newest_of.remove(&generation);
                }
            }
            is.map(|generation| self.newest_of.entry(generation).or_default().insert(id));
        }
        let next = |slot: CountedSlot| Some(slot.not_before).filter(|&time| time > Time(0));
        let (was, is) = (before.and_then(next), after.and_then(next));
        if was != is {
            was.map(|time| self.tries.remove(&(time, id)));
            is.map(|time| self.tries.insert((time, id)));
        }
    }
}

fn set<T: Ord>(set: &mut BTreeSet<T>, item: T, (before, after): (bool, bool)) {
    match (before, after) {
        (false, true) => {
            set.insert(item);
        }
        (true, false) => {
            set.remove(&item);
        }
        (true, true) | (false, false) => {}
    }
}

fn add(sum: &mut u32, (before, after): (bool, bool)) {
    *sum = *sum + u32::from(after) - u32::from(before);
}

fn move_time(
    times: &mut BTreeSet<(Time, WorkerId)>,
    worker: WorkerId,
    before: Option<Time>,
    after: Option<Time>,
) {
    if before != after {
        before.map(|time| times.remove(&(time, worker)));
        after.map(|time| times.insert((time, worker)));
    }
}
