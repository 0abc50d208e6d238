//! What operators ask for at run time, from the asking to the answer.
//!
//! Nothing here starts or stops a worker: a request changes what is wanted (another number, a slot
//! whose worker is *worn*, a worker that is *unwanted*, a reload that is turned round), `settle` does
//! the rest, and the request is answered when what it wanted is there or a worker it needed has
//! failed. So nothing is ever busy: who asks for what is under way already joins.
//!
//! Recycling waits while a reload is under way. Whatever that replaces counts as recycled, and the
//! rest goes on when it is over. Workers that are worn without anybody's asking (`recycle`) go the same way.
//!
//! Each request is answered once: with its outcome; with `Stopped` when herder is to end; or, when
//! nothing has moved for longer than any start may take, with where things stand.

use super::record::{MOST_EXTENSION, MOST_WORKERS};
use super::recycle::Wear;
use super::report::Report;
use super::rollout::{Phase, trial_over};
use super::slot::Slot;
use super::worker::Worker;
use super::{
    Action, Ending, Herd, Request, RequestId, RequestOutcome, SlotId, Span, Time, WorkerId,
};
use alloc::borrow::ToOwned as _;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::string::ToString as _;
use alloc::vec::Vec;

/// How much longer than the longest start and the longest stop a request may get nowhere.
const PATIENCE: Span = Span::secs(60);

/// A request that has not been answered.
#[derive(Debug)]
pub(super) struct Open {
    id: RequestId,
    wish: Wish,
    /// When it last got any further.
    moved: Time,
}

#[derive(Clone, Debug)]
enum Wish {
    /// Slots below `to` that have had no ready worker since.
    Scale {
        to: u32,
        left: Vec<SlotId>,
    },
    /// The slots that still have their worn worker: one whose id is at most that. `slot` is the one
    /// that was asked for, or all.
    Recycle {
        slot: Option<SlotId>,
        left: BTreeMap<SlotId, WorkerId>,
        of: u32,
    },
    Stop(WorkerId),
    Abort,
}

impl Herd {
    pub(super) fn take_request(&mut self, id: RequestId, what: Request) {
        if self.ending.is_some() {
            return self.answer_request(id, RequestOutcome::Stopped);
        }
        let wish = match what {
            Request::Scale { workers } => self.asked_to_scale(workers),
            Request::Recycle { slot } => self.asked_to_recycle(slot),
            Request::StopWorker { worker } => self.asked_to_stop(worker),
            Request::AbortReload => self.asked_to_abort(),
        };
        match wish {
            Ok(wish) => self.open.push(Open { id, wish, moved: self.now }),
            Err(outcome) => self.answer_request(id, outcome),
        }
    }

    fn asked_to_scale(&mut self, to: u32) -> Result<Wish, RequestOutcome> {
        if to > MOST_WORKERS {
            return Err(failed(format!("{to} is more than {MOST_WORKERS}, the most there may be")));
        }
        self.scale_to(to);
        let left = (0..to).map(SlotId).filter(|&slot| !self.is_served(slot)).collect();
        Ok(Wish::Scale { to, left })
    }

    fn asked_to_recycle(&mut self, slot: Option<SlotId>) -> Result<Wish, RequestOutcome> {
        let wanted = self.wanted();
        let slots = match slot {
            Some(slot) if slot.0 < wanted => slot.0..slot.0 + 1,
            Some(slot) => return Err(RequestOutcome::NotFound(no_such_slot(slot, wanted))),
            None => 0..wanted,
        };
        let same =
            |open: &&Open| matches!(open.wish, Wish::Recycle { slot: its, .. } if its == slot);
        if let Some(open) = self.open.iter().find(same) {
            return Ok(open.wish.clone());
        }
        let worn = |slot| (slot, self.pending(slot).unwrap_or_else(|| self.newest_ready(slot)));
        let left: BTreeMap<SlotId, WorkerId> = slots.map(SlotId).map(worn).collect();
        let of = left.len() as u32;
        Ok(Wish::Recycle { slot, left, of })
    }

