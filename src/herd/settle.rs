//! Step 3: what is wanted, compared with what is there; the difference, ordered.
//!
//! The order of the steps is the order of claims: what must go, then the canary, then slots
//! without a worker (they need no budget), then workers to be replaced (they do).

use super::rollout::{Phase, Rollout};
use super::slot::Slot;
use super::worker::{Spec, Worker};
use super::{Action, Generation, Herd, SlotId, Time, WorkerId};
use std::collections::BTreeSet;
use std::rc::Rc;

impl Herd {
    pub(super) fn settle(&mut self) {
        if self.ending.is_some() {
            return self.settle_ending();
        }
        self.forget_called();
        self.make_room();
        self.raise_peak();
        self.dismiss();
        self.try_canary();
        self.fill();
        self.replace();
        self.recycle();
    }

    /// As many slots as are wanted, or still have a worker. (Slot 0 is always there, for the canary
    /// of a herd that wants nobody.)
    pub(super) fn make_room(&mut self) {
        let used = self.slots.iter().rposition(|slot| !slot.workers.is_empty());
        let used = used.map_or(1, |used| used + 1);
        let used = self.called().map(|slot| slot.0 as usize + 1).fold(used, usize::max);
        self.slots.resize_with(used.max(self.wanted() as usize), Slot::default);
    }

    /// Workers that are there from a time when more were wanted are allowed for until they have left.
    fn raise_peak(&mut self) {
        let before = self.rollout.as_ref().map_or(0, |rollout| rollout.wanted_before);
        let wanted = self.wanted();
        let surplus = self.slots.iter().skip(wanted as usize);
        let stand_ins: u32 = surplus.map(|slot| u32::from(slot.has_ready())).sum();
        let peak = before.max(wanted + stand_ins).max(wanted + self.called_and_there());
        let leaving = self.count(Worker::is_leaving) > 0;
        self.peak = if leaving { self.peak.max(peak) } else { peak };
    }

    /// Slots that are not wanted, and have the worker they were called to have.
    fn called_and_there(&self) -> u32 {
        let called = self.called().filter_map(|slot| self.slots.get(slot.0 as usize));
        called.map(|slot| u32::from(!slot.is_empty())).sum()
    }

    /// The settings a slot is to have.
    pub(super) fn spec(&self) -> Rc<Spec> {
        let forward = self.rollout.as_ref().filter(|rollout| rollout.is_forward());
        Rc::clone(forward.map_or(&self.good, |rollout| &rollout.to))
    }

    /// Drains what no slot needs: surplus slots, doubles, unready workers of other settings, and
    /// whom somebody wants to stop.
    fn dismiss(&mut self) {
        let generation = self.spec().generation;
        let kept_slots = self.kept_slots(generation);
        let held = if self.holds_old_workers(generation) { self.wanted() } else { 0 };
        let canary = self.rollout.as_ref().and_then(Rollout::canary);
        let mut dismissed = Vec::new();
        for (slot, id) in self.slots.iter().zip((0..).map(SlotId)) {
            let keepers = match id.0 < kept_slots {
                true => keepers(slot, generation, canary, self.worn(id)),
                false if self.is_called(id) => keepers(slot, generation, canary, None),
                false => vec![],
            };
            let others = slot.active().filter(|worker| {
                let kept = Some(worker.id) == canary || keepers.contains(&worker.id);
                worker.unwanted || !(kept || id.0 < held && worker.is_ready())
            });
            dismissed.extend(others.map(|worker| (id, worker.id, worker.is_ready())));
        }
        let held_back = self.hold_back(&dismissed);
        dismissed.retain(|(_, worker, _)| !held_back.contains(worker));
        for (slot, worker, ready) in dismissed {
            if ready {
                self.touch(slot);
            }
            self.drain_unless_spawning(worker);
        }
    }

    /// Slots that keep their worker for now. A surplus one goes only when it is not needed: while a
    /// reload goes forward, or a wanted slot is without a ready worker, it serves in its place.
    fn kept_slots(&self, generation: Generation) -> u32 {
        let wanted = self.wanted();
        let lacking = wanted - self.ready();
        let surplus = self.slots.iter().zip(0..).skip(wanted as usize);
        let stand_ins = surplus.filter(|(slot, _)| slot.has_ready()).take(lacking as usize);
        let needed = stand_ins.map(|(_, number)| number + 1).last().unwrap_or(wanted);
        let Some(rollout) = self.rollout.as_ref().filter(|rollout| rollout.is_forward()) else {
            return needed;
        };
        if self.all_slots_have(generation) { needed } else { needed.max(rollout.wanted_before) }
    }

