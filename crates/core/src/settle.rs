//! What is wanted, compared with what is there: the one place where workers are started, and where serving workers are
//! told to stop because they are not needed.
//!
//! The steps stand in the order of their claims on the bounds: what must go, then the first worker of new settings, then
//! slots without a worker (they need no surge), then workers to be replaced (they do).

use crate::action::Action;
use crate::fleet::{Fleet, Slot, Worker};
use crate::ids::{Generation, SlotId, WorkerId};
use crate::policies::Policies;
use crate::policy::Spec;
use crate::queues::{Dismissed, Queues, share_of};
use crate::recycle::{Recycler, replaced_up_to};
use crate::reload::{Phase, Reload};
use crate::requests::Requests;
use crate::time::Time;
use crate::turn::Turn;
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;

/// All that a decision about workers depends on, for one turn.
pub(crate) struct Settle<'a> {
    pub fleet: &'a mut Fleet,
    pub policies: &'a Policies,
    pub reload: &'a mut Reload,
    pub requests: &'a Requests,
    pub recycler: &'a Recycler,
    pub queues: &'a mut Queues,
    pub memory: &'a mut Memory,
    pub turn: &'a mut Turn,
}

/// What is remembered from one turn to the next.
#[derive(Debug)]
pub(crate) struct Memory {
    /// The most slots that were wanted since a worker last left; draining workers come on top.
    peak: u32,
    /// By what it was last decided which workers are needed.
    situation: Option<Situation>,
}

/// What decides, beside a slot itself, which of its workers it needs. As long as it stays the same during a reload, only slots
/// that have changed are looked at: with a large surge thousands of slots have two workers at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Situation {
    generation: Generation,
    kept_slots: u32,
    holds_old: bool,
    canary: Option<WorkerId>,
    reloading: bool,
}

/// A worker to be started in a slot that has one of other settings, or a worn one.
struct Replacement {
    slot: SlotId,
    /// Active workers there may be in wanted slots before this one is started.
    below: u32,
    /// The old worker may be told to stop first, where there is no room for the new one beside it.
    may_clear: bool,
}

impl Memory {
    pub fn new(wanted: u32) -> Memory {
        Memory { peak: wanted, situation: None }
    }
}

