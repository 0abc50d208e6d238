//! Per-worker queues: which slot serves which, and which get new connections.
//!
//! A *group* is several queues at one address, each with a socket of its own that herder holds open. With k of them and N
//! slots at most, slot i has every queue j with j mod N = i (with k < N: i mod k), so that every queue has a slot. A worker
//! keeps what it was started with, and the next worker in its slot gets the same. (N is not the number that is wanted at the
//! moment: workers from before a growth would have more queues than the others.)
//!
//! - A queue that no ready worker has is *closed* to new connections, unless no queue of its group has a ready worker: then
//!   the queues of wanted slots are open, and connections wait there. (Where no slot is wanted, those of slot 0.) What
//!   waits in a closed queue waits for the queue's next worker.
//! - A slot that is no longer wanted *leaves*: its queues are closed first, and its worker is told to stop once they have
//!   been empty for a while. A handshake that had begun before ends in the old queue.
//! - A queue whose slot has left may still get a connection from such a handshake. It is watched, and a slot that gets a
//!   worker only for that is *called*; it leaves again in the same way.
//!
//! The kernel has no count of connections that are still on their way to a queue; that the queue has been empty for
//! [`EMPTY_FOR`] stands for it.

use crate::action::Action;
use crate::fleet::{Fleet, Worker};
use crate::ids::{QueueId, SlotId, WorkerId};
use crate::policies::Policies;
use crate::policy::Spec;
use crate::time::{Span, Time};
use crate::turn::Turn;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

/// How long the queues of a leaving slot have to be empty: longer than it takes to send the last part of a handshake
/// again twice (1 s, 2 s).
const EMPTY_FOR: Span = Span::secs(5);

/// How soon a queue that was not empty is looked at again.
const LOOK_AGAIN: Span = Span::millis(250);

#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// Every group of the settings of some generation.
    groups: BTreeSet<Vec<QueueId>>,
    /// Queues that get nothing new, as was last ordered.
    closed: BTreeSet<QueueId>,
    /// Queues that are watched, as was last ordered.
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
    /// Its queues have been empty since then; if that is in the future, they are looked at again then.
    empty_since: Time,
}

/// A worker that is about to be told to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dismissed {
    pub slot: SlotId,
    pub worker: WorkerId,
    pub ready: bool,
}

/// What slot `slot` of `slots` slots has of each group.
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

/// The queues that a worker is given which is started in this slot with these settings.
pub(crate) fn share_of(policies: &Policies, slot: SlotId, spec: &Spec) -> Vec<QueueId> {
    match spec.policy.queues.is_empty() {
        true => Vec::new(),
        false => share(&spec.policy.queues, slot, policies.slots_under(spec)),
    }
}

impl Queues {
    /// Settings were accepted: their groups are looked after from now on.
    pub fn add_groups(&mut self, groups: &[Vec<QueueId>]) {
        self.groups.extend(groups.iter().cloned());
    }

    /// Slots that are not wanted, and get a worker all the same. None while a reload is under way.
    pub fn called(&self, policies: &Policies) -> impl Iterator<Item = SlotId> {
        let reloading = policies.incoming().is_some();
        self.called.iter().copied().filter(move |_| !reloading)
    }

    pub fn is_called(&self, slot: SlotId, policies: &Policies) -> bool {
        policies.incoming().is_none() && self.called.contains(&slot)
    }

    /// Something waits in a queue that is watched. The shell does not tell again until the next order to watch it.
    pub fn waits(&mut self, queue: QueueId, fleet: &Fleet, policies: &Policies, now: Time) {
        if !self.watched.remove(&queue) {
            return;
        }
        for (slot, leaving) in &mut self.leaving {
            let workers = fleet.slot(*slot).map_or(&[][..], |slot| slot.workers());
            if workers.iter().any(|worker| worker.is_ready() && worker.queues().contains(&queue)) {
                leaving.empty_since = now + LOOK_AGAIN;
            }
        }
        if is_orphan(queue, fleet, policies) {
            self.called.extend(slot_to_call(queue, policies));
        }
    }