    fn asked_to_stop(&mut self, id: WorkerId) -> Result<Wish, RequestOutcome> {
        let Some((slot, worker)) = self.find(id) else {
            return Err(RequestOutcome::NotFound(self.no_such_worker(id)));
        };
        if !worker.has_process() {
            let text = format!("{id} ({slot}) has ended, what it left behind is being stopped");
            return Err(RequestOutcome::Done(text));
        }
        let generation = worker.generation();
        // One that leaves already is only waited for.
        if worker.is_active() && !worker.unwanted {
            worker.unwanted = true;
            self.report(Report::StopRequested { worker: id, slot, generation });
        }
        Ok(Wish::Stop(id))
    }

    fn asked_to_abort(&mut self) -> Result<Wish, RequestOutcome> {
        match self.rollout.as_ref().map(|rollout| &rollout.phase) {
            None => Err(RequestOutcome::Done("no reload is under way".to_owned())),
            Some(Phase::Replacing) => Err(failed(
                "nothing served before this reload, so there is nothing to go back to".to_owned(),
            )),
            Some(Phase::RollingBack { .. }) => Ok(Wish::Abort),
            Some(Phase::Checking { .. } | Phase::Canary { .. } | Phase::Rolling) => {
                self.abort_on_request();
                Ok(Wish::Abort)
            }
        }
    }

    /// The worker of this slot, and any older one, is to be replaced now; `None` while none is.
    pub(super) fn worn(&self, slot: SlotId) -> Option<WorkerId> {
        self.pending(slot).filter(|_| self.rollout.is_none())
    }

    /// The same, whether now or after the reload that is under way.
    fn pending(&self, slot: SlotId) -> Option<WorkerId> {
        self.requested(slot).max(self.worn_out(slot).map(|worker| worker.id))
    }

    /// The same, because somebody asked for it.
    fn requested(&self, slot: SlotId) -> Option<WorkerId> {
        self.open.iter().find_map(|open| match &open.wish {
            Wish::Recycle { left, .. } => left.get(&slot).copied(),
            Wish::Scale { .. } | Wish::Stop(_) | Wish::Abort => None,
        })
    }

    /// The slots with a worn worker, now or after the reload that is under way.
    fn pending_slots(&self) -> BTreeSet<SlotId> {
        let slots = (0..self.slots.len() as u32).map(SlotId);
        let mut slots: BTreeSet<SlotId> =
            slots.filter(|&slot| self.worn_out(slot).is_some()).collect();
        for open in &self.open {
            match &open.wish {
                Wish::Recycle { left, .. } => slots.extend(left.keys()),
                Wish::Scale { .. } | Wish::Stop(_) | Wish::Abort => {}
            }
        }
        slots
    }

    /// The slot whose worn worker is to get its replacement next; `None` while one of them is getting
    /// it. Those somebody has asked for come first, of the others the one that was last tried longest ago.
    pub(super) fn next_to_recycle(&self) -> Option<SlotId> {
        let mut slots = self.pending_slots();
        slots.retain(|&slot| self.worn_serving(slot).is_some());
        // Also of a slot that is not wanted any more, and stands in for another.
        if slots.iter().any(|&slot| self.newcomer(slot).is_some()) {
            return None;
        }
        slots.retain(|slot| slot.0 < self.wanted());
        let may_be_tried = |slot: SlotId| {
            let asked = self.requested(slot).is_some();
            let place = self.slots.get(slot.0 as usize)?;
            let due = asked || self.recycler.not_before <= self.now;
            let last = if asked { Time(0) } else { place.renewed_at };
            (due && place.not_before <= self.now).then_some((!asked, last, slot))
        };
        slots.into_iter().filter_map(may_be_tried).min().map(|(.., slot)| slot)
    }

    /// The worn worker of these settings that serves in this slot.
    fn worn_serving(&self, slot: SlotId) -> Option<&Worker> {
        let (old, good) = (self.worn(slot)?, self.good.generation);
        let mut workers = self.slots.get(slot.0 as usize)?.workers.iter();
        workers.find(|w| w.is_ready() && w.id <= old && w.generation() == good && !w.unwanted)
    }

    /// Who is to serve in a worn worker's place.
    fn newcomer(&self, slot: SlotId) -> Option<&Worker> {
        self.newcomer_after(self.pending(slot)?, slot)
    }

