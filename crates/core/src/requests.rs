//! What operators ask for at run time, from the request to its answer.
//!
//! Nothing here starts or stops a worker: a request changes what is wanted (another number, slots to recycle, a worker
//! that is unwanted, a reload that is turned round), `settle` does the rest, and the request is answered when what it
//! asked for is there, or when a worker that it needs has failed. A request for what is under way already joins it.
//!
//! Each request is answered once: with its outcome; with `Stopped` when herder is to end; or, when nothing has moved for
//! longer than any start may take, with where things stand.

use crate::action::{Action, RequestOutcome};
use crate::event::Request;
use crate::fleet::state::MOST_EXTENSION;
use crate::fleet::{Fleet, Worker};
use crate::ids::{Generation, RequestId, SlotId, WorkerId};
use crate::policies::Policies;
use crate::policy::Policy;
use crate::reason::{Ending, Lost};
use crate::recycle;
use crate::reload::{Closed, Phase, Reload, Verdict};
use crate::report::Report;
use crate::time::{Span, Time};
use crate::turn::Turn;
use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

/// The most workers there may be, which is what `workers` takes.
pub(crate) const MOST_WORKERS: u32 = 10_000;

/// How much longer than the longest start and the longest stop a request may get nowhere.
const PATIENCE: Span = Span::secs(60);

/// The requests that have not been answered.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    id: RequestId,
    goal: Goal,
    /// When it last got any further.
    moved: Time,
}

#[derive(Clone, Debug)]
enum Goal {
    /// `left` are the slots below `to` that have had no ready worker since the request.
    Scale {
        to: u32,
        left: Vec<SlotId>,
    },
    /// `left` are the slots that still have their old worker: one whose id is at most this. `slot` is the one that was
    /// asked for, or all.
    Recycle {
        slot: Option<SlotId>,
        left: BTreeMap<SlotId, WorkerId>,
        of: u32,
    },
    Stop(WorkerId),
    Abort,
    /// The reload to this generation.
    Reload(Generation),
}

/// Questions.
impl Requests {
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Up to which worker the workers of this slot are to be replaced because an operator has asked for it.
    pub fn recycles(&self, slot: SlotId) -> Option<WorkerId> {
        self.open.iter().find_map(|open| open.goal.slots_left()?.get(&slot).copied())
    }

    /// The slot with the lowest number that an operator wants recycled and that may be tried now.
    pub fn first_to_recycle(&self, may_be_tried: impl Fn(&SlotId) -> bool) -> Option<SlotId> {
        let lists = self.open.iter().filter_map(|open| open.goal.slots_left());
        lists.filter_map(|left| left.keys().copied().find(|slot| may_be_tried(slot))).min()
    }

    /// How much of an open request is done: this many workers of that many. `None` for one that is not open, or does
    /// not count in workers.
    pub fn progress(&self, request: RequestId) -> Option<(u32, u32)> {
        self.open.iter().find(|open| open.id == request)?.goal.progress()
    }

    /// How far recycling is: of several requests the one that has most left to do.
    pub fn recycling(&self) -> Option<(u32, u32)> {
        let recycle = self.open.iter().filter(|open| open.goal.slots_left().is_some());
        recycle.filter_map(|open| open.goal.progress()).max_by_key(|(done, of)| of - done)
    }

    /// When a request that gets nowhere is given up.
    pub fn deadline(&self, policies: &Policies) -> Option<Time> {
        if policies.incoming().is_some() {
            return None;
        }
        let patience = patience(policies);
        let counted = self.open.iter().filter(|open| open.goal.progress().is_some());
        counted.map(|open| open.moved + patience).filter(|time| *time != Time(u64::MAX)).min()
    }
}

