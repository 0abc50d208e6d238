//! What happens to workers: each function takes one thing that has happened, or become due, makes the next state of it
//! and puts it on record. What the other parts have to know of it is returned as [`Effect`]s, in the order in which they
//! have to hear of it.

use super::state::{Change, Due};
use super::{Fleet, Worker};
use crate::action::Action;
use crate::event::{Cause, Sight, SpawnFailure};
use crate::exit::Exit;
use crate::ids::{Generation, SlotId, WorkerId};
use crate::policy::Ready;
use crate::reason::{Blame, Ending, Evidence, Hang, Manner};
use crate::report::Report;
use crate::time::{Span, Time};
use crate::turn::Turn;
use alloc::borrow::ToOwned as _;
use alloc::vec::Vec;

/// What the other parts have to know.
#[derive(Debug)]
pub(crate) enum Effect {
    /// A worker serves.
    BecameReady { worker: WorkerId, slot: SlotId, generation: Generation },
    /// A worker is proved: it has been ready for `min-lifetime`.
    Proved,
    /// A worker has left normally, after a life that was of use.
    WasOfUse,
    /// A worker has left, or is leaving, of its own accord and normally.
    LeftNormally { worker: WorkerId, slot: SlotId },
    /// The first exec has failed because of the settings.
    CannotBeExecuted { why: alloc::string::String },
    /// A worker was not ready, or not for long, and no operator had asked for its end.
    Failed { worker: WorkerId, slot: SlotId, generation: Generation, ending: Ending, blame: Blame },
    /// A worker's process has ended, or herder no longer waits for it (`None`).
    IsGone { worker: WorkerId, slot: SlotId, ending: Option<Ending> },
    /// A process has ended: what it has left behind is to be told to stop, after replacements were started.
    Sweep { worker: WorkerId, kill: bool },
    /// A ready worker's time for its wear, its watchdog or its probe has come.
    PartIsDue { worker: WorkerId },
}

/// Something that a worker has said, or that was seen of it.
#[derive(Debug)]
pub(crate) enum Occurrence {
    Spawned,
    NotSpawned(SpawnFailure),
    SaidReady,
    Seen(Sight),
    SaidStopping,
    AskedForTime(Span),
    Exited(Exit),
    Gone,
    OutOfMemory(u64),
    Hangs(Hang),
    Pinged,
    SaidInterval(Span),
}

/// A worker, where it is and of which settings: what reports name.
#[derive(Clone, Copy)]
struct Name {
    worker: WorkerId,
    slot: SlotId,
    generation: Generation,
}

impl Fleet {
    /// Takes note of something that happened to a worker. It is a no-op if it comes too late.
    pub fn take(
        &mut self,
        id: WorkerId,
        what: Occurrence,
        turn: &mut Turn,
        effects: &mut Vec<Effect>,
    ) {
        match what {
            Occurrence::Spawned => self.spawned(id, turn, effects),
            Occurrence::NotSpawned(failure) => self.not_spawned(id, failure, turn, effects),
            Occurrence::SaidReady => self.said_ready(id, turn, effects),
            Occurrence::Seen(sight) => self.seen(id, sight, turn, effects),
            Occurrence::SaidStopping => self.said_stopping(id, turn, effects),
            Occurrence::AskedForTime(by) => {
                self.change(id, Change::MoreTime { by }, turn.now());
            }
            Occurrence::Exited(exit) => self.exited(id, exit, turn, effects),
            Occurrence::Gone => self.gone(id),
            Occurrence::OutOfMemory(processes) => self.out_of_memory(id, processes, turn),
            Occurrence::Hangs(why) => self.hangs(id, why, turn, effects),
            Occurrence::Pinged => self.pinged(id, turn.now()),
            Occurrence::SaidInterval(interval) => self.said_interval(id, interval, turn.now()),
        }
    }

    /// Tells a worker to stop. It is a no-op for one that the shell has not answered for yet, or that leaves already.
    pub fn drain(&mut self, id: WorkerId, turn: &mut Turn) {
        if self.change(id, Change::Drain, turn.now()).is_some() {
            turn.order(Action::Drain { worker: id });
        }
    }

    /// Sends a worker, or what it has left behind, SIGKILL, if it was not sent already.
    pub fn kill(&mut self, id: WorkerId, turn: &mut Turn) {
        let killed = self.worker(id).is_some_and(|(_, worker)| worker.facts().killed);
        if !killed && self.change(id, Change::Kill, turn.now()).is_some() {
            turn.order(Action::Kill { worker: id });
        }
    }