    fn newcomer_after(&self, old: WorkerId, slot: SlotId) -> Option<&Worker> {
        let right = self.spec().generation;
        let mut active = self.slots.get(slot.0 as usize)?.active();
        active.find(|w| w.id > old && w.generation() == right && !w.unwanted)
    }

    /// Step 2: a worn worker whose successor has been watched for long enough is no longer needed.
    pub(super) fn advance_requests(&mut self) {
        let now = self.now;
        // A reload has its own clock.
        for open in self.open.iter_mut().filter(|_| self.rollout.is_some()) {
            open.moved = now;
        }
        for slot in self.pending_slots() {
            let (Some(old), Some(new)) = (self.worn_serving(slot), self.newcomer(slot)) else {
                continue;
            };
            if trial_over(new).is_some_and(|over| over <= now) {
                let (old, new, worn) = (old.id, new.id, old.wear.worn);
                let asked = self.requested(slot).map(|_| Wear::Asked);
                self.replaced(old, slot, new, asked.or(worn).unwrap_or(Wear::Asked));
                self.recycled(slot);
            }
        }
        self.give_up_on_requests();
    }

    /// Slots in which somebody new serves, and nobody old, however that has come about.
    fn note_successors(&mut self) {
        for slot in self.pending_slots() {
            let Some(old) = self.requested(slot) else { continue };
            let there = self.slots.get(slot.0 as usize).map_or(&[][..], |slot| &slot.workers);
            let old_serves = there.iter().any(|worker| worker.is_ready() && worker.id <= old);
            if !old_serves && self.newcomer_after(old, slot).is_some_and(Worker::is_ready) {
                self.recycled(slot);
            }
        }
    }

    /// Answers what gets nowhere. Comes before anything is started, or drained, for it.
    fn give_up_on_requests(&mut self) {
        if self.open.is_empty() || self.rollout.is_some() {
            return;
        }
        let (now, wanted, patience) = (self.now, self.wanted(), self.patience());
        let cramped =
            self.next_to_recycle().is_some() && self.rules().most_processes(wanted) <= wanted;
        let strength = self.strength_in_words();
        self.answer_those(|open| match open.wish {
            Wish::Recycle { .. } if cramped => Some(failed(
                "`max-surge` and `max-draining` leave no room for a second worker in a slot; \
                 stop the worker, or reload"
                    .to_owned(),
            )),
            Wish::Scale { .. } | Wish::Recycle { .. } if open.moved + patience <= now => {
                Some(failed(format!("nothing has moved for {}; {strength}", now - open.moved)))
            }
            Wish::Scale { .. } | Wish::Recycle { .. } | Wish::Stop(_) | Wish::Abort => None,
        });
    }

    fn recycled(&mut self, slot: SlotId) {
        let now = self.now;
        for open in &mut self.open {
            if let Wish::Recycle { left, .. } = &mut open.wish
                && left.remove(&slot).is_some()
            {
                open.moved = now;
            }
        }
    }

    /// A worker that was to replace one on request has failed or left, and the old one serves on: the
    /// slot is none the worse for it. `false` if it was not that.
    pub(super) fn newcomer_lost(&mut self, id: WorkerId, slot: SlotId, why: &str) -> bool {
        let Some(old) = self.worn_serving(slot).filter(|old| old.id < id) else { return false };
        let (worker, generation) = (old.id, old.generation());
        let because = format!("{id} {why}");
        self.report(Report::NotRecycled { worker, slot, generation, why: because });
        self.put_off_recycling(slot);
        self.requests_suffer(id, slot, why);
        true
    }

    /// A worker failed: who waits for one in this slot need not wait any longer.
    pub(super) fn requests_suffer(&mut self, id: WorkerId, slot: SlotId, why: &str) {
        let serving = self.worn_serving(slot).map(|old| old.id);
        let wanted = self.wanted();
        let what_now = match serving {
            Some(old) => format!("{old} serves on"),
            None => "herder keeps trying".to_owned(),
        };
        let strength = self.strength_in_words();
        self.answer_those(|open| {
            let rest = match &open.wish {
                Wish::Scale { .. } if slot.0 < wanted && serving.is_none() => strength.clone(),
                Wish::Recycle { left, of, .. } if left.get(&slot).is_some_and(|old| id > *old) => {
                    match of {
                        1 => strength.clone(),
                        _ => format!("{} of {of} slots are recycled", of - left.len() as u32),
                    }
                }
                Wish::Scale { .. } | Wish::Recycle { .. } | Wish::Stop(_) | Wish::Abort => {
                    return None;
                }
            };
            let reason = format!("{id} ({slot}) {why}, {what_now}; {rest}");
            Some(RequestOutcome::Failed { reason, worker: Some(id) })
        });
    }

