//! Per-worker queues: which slot serves which, and which get new connections.
//!
//! A *group* is several queues at one address, each with a socket of its own that herder holds open. With
//! k of them and N slots at most, slot i has every queue j with j mod N = i (with k < N: i mod k), so no queue
//! is without a slot. A worker keeps what it was started with; whoever follows it in its slot has the same.
//! (By the number that is wanted at the moment, whoever was there before a herd grew would have more than others.)
//!
//! - A queue that no ready worker has is *closed* to new connections, unless no queue of its group has one: then
//!   those of wanted slots are open, and whatever comes waits there. (Where nobody is wanted, those of the slot that
//!   will be the first.) What a closed queue holds waits for its next worker.
//! - A slot that is no longer wanted *leaves*: its queues are closed first, and its worker is told to stop once
//!   they have been empty for a while. A handshake that had begun before ends in the old queue.
//! - A queue whose slot has left may get a connection all the same, from such a handshake. It is watched, and
//!   *called* is a slot that gets a worker for it, which leaves again in the same way.
//!
//! The kernel has no count of connections that are still on their way to a queue: to be empty for
//! [`EMPTY_FOR`] is what stands for that.

use super::slot::Slot;
use super::worker::{Spec, Worker};
use super::{Action, Herd, QueueId, SlotId, Span, Time, WorkerId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

/// How long the queues of a leaving slot have to be empty: longer than it takes to send the last part of a
/// handshake again twice (1 s, 2 s).
pub(super) const EMPTY_FOR: Span = Span::secs(5);

/// How soon a queue that was not empty is looked at again.
const LOOK_AGAIN: Span = Span::millis(250);

#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Every group there is in some generation's settings.
    groups: BTreeSet<Vec<QueueId>>,
    /// Those that get nothing new, as was last ordered.
    closed: BTreeSet<QueueId>,
    /// Those somebody tells of when something waits in them, as was last ordered.
    watched: BTreeSet<QueueId>,
    /// Slots whose worker serves until their queues are empty.
    leaving: BTreeMap<SlotId, Leaving>,
    /// Slots that are not wanted, and get a worker because something waits in their queues.
    called: BTreeSet<SlotId>,
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    /// Then it goes, whatever waits.
    until: Time,
    /// Its queues have been empty since then; or are looked at again then.
    empty_since: Time,
}

/// What slot `slot` of `slots` has of each group.
fn share(groups: &[Vec<QueueId>], slot: SlotId, slots: u32) -> Vec<QueueId> {
    let (slot, slots) = (slot.0 as usize, slots as usize);
    let share = |group: &Vec<QueueId>| {
        let size = group.len();
        // A slot beyond those wanted has what it would have if there were one for each queue.
        let slots = if slot < slots { slots } else { slots.max(size).max(1) };
        match size {
            0 => vec![],
            size if size <= slots => vec![group[slot % size]],
            _ => group.iter().copied().skip(slot).step_by(slots).collect(),
        }
    };
    groups.iter().flat_map(share).collect()
}

impl Herd {
    /// The queues a worker is given that is started in this slot with these settings.
    pub(super) fn share(&self, slot: SlotId, spec: &Spec) -> Vec<QueueId> {
        share(&spec.policy.queues, slot, self.slots_under(spec))
    }

    /// How many slots there are at most under these settings. (Fewer that were asked for do not count: what
    /// belongs to the others is closed, not given to who may not want it.)
    fn slots_under(&self, spec: &Spec) -> u32 {
        let asked = self.asked.filter(|asked| asked.under >= spec.generation);
        spec.policy.most_workers().max(asked.map_or(0, |asked| asked.workers))
    }

    /// Slots that are not wanted, and get a worker all the same.
    pub(super) fn called(&self) -> impl Iterator<Item = SlotId> {
        let idle = self.rollout.is_none() && self.ending.is_none();
        self.queues.called.iter().copied().filter(move |_| idle)
    }

    pub(super) fn is_called(&self, slot: SlotId) -> bool {
        self.called().any(|called| called == slot)
    }

    /// Something waits in a queue that is watched; nobody is told again until that is ordered.
    pub(super) fn waits(&mut self, queue: QueueId) {
        if !self.queues.watched.remove(&queue) {
            return;
        }
        let again = self.now + LOOK_AGAIN;
        let leaving: Vec<SlotId> = self.queues.leaving.keys().copied().collect();
        for slot in leaving {
            let has = |worker: &Worker| worker.is_ready() && worker.queues.contains(&queue);
            if self.slots.get(slot.0 as usize).is_some_and(|s| s.workers.iter().any(has))
                && let Some(leaving) = self.queues.leaving.get_mut(&slot)
            {
                leaving.empty_since = again;
            }
        }
        if self.is_orphan(queue) {
            let called = self.slot_to_call(queue);
            self.queues.called.extend(called);
        }
    }

    /// The slot beyond those wanted that has this queue, and no other of its group.
    fn slot_to_call(&self, queue: QueueId) -> Option<SlotId> {
        let mut groups = self.good.policy.queues.iter();
        let place = groups.find_map(|group| group.iter().position(|other| *other == queue))?;
        u32::try_from(place).ok().map(SlotId)
    }