/// Taking requests.
impl Requests {
    pub fn take(
        &mut self,
        id: RequestId,
        what: Request,
        fleet: &mut Fleet,
        policies: &mut Policies,
        reload: &mut Reload,
        turn: &mut Turn,
    ) -> Taken {
        let mut taken = Taken::default();
        let goal = match what {
            Request::Reload { generation, .. } if generation <= policies.newest_generation() => {
                Err(failed(format!("{generation} is not newer than the last")))
            }
            Request::Reload { generation, policy } => {
                taken.reload = Some((generation, policy));
                Ok(Goal::Reload(generation))
            }
            Request::Scale { workers } if workers > MOST_WORKERS => {
                Err(failed(format!("{workers} is more than {MOST_WORKERS}, the most there may be")))
            }
            Request::Scale { workers } => {
                taken.scaled_from = Some(policies.bounds());
                policies.ask_for(workers);
                let left = (0..workers).map(SlotId).filter(|slot| !fleet.has_ready(*slot));
                Ok(Goal::Scale { to: workers, left: left.collect() })
            }
            Request::Recycle { slot } => self.asked_to_recycle(slot, fleet, policies),
            Request::StopWorker { worker } => asked_to_stop(worker, fleet, turn),
            Request::AbortReload => asked_to_abort(policies, reload, turn),
        };
        match goal {
            Ok(goal) => self.open.push(Open { id, goal, moved: turn.now() }),
            Err(outcome) => turn.order(Action::Answer { request: id, outcome }),
        }
        taken
    }

    fn asked_to_recycle(
        &self,
        slot: Option<SlotId>,
        fleet: &Fleet,
        policies: &Policies,
    ) -> Result<Goal, RequestOutcome> {
        let wanted = policies.wanted();
        let slots = match slot {
            Some(slot) if slot.0 < wanted => slot.0..slot.0 + 1,
            Some(slot) => return Err(RequestOutcome::NotFound(no_such_slot(slot, wanted))),
            None => 0..wanted,
        };
        let same =
            |open: &&Open| matches!(open.goal, Goal::Recycle { slot: its, .. } if its == slot);
        if let Some(open) = self.open.iter().find(same) {
            return Ok(open.goal.clone());
        }
        let old = |slot| {
            let pending = recycle::pending(fleet, policies, self, slot);
            (slot, pending.unwrap_or_else(|| newest_ready(fleet, slot)))
        };
        let left: BTreeMap<SlotId, WorkerId> = slots.map(SlotId).map(old).collect();
        let of = left.len() as u32;
        Ok(Goal::Recycle { slot, left, of })
    }
}

/// What a request has changed at once.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The settings of a reload that is to begin.
    pub reload: Option<(Generation, Policy)>,
    /// The bounds before, if it was about the number of workers.
    pub scaled_from: Option<(u32, u32)>,
}

/// What happens while requests are open.
impl Requests {
    /// The old worker of this slot is no longer needed.
    pub fn recycled(&mut self, slot: SlotId, now: Time) {
        for open in &mut self.open {
            match &mut open.goal {
                Goal::Recycle { left, .. } => {
                    if left.remove(&slot).is_some() {
                        open.moved = now;
                    }
                }
                Goal::Scale { .. } | Goal::Stop(_) | Goal::Abort | Goal::Reload(_) => {}
            }
        }
    }

    /// A worker has failed: a request that waits for one in this slot need not wait any longer. `serving` is the old
    /// worker that serves on there.
    pub fn worker_failed(
        &mut self,
        lost: Lost<'_>,
        serving: Option<WorkerId>,
        fleet: &Fleet,
        policies: &Policies,
        turn: &mut Turn,
    ) {
        let Lost { worker: id, slot, why } = lost;
        let wanted = policies.wanted();
        let what_now = match serving {
            Some(old) => format!("{old} serves on"),
            None => "herder keeps trying".to_owned(),
        };
        let strength = strength(fleet, policies);
        self.answer_those(turn, |open| {
            let rest = match &open.goal {
                Goal::Scale { .. } if slot.0 < wanted && serving.is_none() => strength.clone(),
                Goal::Recycle { left, of, .. } if left.get(&slot).is_some_and(|old| id > *old) => {
                    match of {
                        1 => strength.clone(),
                        _ => format!("{} of {of} slots are recycled", of - left.len() as u32),
                    }
                }
                Goal::Scale { .. }
                | Goal::Recycle { .. }
                | Goal::Stop(_)
                | Goal::Abort
                | Goal::Reload(_) => {
                    return None;
                }
            };
            let reason = format!("{id} ({slot}) {why}, {what_now}; {rest}");
            Some(RequestOutcome::Failed { reason, worker: Some(id) })
        });
    }