    /// A worker's process is no more, or is given up.
    pub(super) fn stop_answered(&mut self, id: WorkerId, outcome: RequestOutcome) {
        self.answer_those(|open| {
            matches!(open.wish, Wish::Stop(its) if its == id).then(|| outcome.clone())
        });
    }

    /// A roll-back is over, or has given way.
    pub(super) fn abort_answered(&mut self, outcome: RequestOutcome) {
        self.answer_those(|open| matches!(open.wish, Wish::Abort).then(|| outcome.clone()));
    }

    /// herder is to end.
    pub(super) fn stop_requests(&mut self) {
        self.answer_those(|_| Some(RequestOutcome::Stopped));
    }

    /// Step 3, last part: what was asked for is there, or never will be.
    pub(super) fn conclude_requests(&mut self) {
        if self.open.is_empty() {
            return;
        }
        self.note_successors();
        self.note_progress();
        let (wanted, (least, most)) = (self.wanted(), self.bounds());
        let superseded = self.why_so_many();
        let strength = self.strength_in_words();
        let surplus_told = self.slots.iter().skip(wanted as usize).all(Slot::is_empty);
        self.answer_those(|open| match &open.wish {
            Wish::Scale { to, .. } if *to != least => {
                Some(failed(format!("{to} workers were asked for, but {superseded}")))
            }
            Wish::Scale { to, left } if left.is_empty() && surplus_told => {
                Some(RequestOutcome::Done(match most > least {
                    true => format!("at least {to} are wanted; {strength}"),
                    false => strength.clone(),
                }))
            }
            Wish::Recycle { slot, left, of } if left.is_empty() => {
                let what = match (slot, of) {
                    (None, 0) => "there was no worker to replace".to_owned(),
                    (None, of) if *of > 1 => format!("all {of} slots have a new worker"),
                    (slot, _) => format!("{} has a new worker", slot.unwrap_or(SlotId(0))),
                };
                Some(RequestOutcome::Done(format!("{what}; {strength}")))
            }
            Wish::Recycle { slot: Some(slot), .. } if slot.0 >= wanted => {
                Some(failed(format!("{slot} is gone: {superseded}")))
            }
            Wish::Scale { .. } | Wish::Recycle { .. } | Wish::Stop(_) | Wish::Abort => None,
        });
    }

    fn note_progress(&mut self) {
        let (now, wanted) = (self.now, self.wanted());
        let mut open = core::mem::take(&mut self.open);
        for open in &mut open {
            let before = open.wish.progress();
            match &mut open.wish {
                Wish::Scale { left, .. } => left.retain(|&slot| !self.is_served(slot)),
                // Slots that are no longer wanted, and have nobody who stands in, need nobody new.
                Wish::Recycle { slot: None, left, of } => {
                    let all = left.len();
                    left.retain(|&slot, _| slot.0 < wanted || self.is_manned(slot));
                    *of -= (all - left.len()) as u32;
                }
                Wish::Recycle { .. } | Wish::Stop(_) | Wish::Abort => {}
            }
            if open.wish.progress() != before {
                open.moved = now;
            }
        }
        self.open = open;
    }

    /// How much of an open request is done: so many workers of so many. `None` for one that is not
    /// open, or does not count in workers.
    pub fn request_progress(&self, request: RequestId) -> Option<(u32, u32)> {
        self.open.iter().find(|open| open.id == request)?.wish.progress()
    }

    /// How far recycling is, of several requests the one that has most left to do.
    pub(super) fn recycling(&self) -> Option<(u32, u32)> {
        let recycle = |open: &&Open| matches!(open.wish, Wish::Recycle { .. });
        let progress = self.open.iter().filter(recycle).filter_map(|open| open.wish.progress());
        progress.max_by_key(|(done, of)| of - done)
    }