    /// Of workers that are about to be told to stop, those that serve on until their queues are empty: the ready ones of
    /// slots that are not wanted, unless other workers have their queues.
    pub fn hold_back(
        &mut self,
        dismissed: &[Dismissed],
        fleet: &Fleet,
        policies: &Policies,
        now: Time,
    ) -> Vec<WorkerId> {
        let wanted = policies.wanted();
        let mut surplus: BTreeMap<SlotId, Vec<WorkerId>> = BTreeMap::new();
        for &Dismissed { slot, worker, ready } in dismissed {
            let may_stay = ready && wanted > 0 && slot.0 >= wanted;
            if may_stay && fleet.worker(worker).is_some_and(|(_, worker)| !worker.is_unwanted()) {
                surplus.entry(slot).or_default().push(worker);
            }
        }
        self.leaving.retain(|slot, _| surplus.contains_key(slot));
        if surplus.is_empty() {
            return Vec::new();
        }
        // Of each queue, how many of its ready workers are about to stop.
        let mut stopping: BTreeMap<QueueId, u32> = BTreeMap::new();
        let mut ready_stopping = 0;
        for dismissed in dismissed.iter().filter(|dismissed| dismissed.ready) {
            let Some((_, worker)) = fleet.worker(dismissed.worker) else { continue };
            ready_stopping += 1;
            for queue in worker.queues() {
                *stopping.entry(*queue).or_default() += 1;
            }
        }
        let stays =
            |queue: &QueueId| fleet.ready_with(*queue) > stopping.get(queue).copied().unwrap_or(0);
        let some_stay = fleet.ready_workers() > ready_stopping;
        let mut held_back = Vec::new();
        for (slot, mut ids) in surplus {
            // The newest first: an older worker of the slot stays only for queues that the newer does not have, because
            // the number of slots was another when it was started.
            ids.sort_unstable_by(|one, other| other.cmp(one));
            let mut kept: BTreeSet<QueueId> = BTreeSet::new();
            let mut stay: Vec<(WorkerId, Time)> = Vec::new();
            for id in ids {
                let Some((_, worker)) = fleet.worker(id) else { continue };
                if worker.queues().iter().any(|queue| !stays(queue) && !kept.contains(queue)) {
                    kept.extend(worker.queues());
                    stay.push((id, now + worker.policy().stop_timeout));
                }
            }
            // Where no worker stays, new connections cannot be sent elsewhere.
            let Some((_, until)) = stay.first().copied().filter(|_| some_stay) else {
                self.leaving.remove(&slot);
                continue;
            };
            let leaving = *self.leaving.entry(slot).or_insert(Leaving { until, empty_since: now });
            if leaving.empty_since + EMPTY_FOR <= now || leaving.until <= now {
                self.leaving.remove(&slot);
            } else {
                held_back.extend(stay.into_iter().map(|(id, _)| id));
            }
        }
        held_back
    }

    /// Opens and closes queues, as workers are there for them, and watches those that no worker looks after.
    pub fn settle(&mut self, fleet: &Fleet, policies: &Policies, turn: &mut Turn) {
        if self.groups.is_empty() {
            return;
        }
        let closed = self.to_be_closed(fleet, policies);
        if closed != self.closed {
            // A worker that is told to stop gets nothing new from then on; a worker that is started does not wait for it.
            turn.order_before_drains(Action::Steer { closed: closed.iter().copied().collect() });
            self.closed = closed;
        }
        let watched = self.to_be_watched(fleet, policies, turn.now());
        if watched != self.watched {
            turn.order(Action::WatchQueues { queues: watched.iter().copied().collect() });
            self.watched = watched;
        }
    }

    fn to_be_closed(&self, fleet: &Fleet, policies: &Policies) -> BTreeSet<QueueId> {
        let mut by_leaving: BTreeMap<QueueId, u32> = BTreeMap::new();
        let leaving = self.leaving.keys().filter_map(|slot| fleet.slot(*slot));
        let leaving = leaving.flat_map(|slot| slot.workers()).filter(|worker| worker.is_ready());
        for queue in leaving.flat_map(Worker::queues) {
            *by_leaving.entry(*queue).or_default() += 1;
        }
        let stays = |queue: &QueueId| {
            fleet.ready_with(*queue) > by_leaving.get(queue).copied().unwrap_or(0)
        };
        let mut served: BTreeSet<QueueId> = fleet.served_queues().filter(stays).collect();
        if served.is_empty() {
            // Workers that were about to leave stand in.
            served = fleet.served_queues().collect();
        }
        let mut of_wanted_slots: Option<BTreeSet<QueueId>> = None;
        let mut closed = BTreeSet::new();
        for group in &self.groups {
            let open = if group.iter().any(|queue| served.contains(queue)) {
                &served
            } else {
                of_wanted_slots.get_or_insert_with(|| {
                    let spec = policies.for_slots();
                    let slots = (0..policies.wanted().max(1)).map(SlotId);
                    slots.flat_map(|slot| share_of(policies, slot, spec)).collect()
                })
            };
            // Of a group that was in other settings, and that no worker serves any more, all queues are open.
            if group.iter().any(|queue| open.contains(queue)) {
                closed.extend(group.iter().copied().filter(|queue| !open.contains(queue)));
            }
        }
        closed
    }