    /// A worker's process is no more, or herder no longer waits for its end (`None`).
    pub fn worker_gone(
        &mut self,
        id: WorkerId,
        slot: SlotId,
        ending: Option<&Ending>,
        turn: &mut Turn,
    ) {
        self.answer_those(turn, |open| match open.goal {
            Goal::Stop(its) if its == id => Some(match ending {
                Some(ending) => RequestOutcome::Done(format!("{id} ({slot}) {ending}")),
                None => RequestOutcome::Failed {
                    reason: format!("not even SIGKILL ends {id} ({slot})"),
                    worker: Some(id),
                },
            }),
            Goal::Scale { .. }
            | Goal::Recycle { .. }
            | Goal::Stop(_)
            | Goal::Abort
            | Goal::Reload(_) => None,
        });
    }

    /// A reload is over.
    pub fn reload_over(&mut self, closed: &Closed, strength: &str, turn: &mut Turn) {
        self.answer_those(turn, |open| match (&open.goal, &closed.roll_back) {
            (Goal::Reload(to), _) if *to == closed.to => Some(match &closed.verdict {
                Verdict::Done => RequestOutcome::Done(format!("{to} is in service; {strength}")),
                Verdict::Failed { reason, worker } => {
                    RequestOutcome::Failed { reason: reason.clone(), worker: *worker }
                }
                Verdict::Superseded { by } => RequestOutcome::Superseded { by: *by },
                Verdict::Stopped => RequestOutcome::Stopped,
            }),
            (Goal::Abort, Some(Ok(text))) => Some(RequestOutcome::Done(text.clone())),
            (Goal::Abort, Some(Err(reason))) => Some(failed(reason.clone())),
            _ => None,
        });
    }

    /// herder is to end.
    pub fn stop(&mut self, turn: &mut Turn) {
        self.answer_those(turn, |_| Some(RequestOutcome::Stopped));
    }

    /// Answers requests that get nowhere. `cramped`: something is to be recycled, and the settings leave no room for a
    /// second worker in a slot. Comes before anything is started, or drained, for a request.
    pub fn give_up(&mut self, cramped: bool, fleet: &Fleet, policies: &Policies, turn: &mut Turn) {
        let now = turn.now();
        if policies.incoming().is_some() {
            // A reload has its own clock.
            self.open.iter_mut().for_each(|open| open.moved = now);
            return;
        }
        if self.open.is_empty() {
            return;
        }
        let patience = patience(policies);
        let strength = strength(fleet, policies);
        self.answer_those(turn, |open| match open.goal {
            Goal::Recycle { .. } if cramped => Some(failed(
                "`max-surge` and `max-draining` leave no room for a second worker in a slot; \
                 stop the worker, or reload"
                    .to_owned(),
            )),
            Goal::Scale { .. } | Goal::Recycle { .. } if open.moved + patience <= now => {
                Some(failed(format!("nothing has moved for {}; {strength}", now - open.moved)))
            }
            Goal::Scale { .. }
            | Goal::Recycle { .. }
            | Goal::Stop(_)
            | Goal::Abort
            | Goal::Reload(_) => None,
        });
    }