impl Settle<'_> {
    pub fn settle(mut self) {
        self.queues.forget_called(self.fleet, self.policies);
        self.make_room();
        self.raise_peak();
        self.dismiss();
        self.try_canary();
        self.fill();
        self.replace_outdated();
        self.replace_worn();
    }

    /// As many slots as are wanted, or called, or still have a worker. (Slot 0 is always there, for the canary of an
    /// instance that wants no worker.)
    pub fn make_room(&mut self) {
        let called = self.queues.called(self.policies).map(|slot| slot.index() + 1).max();
        let wanted = self.policies.wanted() as usize;
        self.fleet.resize(wanted.max(1).max(called.unwrap_or(0)));
    }

    /// Workers that are there from a time when more were wanted are allowed for until they have left.
    fn raise_peak(&mut self) {
        let wanted = self.policies.wanted();
        let stand_ins = self.fleet.ready_surplus(wanted).count() as u32;
        let called = self.called_and_there();
        let peak = self.reload.wanted_before().max(wanted + stand_ins).max(wanted + called);
        self.memory.peak = if self.fleet.leaving() > 0 { self.memory.peak.max(peak) } else { peak };
    }

    /// Slots that are not wanted, and have the worker they were called to have.
    fn called_and_there(&self) -> u32 {
        let called = self.queues.called(self.policies);
        called.filter(|slot| self.fleet.is_manned(*slot)).count() as u32
    }

    /// Drains what no slot needs: workers in surplus slots, doubles, unready workers of other settings, and workers that
    /// an operator wants to stop.
    fn dismiss(&mut self) {
        let generation = self.policies.for_slots().generation;
        let kept_slots = self.kept_slots(generation);
        let wanted = self.policies.wanted();
        let holds_old = self.holds_old_workers(generation);
        let canary = self.reload.canary();
        let mut dismissed = Vec::new();
        let reloading = self.reload.is_under_way();
        let situation = Situation { generation, kept_slots, holds_old, canary, reloading };
        for id in self.slots_to_look_at(situation) {
            let Some(slot) = self.fleet.slot(id) else { continue };
            let keepers = if id.0 < kept_slots {
                let worn = replaced_up_to(self.fleet, self.policies, self.requests, id);
                keepers(slot, generation, canary, worn)
            } else if self.queues.is_called(id, self.policies) {
                keepers(slot, generation, canary, None)
            } else {
                vec![]
            };
            let held = holds_old && id.0 < wanted;
            let others = slot.active().filter(|worker| {
                let kept = Some(worker.id()) == canary || keepers.contains(&worker.id());
                worker.is_unwanted() || !(kept || held && worker.is_ready())
            });
            dismissed.extend(others.map(|worker| Dismissed {
                slot: id,
                worker: worker.id(),
                ready: worker.is_ready(),
            }));
        }
        let now = self.turn.now();
        let held_back = self.queues.hold_back(&dismissed, self.fleet, self.policies, now);
        for Dismissed { slot, worker, ready } in dismissed {
            if !held_back.contains(&worker) {
                self.drain(slot, worker, ready);
            }
        }
    }

    /// The slots in which a worker may be too many. A slot with one worker that is wanted and serves, or is on its way
    /// with the right settings, is none of them.
    fn slots_to_look_at(&mut self, situation: Situation) -> BTreeSet<SlotId> {
        let same = self.memory.situation.replace(situation) == Some(situation);
        let mut slots = self.fleet.take_unsettled();
        // Outside a reload, requests and wear decide too.
        if !same || !situation.reloading {
            slots.extend(self.fleet.crowded());
            slots.extend(self.fleet.starting_of_others(situation.generation));
        }
        slots.extend(self.fleet.unwanted());
        slots.extend(self.fleet.surplus(self.policies.wanted()).map(|(slot, _)| slot));
        slots
    }

    /// The slots that keep their worker for now. A surplus one goes only when it is not needed: while a reload goes forward,
    /// or a wanted slot is without a ready worker, it serves in its place.
    fn kept_slots(&self, generation: Generation) -> u32 {
        let wanted = self.policies.wanted();
        let lacking = wanted - self.fleet.ready_in(wanted);
        let stand_ins = self.fleet.ready_surplus(wanted).take(lacking as usize);
        let needed = stand_ins.map(|slot| slot.0 + 1).last().unwrap_or(wanted);
        let forward = matches!(self.reload.phase(), Some(Phase::Rolling | Phase::Replacing));
        match forward && !self.all_slots_have(generation) {
            true => needed.max(self.reload.wanted_before()),
            false => needed,
        }
    }

    /// With a surge as large as the number wanted, nothing is replaced before everything new is ready.
    fn holds_old_workers(&self, generation: Generation) -> bool {
        let wanted = self.policies.wanted();
        self.reload.phase() == Some(&Phase::Rolling)
            && self.policies.for_instance().surge(wanted) >= wanted
            && !self.all_slots_have(generation)
    }

    /// Every wanted slot has a ready worker of this generation.
    fn all_slots_have(&self, generation: Generation) -> bool {
        let wanted = self.policies.wanted();
        if self.fleet.ready_of(generation) < wanted || self.fleet.ready_in(wanted) < wanted {
            return false;
        }
        let has = |slot: &Slot| {
            slot.active().any(|worker| worker.is_ready() && worker.generation() == generation)
        };
        self.fleet.slots().take(wanted as usize).all(|(_, slot)| has(slot))
    }

    fn drain(&mut self, slot: SlotId, worker: WorkerId, ready: bool) {
        if ready {
            self.reload.touch(slot);
        }
        self.fleet.drain(worker, self.turn);
    }

    /// Starts the first worker of new settings, in a slot that has none if there is one.
    fn try_canary(&mut self) {
        let canary = self.reload.phase() == Some(&Phase::Canary { worker: None });
        let Some(to) = self.policies.incoming().filter(|_| canary) else { return };
        let wanted = self.policies.wanted();
        let surge = self.policies.for_instance().surge(wanted);
        let slot = match self.fleet.first_empty(wanted) {
            Some(slot) => slot,
            None if self.fleet.active_in(wanted) < wanted + surge => SlotId(0),
            None => {
                // A slot whose worker may go before its replacement is there.
                let unready = self.fleet.first_unready(wanted);
                let Some(slot) = unready.or_else(|| self.may_miss_one().then_some(SlotId(0)))
                else {
                    return;
                };
                self.clear(slot);
                slot
            }
        };
        if self.may_start() {
            let id = self.spawn(slot, to);
            self.reload.canary_started(id);
        }
    }

    /// `max-unavailable` allows one ready worker fewer.
    fn may_miss_one(&self) -> bool {
        let wanted = self.policies.wanted();
        let least = wanted.saturating_sub(self.policies.for_instance().unavailable(wanted));
        self.fleet.ready_in(wanted) > least
    }

    /// Tells the workers of a slot to stop, before there is a replacement.
    fn clear(&mut self, slot: SlotId) {
        let workers = self.fleet.slot(slot).into_iter().flat_map(Slot::active);
        let workers: Vec<(WorkerId, bool)> =
            workers.map(|worker| (worker.id(), worker.is_ready())).collect();
        for (worker, ready) in workers {
            self.drain(slot, worker, ready);
        }
    }

    /// Gives every wanted or called slot without a worker one, as back-off and bounds allow.
    fn fill(&mut self) {
        let wanted = self.policies.wanted();
        if !self.may_start() && self.queues.called(self.policies).next().is_none() {
            return;
        }
        // Slots that still have some process come last: a worker that takes its time to retire must not take the place of
        // others, again and again.
        let mut order: Vec<SlotId> = self.fleet.empty_slots(wanted).collect();
        let canary =
            self.reload.canary().and_then(|id| self.fleet.worker(id)).map(|(slot, _)| slot);
        order.extend(canary.filter(|slot| slot.0 < wanted && self.has_only_the_canary(*slot)));
        order.extend(self.queues.called(self.policies).filter(|slot| !self.fleet.is_manned(*slot)));
        let surge = self.policies.for_instance().surge(wanted);
        for id in order {
            if self.fleet.slot(id).is_none_or(|slot| slot.not_before() > self.turn.now()) {
                continue;
            }
            // A slot that only has the canary gets its worker back within the surge.
            if self.fleet.is_manned(id) && self.fleet.active_in(wanted) >= wanted + surge {
                continue;
            }
            // The worker of a called slot comes on top; until it is started, no other takes its place.
            let on_top = if id.0 >= wanted { wanted + self.called_and_there() + 1 } else { 0 };
            let peak = self.memory.peak.max(on_top);
            if !self.may_start_since(peak) {
                break;
            }
            self.memory.peak = peak;
            self.spawn(id, self.policies.for_slots());
        }
    }

    fn has_only_the_canary(&self, slot: SlotId) -> bool {
        let canary = self.reload.canary();
        let mut active = self.fleet.slot(slot).into_iter().flat_map(Slot::active);
        active.all(|worker| Some(worker.id()) == canary)
    }

    /// Replaces workers of other settings, within the surge and what may be missing.
    fn replace_outdated(&mut self) {
        let wanted = self.policies.wanted();
        let rules = self.policies.for_instance();
        let (skipped, may_clear) = match self.reload.phase() {
            Some(Phase::Checking { .. } | Phase::Canary { .. }) => return,
            Some(Phase::Rolling | Phase::Replacing) => (BTreeSet::new(), true),
            Some(Phase::RollingBack { failed, .. }) => (failed.clone(), true),
            // What a roll-back could not restore is tried again, as any slot that fails; but its worker serves until the
            // new one does, unless there never is room for another beside it.
            None => (BTreeSet::new(), rules.most_processes(wanted) <= wanted),
        };
        // Where the old worker may not be told to stop first, there has to be room for another beside it.
        let below = wanted + rules.surge(wanted).max(u32::from(!may_clear));
        let generation = self.policies.for_slots().generation;
        let mut next = SlotId(0);
        while self.has_budget(below, may_clear) {
            let Some(slot) = self.fleet.next_outdated(next, generation) else { return };
            if slot.0 >= wanted {
                return;
            }
            if !skipped.contains(&slot) {
                self.replace(Replacement { slot, below, may_clear });
            }
            next = SlotId(slot.0 + 1);
        }
    }

    /// One more worker can be started to replace another.
    fn has_budget(&self, below: u32, may_clear: bool) -> bool {
        match self.fleet.active_in(self.policies.wanted()) < below {
            true => self.may_start(),
            false => may_clear && self.may_miss_one() && self.fewer_starting_than_allowed(),
        }
    }

    /// Starts the replacement of a serving worker that is worn, or that an operator wants replaced: one at a time, one more
    /// than wanted.
    fn replace_worn(&mut self) {
        let now = self.turn.now();
        let Some(slot) = self.recycler.next(self.fleet, self.policies, self.requests, now) else {
            return;
        };
        let below = self.policies.wanted() + 1;
        let before = self.fleet.processes();
        self.replace(Replacement { slot, below, may_clear: false });
        if self.fleet.processes() > before {
            self.fleet.renew(slot, now);
        }
    }

    /// Starts a replacement, if the bounds allow it.
    fn replace(&mut self, Replacement { slot, below, may_clear }: Replacement) {
        if self.fleet.slot(slot).is_none_or(|slot| slot.not_before() > self.turn.now()) {
            return;
        }
        if self.fleet.active_in(self.policies.wanted()) >= below {
            if !may_clear || !self.may_miss_one() || !self.fewer_starting_than_allowed() {
                return;
            }
            self.clear(slot);
        }
        if self.may_start() {
            self.spawn(slot, self.policies.for_slots());
        }
    }

    fn fewer_starting_than_allowed(&self) -> bool {
        let most = self.policies.for_instance().max_starting;
        most.is_none_or(|most| self.fleet.starting() < most)
    }

    /// One more process is within every bound.
    fn may_start(&self) -> bool {
        self.may_start_since(self.memory.peak)
    }

    /// The same while workers are left from a time when `peak` slots were wanted.
    fn may_start_since(&self, peak: u32) -> bool {
        let rules = self.policies.for_instance();
        let most = rules.most_processes_since(self.policies.wanted(), peak);
        self.fewer_starting_than_allowed() && self.fleet.processes() < most
    }

    fn spawn(&mut self, slot: SlotId, spec: &Rc<Spec>) -> WorkerId {
        let queues = share_of(self.policies, slot, spec);
        let now = self.turn.now();
        let (worker, respawn) = self.fleet.take_in(slot, Rc::clone(spec), queues.clone(), now);
        if respawn {
            self.turn.respawned();
        }
        let generation = spec.generation;
        self.turn.order(Action::Spawn { worker, slot, generation, queues });
        worker
    }
}