    /// Does what time alone has made due of one worker.
    pub fn expire(&mut self, id: WorkerId, turn: &mut Turn, effects: &mut Vec<Effect>) {
        let now = turn.now();
        let Some((_, worker)) = self.worker(id) else { return };
        if worker.deadline().is_none_or(|due| due > now) {
            return;
        }
        let facts = worker.facts();
        if let Some(start) = worker.state().start() {
            match start.due(worker.assumed_at(), now) {
                Due::Assumed => self.becomes_ready(id, Evidence::Assumed, turn, effects),
                Due::Look => {
                    self.change(id, Change::Look, now);
                    turn.order(Action::Look { worker: id });
                }
                Due::TimedOut => self.timed_out(id, turn, effects),
            }
        } else if facts.serves {
            effects.push(Effect::PartIsDue { worker: id });
        } else if facts.killed {
            self.kill_again(id, turn, effects);
        } else {
            self.kill_after_time_out(id, turn);
        }
    }

    /// Marks the workers that have been ready for `min-lifetime` by now. Nothing wakes herder when that happens, so it is
    /// done before an event is looked at: this may be the one of the worker's death.
    pub fn prove(&mut self, now: Time, effects: &mut Vec<Effect>) {
        while let Some(&(_, id)) = self.tally.proofs.first().filter(|(time, _)| *time <= now) {
            self.edit(id, Worker::note_proved);
            self.vouch(id);
            effects.push(Effect::Proved);
        }
    }

    /// Changes a worker's state. Returns the state before; `None` if there is no such worker, or the change means nothing
    /// in its state.
    fn change(&mut self, id: WorkerId, change: Change, now: Time) -> Option<super::state::State> {
        self.edit(id, |worker| worker.change(change, now))?
    }

    fn name(&self, id: WorkerId) -> Option<Name> {
        let (slot, worker) = self.worker(id)?;
        Some(Name { worker: id, slot, generation: worker.generation() })
    }

    fn spawned(&mut self, id: WorkerId, turn: &mut Turn, effects: &mut Vec<Effect>) {
        if self.change(id, Change::Executed, turn.now()).is_none() {
            return;
        }
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        turn.report(Report::Started { worker, slot, generation });
        let ready = self.worker(id).map(|(_, worker)| worker.policy().ready);
        if ready == Some(Ready::Exec) {
            self.becomes_ready(id, Evidence::Executed, turn, effects);
        }
    }

    fn not_spawned(
        &mut self,
        id: WorkerId,
        failure: SpawnFailure,
        turn: &mut Turn,
        effects: &mut Vec<Effect>,
    ) {
        let now = turn.now();
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        let Some((_, there)) = self.worker(id) else { return };
        if there.state() != super::state::State::Spawning {
            return;
        }
        if failure.cause == Cause::Withdrawn {
            // There was no process, and nothing has failed.
            self.forget(id);
            self.edit_slot(slot, super::Slot::vacate);
            return effects.push(Effect::IsGone { worker, slot, ending: None });
        }
        let ending = Ending::NotStarted(failure.text.clone());
        let past = there.past(ending.clone(), now);
        self.forget(id);
        self.edit_slot(slot, |slot| {
            slot.vacate();
            slot.remember(past);
        });
        let why = failure.text.clone();
        turn.report(Report::NotStarted { worker, slot, generation, why });
        effects.push(Effect::IsGone { worker, slot, ending: Some(ending.clone()) });
        let blame = match failure.cause {
            Cause::Settings => {
                effects.push(Effect::CannotBeExecuted { why: failure.text });
                Blame::Worker
            }
            Cause::System | Cause::Withdrawn => Blame::System,
        };
        effects.push(Effect::Failed { worker, slot, generation, ending, blame });
    }

    fn said_ready(&mut self, id: WorkerId, turn: &mut Turn, effects: &mut Vec<Effect>) {
        let Some((_, worker)) = self.worker(id) else { return };
        if !worker.may_notify() {
            return;
        }
        if worker.is_ready() {
            self.edit(id, Worker::confirm_ready);
        } else {
            self.becomes_ready(id, Evidence::Notified, turn, effects);
        }
    }