    /// Of workers that are about to be told to stop (and are ready or not), those that have to serve on until
    /// their queues are empty: the ready ones of slots that are not wanted, unless others have their queues.
    pub(super) fn hold_back(&mut self, dismissed: &[(SlotId, WorkerId, bool)]) -> Vec<WorkerId> {
        let (now, wanted) = (self.now, self.wanted());
        let mut surplus: BTreeMap<SlotId, WorkerId> = BTreeMap::new();
        for &(slot, id, ready) in dismissed {
            let asked_for = self.find(id).is_none_or(|(_, worker)| worker.unwanted);
            if ready && slot.0 >= wanted && wanted > 0 && !asked_for {
                // Of two, the newer: it has what the older has.
                let newest = surplus.entry(slot).or_insert(id);
                *newest = id.max(*newest);
            }
        }
        let slots: BTreeSet<SlotId> = surplus.keys().copied().collect();
        self.queues.leaving.retain(|slot, _| slots.contains(slot));
        if surplus.is_empty() {
            return Vec::new();
        }
        let go: BTreeSet<WorkerId> = dismissed.iter().map(|(_, id, _)| *id).collect();
        let stay =
            self.workers().filter(|(_, worker)| worker.is_ready() && !go.contains(&worker.id));
        let stay: Vec<&Worker> = stay.map(|(_, worker)| worker).collect();
        let others: BTreeSet<QueueId> =
            stay.iter().flat_map(|worker| worker.queues.iter().copied()).collect();
        let somebody_stays = !stay.is_empty();
        let mut held_back = Vec::new();
        for (slot, id) in surplus {
            let place = &self.slots[slot.0 as usize];
            let Some(worker) = place.workers.iter().find(|worker| worker.id == id) else {
                continue;
            };
            // Where nobody stays, new connections cannot be sent elsewhere.
            let alone = somebody_stays && worker.queues.iter().any(|queue| !others.contains(queue));
            let until = now + worker.policy().stop_timeout;
            let leaving = Leaving { until, empty_since: now };
            let leaving = *self.queues.leaving.entry(slot).or_insert(leaving);
            if !alone || leaving.empty_since + EMPTY_FOR <= now || leaving.until <= now {
                self.queues.leaving.remove(&slot);
            } else {
                held_back.push(id);
            }
        }
        held_back
    }

    /// Nobody has the queue or is about to, because its slot has left and the one that it belongs to now has
    /// a worker from before.
    fn is_orphan(&self, queue: QueueId) -> bool {
        let wanted = self.wanted();
        if wanted == 0 || self.rollout.is_some() {
            return false;
        }
        let mut workers = self.workers().map(|(_, worker)| worker);
        if workers.any(|worker| worker.is_active() && worker.queues.contains(&queue)) {
            return false;
        }
        (0..wanted).map(SlotId).all(|slot| {
            let empty = self.slots.get(slot.0 as usize).is_none_or(Slot::is_empty);
            !(empty && self.share(slot, &self.good).contains(&queue))
        }) && self.good.policy.queues.iter().flatten().any(|other| *other == queue)
    }

    /// Step 3, last part: opens and closes queues, as workers are there for them, and watches those that
    /// nobody looks after.
    pub(super) fn settle_queues(&mut self) {
        let specs = [Some(&self.good), self.rollout.as_ref().map(|rollout| &rollout.to)];
        let groups = specs.into_iter().flatten().flat_map(|spec| spec.policy.queues.clone());
        let groups: Vec<Vec<QueueId>> = groups.collect();
        self.queues.groups.extend(groups);
        if self.queues.groups.is_empty() || self.ending.is_some() {
            return;
        }
        let closed = self.to_be_closed();
        if closed != self.queues.closed {
            let order = Action::Steer { closed: closed.iter().copied().collect() };
            // Who is told to stop gets nothing new; and who is started does not wait for this.
            let at = self.out.iter().position(|action| matches!(action, Action::Drain { .. }));
            self.out.insert(at.unwrap_or(self.out.len()), order);
            self.queues.closed = closed;
        }
        let watched = self.to_be_watched();
        if watched != self.queues.watched {
            self.order(Action::WatchQueues { queues: watched.iter().copied().collect() });
            self.queues.watched = watched;
        }
    }

    fn to_be_closed(&self) -> BTreeSet<QueueId> {
        let served_but_by = |leaving: &BTreeMap<SlotId, Leaving>| -> BTreeSet<QueueId> {
            let staying = self.workers().filter(|(slot, _)| !leaving.contains_key(slot));
            let ready = staying.filter(|(_, worker)| worker.is_ready());
            ready.flat_map(|(_, worker)| worker.queues.iter().copied()).collect()
        };
        let mut served = served_but_by(&self.queues.leaving);
        if served.is_empty() {
            // Who was about to leave stands in.
            served = served_but_by(&BTreeMap::new());
        }
        let spec = self.spec();
        let first: BTreeSet<QueueId> =
            (0..self.wanted().max(1)).flat_map(|slot| self.share(SlotId(slot), &spec)).collect();
        let mut closed = BTreeSet::new();
        for group in &self.queues.groups {
            let open =
                [&served, &first].into_iter().find(|open| group.iter().any(|q| open.contains(q)));
            // Of a group that was in other settings, which nobody serves any more, all are open.
            let Some(open) = open else { continue };
            closed.extend(group.iter().copied().filter(|queue| !open.contains(queue)));
        }
        closed
    }