    fn to_be_watched(&self, fleet: &Fleet, policies: &Policies, now: Time) -> BTreeSet<QueueId> {
        let quiet = self.leaving.iter().filter(|(_, its)| its.empty_since <= now);
        let quiet = quiet.filter_map(|(slot, _)| fleet.slot(*slot));
        let leaving = quiet.flat_map(|slot| slot.workers()).filter(|worker| worker.is_ready());
        let leaving = leaving.flat_map(|worker| worker.queues().iter().copied());
        // One extra worker for a queue is enough. A slot within `wanted` gets a worker anyway, so it is not called.
        let may_call = |queue| {
            let slot = slot_to_call(queue, policies);
            slot.is_some_and(|slot| slot.0 >= policies.wanted() && !self.is_called(slot, policies))
        };
        let orphans = self.closed.iter().copied();
        let orphans =
            orphans.filter(|queue| may_call(*queue) && is_orphan(*queue, fleet, policies));
        leaving.filter(|queue| self.closed.contains(queue)).chain(orphans).collect()
    }

    /// Forgets slots that were called and serve by now, or whose queues another worker has.
    pub fn forget_called(&mut self, fleet: &Fleet, policies: &Policies) {
        if self.called.is_empty() {
            return;
        }
        let wanted = policies.wanted();
        self.called.retain(|slot| {
            let on_its_way = fleet.is_manned(*slot) && !fleet.has_ready(*slot);
            let queues = share_of(policies, *slot, policies.good());
            wanted > 0
                && slot.0 >= wanted
                && (on_its_way || queues.iter().any(|queue| is_orphan(*queue, fleet, policies)))
        });
    }

    pub fn deadline(&self, now: Time) -> Option<Time> {
        let next = |leaving: &Leaving| match leaving.empty_since > now {
            true => leaving.empty_since.min(leaving.until),
            false => (leaving.empty_since + EMPTY_FOR).min(leaving.until),
        };
        self.leaving.values().map(next).filter(|&time| time != Time(u64::MAX)).min()
    }
}

/// The slots whose workers serve a queue, or whose next worker will.
pub(crate) fn slots_of<'a>(
    queue: QueueId,
    fleet: &'a Fleet,
    policies: &'a Policies,
) -> impl Iterator<Item = SlotId> + 'a {
    let wanted = policies.wanted();
    fleet.slots().filter_map(move |(id, slot)| {
        let has = match slot.is_empty() {
            false => slot.active().any(|worker| worker.queues().contains(&queue)),
            true => id.0 < wanted && share_of(policies, id, policies.good()).contains(&queue),
        };
        has.then_some(id)
    })
}

/// The slot beyond those wanted that has this queue, and no other of its group.
fn slot_to_call(queue: QueueId, policies: &Policies) -> Option<SlotId> {
    let mut groups = policies.good().policy.queues.iter();
    let place = groups.find_map(|group| group.iter().position(|other| *other == queue))?;
    u32::try_from(place).ok().map(SlotId)
}

/// No worker has the queue or is about to have it, because its slot has left, and the slot that it belongs to now has a
/// worker from before.
fn is_orphan(queue: QueueId, fleet: &Fleet, policies: &Policies) -> bool {
    let (wanted, good) = (policies.wanted(), policies.good());
    if wanted == 0 || policies.incoming().is_some() || fleet.active_has(queue) {
        return false;
    }
    let is_ours = good.policy.queues.iter().flatten().any(|other| *other == queue);
    let missing = (fleet.size()..wanted).map(SlotId);
    let mut unmanned = fleet.empty_slots(wanted).chain(missing);
    is_ours && !unmanned.any(|slot| share_of(policies, slot, good).contains(&queue))
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