    fn seen(&mut self, id: WorkerId, sight: Sight, turn: &mut Turn, effects: &mut Vec<Effect>) {
        if self.change(id, Change::LookedInVain, turn.now()).is_none() {
            return;
        }
        if sight == Sight::Waiting {
            self.becomes_ready(id, Evidence::Accepting, turn, effects);
        } else {
            self.edit(id, |worker| worker.note_sight(sight));
        }
    }

    fn becomes_ready(
        &mut self,
        id: WorkerId,
        evidence: Evidence,
        turn: &mut Turn,
        effects: &mut Vec<Effect>,
    ) {
        let now = turn.now();
        let Some(before) = self.change(id, Change::BecameReady, now) else { return };
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        self.edit(id, |worker| worker.note_ready(evidence, now));
        self.edit_slot(slot, |slot| slot.attempted(true));
        self.ever_ready = true;
        let after = before.start().map_or(Span::ZERO, |start| now - start.since);
        effects.push(Effect::BecameReady { worker, slot, generation });
        turn.report(Report::Ready { worker, slot, generation, evidence, after });
    }

    fn said_stopping(&mut self, id: WorkerId, turn: &mut Turn, effects: &mut Vec<Effect>) {
        let now = turn.now();
        if self.change(id, Change::Retire, now).is_none() {
            return;
        }
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        let lived = self.worker(id).map_or(Span::ZERO, |(_, worker)| now - worker.born());
        self.edit_slot(slot, super::Slot::vacate);
        turn.report(Report::Retiring { worker, slot, generation });
        self.left_normally(worker, slot, lived, now, effects);
    }

    /// A server that recycles itself works, however short the lives of its workers are.
    fn left_normally(
        &mut self,
        worker: WorkerId,
        slot: SlotId,
        lived: Span,
        now: Time,
        effects: &mut Vec<Effect>,
    ) {
        if self.edit_slot(slot, |slot| slot.ended_normally(now, lived)) == Some(true) {
            effects.push(Effect::WasOfUse);
        }
        effects.push(Effect::LeftNormally { worker, slot });
    }

    fn timed_out(&mut self, id: WorkerId, turn: &mut Turn, effects: &mut Vec<Effect>) {
        let now = turn.now();
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        let Some((_, there)) = self.worker(id) else { return };
        let Some(start) = there.state().start() else { return };
        let after = now - start.since;
        let why = there.diagnosis().map(str::to_owned);
        let ending = Ending::TimedOut { after, why: why.clone() };
        let past = there.past(ending.clone(), now);
        self.drain(id, turn);
        self.edit_slot(slot, |slot| {
            slot.vacate();
            slot.remember(past);
        });
        turn.report(Report::TimedOut { worker, slot, generation, after, why });
        effects.push(Effect::Failed { worker, slot, generation, ending, blame: Blame::Timeout });
    }

    /// Gives a worker up that serves, or should begin to, and does nothing. It is sent SIGABRT, so that it can show where
    /// it hangs. Its place is free at once: its replacement waits for no dump, only for the bound on processes.
    fn hangs(&mut self, id: WorkerId, why: Hang, turn: &mut Turn, effects: &mut Vec<Effect>) {
        let now = turn.now();
        if self.change(id, Change::Abort, now).is_none() {
            return;
        }
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        let Some((_, there)) = self.worker(id) else { return };
        let (lived, vouched_for) = (now - there.born(), there.is_vouched_for());
        let ending = Ending::Hung(why.clone());
        let past = there.past(ending.clone(), now);
        self.edit(id, |worker| worker.note_hang(why.clone()));
        turn.order(Action::Abort { worker });
        self.edit_slot(slot, |slot| {
            slot.vacate();
            slot.remember(past);
        });
        turn.report(Report::Hung { worker, slot, generation, lived, why });
        if !vouched_for {
            effects.push(Effect::Failed { worker, slot, generation, ending, blame: Blame::Worker });
        }
    }