    fn to_be_watched(&self) -> BTreeSet<QueueId> {
        let quiet = self.queues.leaving.iter().filter(|(_, its)| its.empty_since <= self.now);
        let quiet = quiet.filter_map(|(slot, _)| self.slots.get(slot.0 as usize));
        let leaving = quiet.flat_map(|slot| slot.workers.iter().filter(|worker| worker.is_ready()));
        let leaving = leaving.flat_map(|worker| worker.queues.iter().copied());
        // Once is enough: its slot will have a worker as soon as that can be. And one that is wanted is called
        // by nobody: it has a worker without this queue, of settings that were given up.
        let may_call = |queue| {
            let slot = self.slot_to_call(queue);
            slot.is_some_and(|slot| slot.0 >= self.wanted() && !self.is_called(slot))
        };
        let orphans = self.queues.closed.iter().copied();
        let orphans = orphans.filter(|queue| self.is_orphan(*queue) && may_call(*queue));
        leaving.filter(|queue| self.queues.closed.contains(queue)).chain(orphans).collect()
    }

    /// Step 3, first part: who was called serves by now, or somebody else does.
    pub(super) fn forget_called(&mut self) {
        let wanted = self.wanted();
        let mut called = core::mem::take(&mut self.queues.called);
        called.retain(|slot| {
            let place = self.slots.get(slot.0 as usize);
            let on_its_way = place.is_some_and(|place| !place.is_empty() && !place.has_ready());
            let queues = self.share(*slot, &self.good);
            wanted > 0
                && slot.0 >= wanted
                && (on_its_way || queues.iter().any(|queue| self.is_orphan(*queue)))
        });
        self.queues.called = called;
    }

    pub(super) fn queues_deadline(&self) -> Option<Time> {
        if self.ending.is_some() {
            return None;
        }
        let now = self.now;
        let next = |leaving: &Leaving| match leaving.empty_since > now {
            true => leaving.empty_since.min(leaving.until),
            false => (leaving.empty_since + EMPTY_FOR).min(leaving.until),
        };
        self.queues.leaving.values().map(next).filter(|&time| time != Time(u64::MAX)).min()
    }

    /// The slots whose workers serve a queue, or whose next worker will.
    pub fn slots_of(&self, queue: QueueId) -> impl Iterator<Item = SlotId> {
        let wanted = self.wanted();
        self.slots.iter().zip((0..).map(SlotId)).filter_map(move |(place, slot)| {
            let mut active = place.active().peekable();
            let has = match active.peek() {
                Some(_) => active.any(|worker| worker.queues.contains(&queue)),
                None => slot.0 < wanted && self.share(slot, &self.good).contains(&queue),
            };
            has.then_some(slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(size: u32, slots: u32, slot: u32) -> Vec<u32> {
        let group: Vec<QueueId> = (0..size).map(QueueId).collect();
        share(&[group], SlotId(slot), slots).into_iter().map(|queue| queue.0).collect()
    }

    #[test]
    fn every_queue_has_a_slot_and_every_slot_a_queue() {
        assert_eq!((0..4).map(|slot| shares(4, 4, slot)).collect::<Vec<_>>(), [[0], [1], [2], [3]]);
        assert_eq!(
            (0..3).map(|slot| shares(8, 3, slot)).collect::<Vec<_>>(),
            [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]
        );
        assert_eq!(
            (0..5).map(|slot| shares(2, 5, slot)).collect::<Vec<_>>(),
            [[0], [1], [0], [1], [0]]
        );
        for size in 1..20 {
            for slots in 1..20 {
                let all: BTreeSet<u32> = (0..slots).flat_map(|s| shares(size, slots, s)).collect();
                assert_eq!(all.len(), size as usize);
                assert!((0..40).all(|slot| !shares(size, slots, slot).is_empty()));
            }
        }
    }

    #[test]
    fn a_slot_beyond_those_wanted_has_the_queue_of_its_number() {
        assert_eq!(shares(8, 3, 7), [7]);
        assert_eq!(shares(4, 3, 3), [3]);
        assert_eq!(shares(2, 3, 5), [1]);
        assert_eq!(shares(4, 0, 0), [0]);
    }

    #[test]
    fn a_worker_has_its_share_of_each_group() {
        let groups = [vec![QueueId(0), QueueId(1)], vec![QueueId(5), QueueId(6), QueueId(7)]];
        assert_eq!(share(&groups, SlotId(0), 2), [QueueId(0), QueueId(5), QueueId(7)]);
        assert_eq!(share(&groups, SlotId(1), 2), [QueueId(1), QueueId(6)]);
    }
}