    /// Answers requests whose goal is reached, or cannot be reached any more.
    pub fn conclude(&mut self, fleet: &Fleet, policies: &Policies, turn: &mut Turn) {
        if self.open.is_empty() {
            return;
        }
        self.note_successors(fleet, policies, turn.now());
        self.note_progress(fleet, policies, turn.now());
        let (wanted, (least, most)) = (policies.wanted(), policies.bounds());
        let superseded = why_so_many(policies);
        let strength = strength(fleet, policies);
        let surplus_told = fleet.surplus(wanted).next().is_none();
        self.answer_those(turn, |open| match &open.goal {
            Goal::Scale { to, .. } if *to != least => {
                Some(failed(format!("{to} workers were asked for, but {superseded}")))
            }
            Goal::Scale { to, left } if left.is_empty() && surplus_told => {
                Some(RequestOutcome::Done(match most > least {
                    true => format!("at least {to} are wanted; {strength}"),
                    false => strength.clone(),
                }))
            }
            Goal::Recycle { slot, left, of } if left.is_empty() => {
                let what = match (slot, of) {
                    (None, 0) => "there was no worker to replace".to_owned(),
                    (None, of) if *of > 1 => format!("all {of} slots have a new worker"),
                    (slot, _) => format!("{} has a new worker", slot.unwrap_or(SlotId(0))),
                };
                Some(RequestOutcome::Done(format!("{what}; {strength}")))
            }
            Goal::Recycle { slot: Some(slot), .. } if slot.0 >= wanted => {
                Some(failed(format!("{slot} is gone: {superseded}")))
            }
            Goal::Scale { .. }
            | Goal::Recycle { .. }
            | Goal::Stop(_)
            | Goal::Abort
            | Goal::Reload(_) => None,
        });
    }

    /// Notes slots in which a new worker serves and no old one does, however that has come about.
    fn note_successors(&mut self, fleet: &Fleet, policies: &Policies, now: Time) {
        let changed: Vec<SlotId> = fleet.changed().collect();
        for slot in changed {
            let Some(old) = self.recycles(slot) else { continue };
            let there = fleet.slot(slot).map_or(&[][..], |slot| slot.workers());
            let old_serves = there.iter().any(|worker| worker.is_ready() && worker.id() <= old);
            let new = recycle::newcomer_after(fleet, policies, old, slot);
            if !old_serves && new.is_some_and(Worker::is_ready) {
                self.recycled(slot, now);
            }
        }
    }

    fn note_progress(&mut self, fleet: &Fleet, policies: &Policies, now: Time) {
        let wanted = policies.wanted();
        for open in &mut self.open {
            let before = open.goal.progress();
            match &mut open.goal {
                Goal::Scale { left, .. } => left.retain(|slot| !fleet.has_ready(*slot)),
                // Slots that are not wanted any more, and whose worker does not stand in for another, need no new worker.
                Goal::Recycle { slot: None, left, of } => {
                    let surplus: Vec<SlotId> = left
                        .range(SlotId(wanted)..)
                        .map(|(slot, _)| *slot)
                        .filter(|slot| !fleet.is_manned(*slot))
                        .collect();
                    surplus.iter().for_each(|slot| {
                        left.remove(slot);
                    });
                    *of -= surplus.len() as u32;
                }
                Goal::Recycle { .. } | Goal::Stop(_) | Goal::Abort | Goal::Reload(_) => {}
            }
            if open.goal.progress() != before {
                open.moved = now;
            }
        }
    }

    fn answer_those(&mut self, turn: &mut Turn, outcome: impl Fn(&Open) -> Option<RequestOutcome>) {
        self.open.retain(|open| match outcome(open) {
            Some(outcome) => {
                turn.order(Action::Answer { request: open.id, outcome });
                false
            }
            None => true,
        });
    }
}

