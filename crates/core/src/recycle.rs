//! The replacement of serving workers: those that have served for `max-age` or have grown beyond `max-memory` are
//! *worn*, and an operator may ask for new workers.
//!
//! Both go the same way: one slot at a time, the new worker ready and watched before the old one is told to stop, and
//! never during a reload; what a reload replaces counts, and the rest goes on when it is over. Here is which slot is
//! next and how soon it is tried again after a new worker has failed; what waits for it is in `requests`.

use crate::action::Action;
use crate::backoff::Backoff;
use crate::fleet::{Fleet, Slot, Worker};
use crate::ids::{SlotId, WorkerId};
use crate::load::Weight;
use crate::policies::Policies;
use crate::reason::{Lost, Wear};
use crate::report::Report;
use crate::requests::Requests;
use crate::time::{Span, Time};
use crate::turn::Turn;
use crate::wear::{WearState, WearStep};

/// The wait after new workers have failed in a row.
const BACKOFF: Backoff = Backoff { first: Span::secs(5), longest: Span::secs(300) };

/// When worn workers may be tried again to be replaced.
#[derive(Debug, Default)]
pub(crate) struct Recycler {
    not_before: Time,
    failures: u32,
}

/// A worn worker in a slot, and the one that is to serve in its place.
struct Pair<'a> {
    old: &'a Worker,
    new: &'a Worker,
}

impl Recycler {
    /// A reload has replaced every worker.
    pub fn reset(&mut self) {
        *self = Recycler::default();
    }

    /// The slot whose worker is to get its replacement next; `None` while one of them is getting it. Slots that an
    /// operator has asked for come first; of the others the one that was tried the longest time ago.
    pub fn next(
        &self,
        fleet: &Fleet,
        policies: &Policies,
        requests: &Requests,
        now: Time,
    ) -> Option<SlotId> {
        if policies.incoming().is_some() {
            return None;
        }
        let serving = |slot: &SlotId| serving_worn(fleet, policies, requests, *slot).is_some();
        // Also in a slot that is not wanted any more, and whose worker stands in for another.
        let mut under_way =
            fleet.crowded().filter(|slot| newcomer(fleet, policies, requests, *slot).is_some());
        if under_way.any(|slot| serving(&slot)) {
            return None;
        }
        let wanted = policies.wanted();
        let may_be_tried = |slot: &SlotId| {
            let not_before = fleet.slot(*slot).map_or(Time(0), Slot::not_before);
            slot.0 < wanted && not_before <= now && serving(slot)
        };
        if let Some(slot) = requests.first_to_recycle(may_be_tried) {
            return Some(slot);
        }
        if self.not_before > now {
            return None;
        }
        let worn = fleet.worn().filter(|slot| worn_out(fleet, policies, *slot).is_some());
        worn.filter(may_be_tried)
            .min_by_key(|slot| (fleet.slot(*slot).map_or(Time(0), Slot::renewed_at), *slot))
    }

    /// Serving workers whose replacement has been watched for long enough are no longer needed.
    pub fn advance(
        &mut self,
        fleet: &mut Fleet,
        policies: &Policies,
        requests: &mut Requests,
        turn: &mut Turn,
    ) {
        if policies.incoming().is_some() {
            return;
        }
        let crowded: alloc::vec::Vec<SlotId> = fleet.crowded().collect();
        for slot in crowded {
            let Some(Pair { old, new }) = pair(fleet, policies, requests, slot) else { continue };
            if new.trial_over().is_none_or(|over| over > turn.now()) {
                continue;
            }
            let (worker, generation, by) = (old.id(), old.generation(), new.id());
            let asked = requests.recycles(slot).map(|_| Wear::Asked);
            let why = asked.or(old.wear.worn()).unwrap_or(Wear::Asked);
            fleet.edit(worker, |worker| worker.wear = WearState::default());
            turn.report(Report::Recycled { worker, slot, generation, by, why });
            if why != Wear::Asked {
                self.reset();
            }
            requests.recycled(slot, turn.now());
        }
    }

    /// A worker that was to replace another has failed or left, and the old one serves on: the slot is none the worse for
    /// it. Returns the old worker; `None` if it was not that.
    pub fn newcomer_lost(
        &mut self,
        lost: Lost<'_>,
        fleet: &Fleet,
        policies: &Policies,
        requests: &Requests,
        turn: &mut Turn,
    ) -> Option<WorkerId> {
        let Lost { worker: id, slot, why } = lost;
        let old = serving_worn(fleet, policies, requests, slot).filter(|old| old.id() < id)?;
        let (worker, generation) = (old.id(), old.generation());
        let because = alloc::format!("{id} {why}");
        turn.report(Report::NotRecycled { worker, slot, generation, why: because });
        if worn_out(fleet, policies, slot).is_some() {
            self.failures = self.failures.saturating_add(1);
            self.not_before = turn.now() + BACKOFF.after(self.failures, turn.chance());
        }
        Some(worker)
    }