    /// With a surge as large as the herd nothing is replaced before everything new is ready.
    fn holds_old_workers(&self, generation: Generation) -> bool {
        let wanted = self.wanted();
        let rolling = self.rollout.as_ref().is_some_and(|rollout| rollout.phase == Phase::Rolling);
        rolling && self.rules().surge(wanted) >= wanted && !self.all_slots_have(generation)
    }

    /// Every wanted slot has a ready worker of this generation.
    fn all_slots_have(&self, generation: Generation) -> bool {
        self.wanted_slots().iter().all(|slot| {
            slot.active().any(|worker| worker.is_ready() && worker.generation() == generation)
        })
    }

    /// A worker the shell has not answered for yet is dealt with when it has.
    fn drain_unless_spawning(&mut self, id: WorkerId) {
        let spawning =
            self.find(id).is_some_and(|(_, worker)| worker.state == super::State::Spawning);
        if !spawning {
            self.drain(id);
        }
    }

    /// A serving worker of this slot was given up for a reload.
    fn touch(&mut self, slot: SlotId) {
        if let Some(rollout) = &mut self.rollout {
            rollout.touched.insert(slot);
        }
    }

    /// Starts the first worker of new settings, in a slot that has none if there is one.
    fn try_canary(&mut self) {
        let Some(Phase::Canary { worker: None }) = self.rollout.as_ref().map(|r| &r.phase) else {
            return;
        };
        let wanted = self.wanted();
        let empty = self.wanted_slots().iter().position(Slot::is_empty);
        let slot = match empty {
            Some(slot) => slot,
            None if self.active() < wanted + self.rules().surge(wanted) => 0,
            None => match self.slot_to_clear() {
                Some(slot) => {
                    self.clear(slot);
                    slot.0 as usize
                }
                None => return,
            },
        };
        if !self.may_start() {
            return;
        }
        let Some(rollout) = &self.rollout else { return };
        let to = Rc::clone(&rollout.to);
        let id = self.spawn(SlotId(slot as u32), to);
        if let Some(rollout) = &mut self.rollout {
            rollout.phase = Phase::Canary { worker: Some(id) };
        }
    }

    /// A slot whose worker may go before its replacement is there.
    fn slot_to_clear(&self) -> Option<SlotId> {
        let unready = self.wanted_slots().iter().position(|slot| !slot.has_ready());
        let slot = unready.or_else(|| self.may_miss_one().then_some(0))?;
        Some(SlotId(slot as u32))
    }

    /// Whether `max-unavailable` allows one ready worker fewer.
    fn may_miss_one(&self) -> bool {
        let wanted = self.wanted();
        self.ready() > wanted.saturating_sub(self.rules().unavailable(wanted))
    }

    fn clear(&mut self, slot: SlotId) {
        let active: Vec<(WorkerId, bool)> =
            self.slot(slot).active().map(|worker| (worker.id, worker.is_ready())).collect();
        for (worker, ready) in active {
            if ready {
                self.touch(slot);
            }
            self.drain_unless_spawning(worker);
        }
    }

    /// Gives every wanted slot without a worker one, as back-off and limits allow.
    fn fill(&mut self) {
        let spec = self.spec();
        let canary = self.rollout.as_ref().and_then(Rollout::canary);
        let wanted = self.wanted();
        let budget = wanted + self.rules().surge(wanted);
        // The slot that only has the canary comes after all empty ones, which need no budget: it gets a worker
        // only if the surge has room for it when they are filled. Slots with leaving workers come last of the
        // empty ones: a worker that takes its time to retire must not take the place of others, again and again.
        let mut order: Vec<SlotId> = (0..wanted).map(SlotId).collect();
        order.sort_by_key(|id| {
            let slot = &self.slots[id.0 as usize];
            (!slot.is_empty(), slot.workers.len())
        });
        order.extend(self.called());
        for id in order {
            let now = self.now;
            let slot = self.slot(id);
            let lacking = slot.active().all(|worker| Some(worker.id) == canary);
            let empty = slot.is_empty();
            if !lacking || slot.not_before > now {
                continue;
            }
            // A slot that only has the canary gets its worker back within the surge.
            if !empty && self.active() >= budget {
                continue;
            }
            // Whoever is called comes on top; the place is nobody else's.
            if id.0 >= wanted {
                self.peak = self.peak.max(wanted + self.called_and_there() + 1);
            }
            if !self.may_start() {
                break;
            }
            self.spawn(id, Rc::clone(&spec));
        }
    }