impl Goal {
    fn progress(&self) -> Option<(u32, u32)> {
        match self {
            Goal::Scale { to, left } => Some((to - left.len() as u32, *to)),
            Goal::Recycle { left, of, .. } => Some((of - left.len() as u32, *of)),
            Goal::Stop(_) | Goal::Abort | Goal::Reload(_) => None,
        }
    }

    /// The slots that are still to be recycled, if it is about that.
    fn slots_left(&self) -> Option<&BTreeMap<SlotId, WorkerId>> {
        match self {
            Goal::Recycle { left, .. } => Some(left),
            Goal::Scale { .. } | Goal::Stop(_) | Goal::Abort | Goal::Reload(_) => None,
        }
    }
}

fn asked_to_stop(id: WorkerId, fleet: &mut Fleet, turn: &mut Turn) -> Result<Goal, RequestOutcome> {
    let Some((slot, worker)) = fleet.worker(id) else {
        return Err(RequestOutcome::NotFound(no_such_worker(id, fleet)));
    };
    if worker.facts().remains {
        let text = format!("{id} ({slot}) has ended, what it left behind is being stopped");
        return Err(RequestOutcome::Done(text));
    }
    let generation = worker.generation();
    // A worker that leaves already is only waited for.
    if worker.facts().active() && !worker.is_unwanted() {
        fleet.set_unwanted(id);
        turn.report(Report::StopRequested { worker: id, slot, generation });
    }
    Ok(Goal::Stop(id))
}

fn asked_to_abort(
    policies: &mut Policies,
    reload: &mut Reload,
    turn: &mut Turn,
) -> Result<Goal, RequestOutcome> {
    match reload.phase() {
        None => Err(RequestOutcome::Done("no reload is under way".to_owned())),
        Some(Phase::Replacing) => Err(failed(
            "nothing served before this reload, so there is nothing to go back to".to_owned(),
        )),
        Some(Phase::RollingBack { .. }) => Ok(Goal::Abort),
        Some(Phase::Checking { .. } | Phase::Canary { .. } | Phase::Rolling) => {
            reload.abort_on_request(policies, turn);
            Ok(Goal::Abort)
        }
    }
}

/// The newest worker that serves in the slot: it and older ones are what recycling replaces, while one that is not ready
/// yet is new already. 0, which no worker is, if none serves.
fn newest_ready(fleet: &Fleet, slot: SlotId) -> WorkerId {
    let workers = fleet.slot(slot).map_or(&[][..], |slot| slot.workers());
    let ready = workers.iter().filter(|worker| worker.is_ready());
    ready.map(Worker::id).max().unwrap_or(WorkerId(0))
}

/// How long a request may get nowhere: longer than the slowest stop, start and trial.
fn patience(policies: &Policies) -> Span {
    let rules = policies.for_instance();
    let start = rules.start_timeout.times(MOST_EXTENSION);
    start + rules.min_ready_time.unwrap_or_default() + rules.stop_timeout + PATIENCE
}

pub(crate) fn strength(fleet: &Fleet, policies: &Policies) -> String {
    let wanted = policies.wanted();
    format!("{}/{wanted} workers are ready", fleet.serving_of(wanted))
}

/// What says how many workers are wanted.
fn why_so_many(policies: &Policies) -> String {
    let (wanted, _) = policies.bounds();
    match policies.asked_for() {
        Some(_) => format!("another request set it to {wanted}"),
        None => format!("the settings of {} say {wanted}", policies.for_slots().generation),
    }
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

fn no_such_worker(id: WorkerId, fleet: &Fleet) -> String {
    let with_process = fleet.workers().filter(|(_, worker)| worker.facts().has_process());
    let ids: Vec<String> = with_process.map(|(_, worker)| worker.id().0.to_string()).collect();
    match ids.len() {
        0 => format!("there is no {id}, and no other either"),
        1..=20 => format!("there is no {id}; there are {}", ids.join(", ")),
        n => format!("there is no {id}; there are {n}, the last is {}", ids[n - 1]),
    }
}