    fn exited(&mut self, id: WorkerId, exit: Exit, turn: &mut Turn, effects: &mut Vec<Effect>) {
        let now = turn.now();
        let Some(before) = self.change(id, Change::Exit, now) else { return };
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        let Some((_, there)) = self.worker(id) else { return };
        let lived = now - there.born();
        let was_ready = there.ready().is_some();
        let normal = there.policy().success.contains(exit);
        let manner = before.manner_of_exit(normal, there.is_proved());
        let why = there.mistake().filter(|_| manner == Manner::BeforeReady).map(str::to_owned);
        let ending = Ending::Exited { exit, manner, why: why.clone() };
        let past = there.past(ending.clone(), now);
        turn.report(Report::Ended {
            worker,
            slot,
            generation,
            exit,
            manner,
            lived,
            was_ready,
            why,
        });
        effects.push(Effect::Sweep { worker, kill: before.facts().killed });
        effects.push(Effect::IsGone { worker, slot, ending: Some(ending.clone()) });
        let had_said_so = before.facts().leaving;
        match manner {
            // The story of a worker that was told to stop, or that timed out, was told when that happened.
            Manner::Ordered => {}
            // Its place was free, and may have been taken, since it said that it leaves.
            Manner::Retired if had_said_so => {
                self.edit_slot(slot, |slot| slot.remember(past));
            }
            Manner::BeforeReady | Manner::Young | Manner::Crashed | Manner::Retired => {
                self.edit_slot(slot, |slot| {
                    slot.vacate();
                    slot.remember(past);
                });
            }
        }
        match manner {
            Manner::BeforeReady | Manner::Young => {
                let blame = Blame::Worker;
                effects.push(Effect::Failed { worker, slot, generation, ending, blame });
            }
            Manner::Retired if !had_said_so => {
                self.left_normally(worker, slot, lived, now, effects);
            }
            Manner::Ordered | Manner::Crashed | Manner::Retired => {}
        }
    }

    /// The kernel tells no more than the number; how the worker itself ended comes with its exit.
    fn out_of_memory(&mut self, id: WorkerId, processes: u64, turn: &mut Turn) {
        if processes == 0 {
            return;
        }
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        self.edit(id, |worker| worker.note_oom_kills(processes));
        turn.report(Report::OutOfMemory { worker, slot, generation, processes });
    }

    fn gone(&mut self, id: WorkerId) {
        if self.worker(id).is_some_and(|(_, worker)| worker.facts().remains) {
            self.forget(id);
        }
    }

    fn pinged(&mut self, id: WorkerId, now: Time) {
        self.edit(id, |worker| worker.watchdog.ping(now));
        self.vouch(id);
    }

    /// Whether there is a watchdog at all is the operator's choice.
    fn said_interval(&mut self, id: WorkerId, interval: Span, now: Time) {
        let expected = |worker: &Worker| worker.policy().watchdog.is_some();
        if self.worker(id).is_some_and(|(_, worker)| expected(worker)) {
            self.edit(id, |worker| worker.watchdog.set_interval(interval, now));
            self.vouch(id);
        }
    }

    /// A worker is known to have lived for `min-lifetime` while ready: what failed in its slot before no longer counts.
    fn vouch(&mut self, id: WorkerId) {
        if self.edit(id, Worker::vouch) == Some(true) {
            let slot = self.places.get(&id).copied();
            slot.and_then(|slot| self.edit_slot(slot, super::Slot::proved));
        }
    }

    /// The time that a worker, or what it has left behind, had to stop is over.
    fn kill_after_time_out(&mut self, id: WorkerId, turn: &mut Turn) {
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        let Some((_, there)) = self.worker(id) else { return };
        let remains = there.facts().remains;
        let after = match there.hang().is_some() {
            true => there.policy().abort_timeout(),
            false => there.policy().stop_timeout,
        };
        self.change(id, Change::Kill, turn.now());
        turn.report(match remains {
            true => Report::RemainderKilled { worker, slot, generation },
            false => Report::Killed { worker, slot, generation, after },
        });
        turn.order(Action::Kill { worker });
    }

    /// SIGKILL has not ended it yet. What a dead worker has left behind is killed again; after a while herder no longer
    /// waits.
    fn kill_again(&mut self, id: WorkerId, turn: &mut Turn, effects: &mut Vec<Effect>) {
        let now = turn.now();
        let Some(Name { worker, slot, generation }) = self.name(id) else { return };
        let Some((_, there)) = self.worker(id) else { return };
        if there.state().is_being_buried(now) {
            self.change(id, Change::Kill, now);
            return turn.order(Action::Kill { worker });
        }
        self.forget(id);
        turn.report(Report::Unkillable { worker, slot, generation });
        effects.push(Effect::IsGone { worker, slot, ending: None });
        turn.order(Action::Abandon { worker });
    }
}