    /// Replaces workers of other settings, within the surge and what may be missing.
    fn replace(&mut self) {
        let (skipped, may_clear) = match self.rollout.as_ref().map(|rollout| &rollout.phase) {
            Some(Phase::Checking { .. } | Phase::Canary { .. }) => return,
            Some(Phase::Rolling | Phase::Replacing) => (BTreeSet::new(), true),
            Some(Phase::RollingBack { failed, .. }) => (failed.clone(), true),
            // What a roll-back could not restore is tried again, as any slot that fails; but whoever
            // serves there serves until it works, unless there never is room for another beside.
            None => (BTreeSet::new(), self.rules().most_processes(self.wanted()) <= self.wanted()),
        };
        let spec = self.spec();
        let wanted = self.wanted();
        // Who may not be told to leave first needs room for another beside.
        let budget = wanted + self.rules().surge(wanted).max(u32::from(!may_clear));
        for id in (0..wanted).map(SlotId).filter(|id| !skipped.contains(id)) {
            let now = self.now;
            let slot = self.slot(id);
            let outdated = slot.active().all(|w| w.generation() != spec.generation);
            if !outdated || slot.is_empty() || slot.not_before > now {
                continue;
            }
            if self.active() >= budget {
                if !may_clear || !self.may_miss_one() || !self.fewer_starting_than_allowed() {
                    continue;
                }
                self.clear(id);
            }
            if self.may_start() {
                self.spawn(id, Rc::clone(&spec));
            }
        }
    }

    /// Starts the replacement of a worker that serves and is worn, or to be replaced on request: one at a
    /// time, one more than wanted.
    fn recycle(&mut self) {
        let Some(id) = self.next_to_recycle() else { return };
        if self.active() <= self.wanted() && self.may_start() {
            let (spec, now) = (self.spec(), self.now);
            self.slot(id).renewed_at = now;
            self.spawn(id, spec);
        }
    }

    /// Active workers in wanted slots: what the surge is counted against.
    fn active(&self) -> u32 {
        let in_slot = |slot: &Slot| slot.active().map(|_| 1).sum::<u32>();
        // The canary of a herd that wants nobody stands in a slot that is not wanted.
        let slots = if self.wanted() == 0 { &self.slots[..] } else { self.wanted_slots() };
        slots.iter().map(in_slot).sum()
    }

    fn fewer_starting_than_allowed(&self) -> bool {
        let starting = self.count(Worker::is_starting);
        self.rules().max_starting.is_none_or(|most| starting < most)
    }

    /// Whether one more process is within every bound.
    fn may_start(&self) -> bool {
        let most = self.rules().most_processes_since(self.wanted(), self.peak);
        self.fewer_starting_than_allowed() && self.count(Worker::has_process) < most
    }

    fn spawn(&mut self, slot: SlotId, spec: Rc<Spec>) -> WorkerId {
        self.last_worker = WorkerId(self.last_worker.0 + 1);
        let (id, now, generation) = (self.last_worker, self.now, spec.generation);
        let place = self.slot(slot);
        let respawn = u64::from(std::mem::take(&mut place.vacated));
        place.respawns += respawn;
        self.counters.respawns += respawn;
        let queues = self.share(slot, &spec);
        let place = self.slot(slot);
        place.workers.push(Worker::new(id, spec, queues.clone(), now));
        self.order(Action::Spawn { worker: id, slot, generation, queues });
        id
    }

    /// When a slot that is waiting for its next try may have it.
    pub(super) fn next_try(&self) -> Option<Time> {
        if self.ending.is_some() {
            return None;
        }
        let called = self.called().filter_map(|slot| self.slots.get(slot.0 as usize));
        let times = self.wanted_slots().iter().chain(called).map(|slot| slot.not_before);
        times.filter(|&time| time > self.handled).min()
    }
}

/// The workers a slot keeps: a ready one of the right settings (the newest) and no other; until there
/// is one, whichever serves, and the one that is to follow it. A worn worker is one that serves until
/// it is followed, and who follows it may be ready already, on trial.
fn keepers(
    slot: &Slot,
    right: Generation,
    canary: Option<WorkerId>,
    worn: Option<WorkerId>,
) -> Vec<WorkerId> {
    let others = || slot.active().filter(|w| Some(w.id) != canary && !w.unwanted);
    let is_worn = |worker: &&Worker| worn.is_some_and(|old| worker.id <= old);
    let is_right = |worker: &&Worker| worker.generation() == right && !is_worn(worker);
    let serving = others().find(|worker| worker.is_ready());
    if !serving.as_ref().is_some_and(is_worn)
        && let Some(worker) = others().filter(is_right).filter(|worker| worker.is_ready()).last()
    {
        return vec![worker.id];
    }
    let following = others().find(is_right);
    serving.into_iter().chain(following).map(|worker| worker.id).collect()
}