/// When a slot that waits for its next try may have it.
pub(crate) fn next_try(
    fleet: &Fleet,
    policies: &Policies,
    queues: &Queues,
    handled: Time,
) -> Option<Time> {
    let wanted = policies.wanted();
    let mut tries = fleet.tries_after(handled);
    let next = tries.find(|(_, slot)| slot.0 < wanted || queues.is_called(*slot, policies));
    next.map(|(time, _)| time)
}

/// The workers that a slot keeps: a ready one of the right settings (the newest) and no other; until there is one, the one
/// that serves, and the one that is to follow it. A worn worker is one that serves until it is followed, and the worker that
/// follows it may be ready already, on trial.
fn keepers(
    slot: &Slot,
    right: Generation,
    canary: Option<WorkerId>,
    worn: Option<WorkerId>,
) -> Vec<WorkerId> {
    let others = || slot.active().filter(|w| Some(w.id()) != canary && !w.is_unwanted());
    let is_worn = |worker: &&Worker| worn.is_some_and(|old| worker.id() <= old);
    let is_right = |worker: &&Worker| worker.generation() == right && !is_worn(worker);
    let serving = others().find(|worker| worker.is_ready());
    if !serving.as_ref().is_some_and(is_worn) {
        let newest = others().filter(is_right).filter(|worker| worker.is_ready()).last();
        if let Some(worker) = newest {
            return vec![worker.id()];
        }
    }
    let following = others().find(is_right);
    serving.into_iter().chain(following).map(Worker::id).collect()
}