    pub(super) fn requests_deadline(&self) -> Option<Time> {
        if self.rollout.is_some() {
            return None;
        }
        let patience = self.patience();
        let counted = self.open.iter().filter(|open| open.wish.progress().is_some());
        let impatient = counted.map(|open| open.moved + patience).min();
        let trial = self.pending_slots().into_iter().find_map(|slot| {
            self.worn_serving(slot)?;
            trial_over(self.newcomer(slot)?)
        });
        let again = self.recycler_deadline();
        impatient.into_iter().chain(trial).chain(again).filter(|&time| time != Time(u64::MAX)).min()
    }

    /// How long a request may get nowhere: longer than the slowest stop, start and trial.
    fn patience(&self) -> Span {
        let rules = self.rules();
        let start = rules.start_timeout.times(MOST_EXTENSION);
        start + rules.min_ready_time.unwrap_or_default() + rules.stop_timeout + PATIENCE
    }

    fn answer_those(&mut self, outcome: impl Fn(&Open) -> Option<RequestOutcome>) {
        let mut open = core::mem::take(&mut self.open);
        open.retain(|open| match outcome(open) {
            Some(outcome) => {
                self.out.push(Action::Answered { request: open.id, outcome });
                false
            }
            None => true,
        });
        self.open = open;
    }

    fn answer_request(&mut self, request: RequestId, outcome: RequestOutcome) {
        self.order(Action::Answered { request, outcome });
    }

    fn is_manned(&self, slot: SlotId) -> bool {
        self.slots.get(slot.0 as usize).is_some_and(|slot| !slot.is_empty())
    }

    fn is_served(&self, slot: SlotId) -> bool {
        self.slots.get(slot.0 as usize).is_some_and(Slot::has_ready)
    }

    /// The newest worker that serves there: it and older ones are what recycling replaces, while one
    /// that is not ready yet is new already. 0, which no worker is, if nobody serves.
    fn newest_ready(&self, slot: SlotId) -> WorkerId {
        let workers = self.slots.get(slot.0 as usize).map_or(&[][..], |slot| &slot.workers);
        let ready = workers.iter().filter(|worker| worker.is_ready());
        ready.map(|worker| worker.id).max().unwrap_or(WorkerId(0))
    }

    fn strength_in_words(&self) -> String {
        format!("{}/{} workers are ready", self.serving_slots(), self.wanted())
    }

    /// Who says how many are wanted.
    fn why_so_many(&self) -> String {
        let (wanted, _) = self.bounds();
        match self.asked_now() {
            Some(_) => format!("another request set it to {wanted}"),
            None => format!("the settings of {} say {wanted}", self.spec().generation),
        }
    }

    fn no_such_worker(&self, id: WorkerId) -> String {
        let ids: Vec<String> = self
            .workers()
            .filter(|(_, worker)| worker.has_process())
            .map(|(_, worker)| worker.id.0.to_string())
            .collect();
        match ids.len() {
            0 => format!("there is no {id}, and no other either"),
            1..=20 => format!("there is no {id}; there are {}", ids.join(", ")),
            n => format!("there is no {id}; there are {n}, the last is {}", ids[n - 1]),
        }
    }
}

impl Wish {
    fn progress(&self) -> Option<(u32, u32)> {
        match self {
            Wish::Scale { to, left } => Some((to - left.len() as u32, *to)),
            Wish::Recycle { left, of, .. } => Some((of - left.len() as u32, *of)),
            Wish::Stop(_) | Wish::Abort => None,
        }
    }
}

/// What came of a stop on request.
pub(super) fn stopped(id: WorkerId, slot: SlotId, ending: &Ending) -> RequestOutcome {
    RequestOutcome::Done(format!("{id} ({slot}) {ending}"))
}

fn failed(reason: String) -> RequestOutcome {
    RequestOutcome::Failed { reason, worker: None }
}

fn no_such_slot(slot: SlotId, wanted: u32) -> String {
    match wanted {
        0 => format!("there is no {slot}: no worker is wanted"),
        1 => format!("there is no {slot}, only slot 0"),
        _ => format!("there is no {slot}; there are 0 to {}", wanted - 1),
    }
}