    /// When the next step is due: the end of a trial, or the next try.
    pub fn deadline(
        &self,
        fleet: &Fleet,
        policies: &Policies,
        requests: &Requests,
        handled: Time,
    ) -> Option<Time> {
        if policies.incoming().is_some() {
            return None;
        }
        let mut pairs = fleet
            .crowded()
            .filter_map(|slot| pair(fleet, policies, requests, slot)?.new.trial_over());
        let trial = pairs.next();
        let wanted = policies.wanted();
        let waits = |slot: SlotId| slot.0 < wanted && worn_out(fleet, policies, slot).is_some();
        let again = Some(self.not_before).filter(|time| *time > handled && fleet.worn().any(waits));
        trial.into_iter().chain(again).min()
    }
}

/// The worker of this slot, and any older one, is to be replaced now; `None` while none is.
pub(crate) fn replaced_up_to(
    fleet: &Fleet,
    policies: &Policies,
    requests: &Requests,
    slot: SlotId,
) -> Option<WorkerId> {
    pending(fleet, policies, requests, slot).filter(|_| policies.incoming().is_none())
}

/// The same, whether now or after the reload that is under way.
pub(crate) fn pending(
    fleet: &Fleet,
    policies: &Policies,
    requests: &Requests,
    slot: SlotId,
) -> Option<WorkerId> {
    requests.recycles(slot).max(worn_out(fleet, policies, slot).map(Worker::id))
}

/// The worker of the good settings that serves in this slot and is to be replaced now.
pub(crate) fn serving_worn<'a>(
    fleet: &'a Fleet,
    policies: &Policies,
    requests: &Requests,
    slot: SlotId,
) -> Option<&'a Worker> {
    let old = replaced_up_to(fleet, policies, requests, slot)?;
    let good = policies.good().generation;
    let mut workers = fleet.slot(slot)?.workers().iter();
    workers.find(|worker| {
        worker.is_ready()
            && worker.id() <= old
            && worker.generation() == good
            && !worker.is_unwanted()
    })
}

/// The worker that is newer than `old` in this slot, and of the right settings.
pub(crate) fn newcomer_after<'a>(
    fleet: &'a Fleet,
    policies: &Policies,
    old: WorkerId,
    slot: SlotId,
) -> Option<&'a Worker> {
    let right = policies.for_slots().generation;
    let mut active = fleet.slot(slot)?.active();
    active.find(|worker| worker.id() > old && worker.generation() == right && !worker.is_unwanted())
}

fn newcomer<'a>(
    fleet: &'a Fleet,
    policies: &Policies,
    requests: &Requests,
    slot: SlotId,
) -> Option<&'a Worker> {
    newcomer_after(fleet, policies, pending(fleet, policies, requests, slot)?, slot)
}

fn pair<'a>(
    fleet: &'a Fleet,
    policies: &Policies,
    requests: &Requests,
    slot: SlotId,
) -> Option<Pair<'a>> {
    let old = serving_worn(fleet, policies, requests, slot)?;
    let new = newcomer(fleet, policies, requests, slot)?;
    Some(Pair { old, new })
}

/// The worker that serves in this slot, if it is worn. One of settings that were given up is replaced for that, and by
/// other rules.
fn worn_out<'a>(fleet: &'a Fleet, policies: &Policies, slot: SlotId) -> Option<&'a Worker> {
    let mut workers = fleet.slot(slot)?.workers().iter();
    let serving = workers.find(|worker| worker.is_ready() && !worker.is_unwanted());
    let good = policies.good().generation;
    serving.filter(|worker| worker.wear.worn().is_some() && worker.generation() == good)
}

/// A worker serves from now on, or has other limits now: it wears out from when it became ready.
pub(crate) fn begin_wear(fleet: &mut Fleet, id: WorkerId, turn: &mut Turn) {
    let now = turn.now();
    let Some((slot, worker)) = fleet.worker(id) else { return };
    let soon = fleet.slot(slot).map_or(0, Slot::too_heavy_soon);
    let policy = worker.policy();
    let wear = match policy.max_age.is_some() || policy.max_memory.is_some() {
        true => {
            let since = worker.ready().map_or(now, |(since, _)| since);
            WearState::begin(policy, since, now, soon, [turn.chance(), turn.chance()])
        }
        false => WearState::default(),
    };
    fleet.edit(id, |worker| worker.wear = wear);
}

/// A serving worker is old by now, or is to be weighed.
pub(crate) fn wear_on(fleet: &mut Fleet, id: WorkerId, turn: &mut Turn) {
    let now = turn.now();
    let step = fleet.edit(id, |worker| {
        let served = worker.served(now);
        worker.wear.step(served, now)
    });
    if step == Some(WearStep::Weigh) {
        turn.order(Action::Weigh { worker: id });
    }
}

/// A serving worker was weighed.
pub(crate) fn weighed(fleet: &mut Fleet, id: WorkerId, weight: Weight, now: Time) {
    let Some((slot, worker)) = fleet.worker(id).filter(|(_, worker)| worker.is_ready()) else {
        return;
    };
    let served = worker.served(now);
    let Some(found) = fleet.edit(id, |worker| worker.wear.weighed(weight, now)).flatten() else {
        return;
    };
    let soon = fleet.too_heavy(slot, found.soon);
    let (memory, most) = (found.memory, found.most);
    fleet.edit(id, |worker| worker.wear.set_worn(Wear::Memory { memory, most, served, soon }));
}
