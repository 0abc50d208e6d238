//! Per-worker queues: a model of the kernel's side, the properties that every run has to keep, and scenarios.

use super::chance::Dice;
use super::story::{CRASH, Story, policy};
use herder_core::{
    Action, Amount, Condition, Event, Generation, Herd, Policy, QueueId, Request, SlotId, Span,
    Time, WorkerId, WorkerState,
};
use std::collections::{BTreeMap, BTreeSet};

/// For how long the queues of a surplus slot are seen empty before its worker is told to stop: the setting, less the
/// time for which a queue may not have been watched.
const EMPTY_FOR: u64 = 5_000_000 - 250_000;

/// The queues as the kernel has them, and the workers that have them open.
#[derive(Default)]
pub struct Queues {
    pub groups: Vec<Vec<QueueId>>,
    closed: BTreeSet<QueueId>,
    watched: BTreeSet<QueueId>,
    given: BTreeMap<WorkerId, Vec<QueueId>>,
    /// Connections that wait, and until when every worker is too busy to accept them.
    waiting: BTreeMap<QueueId, (u32, Time)>,
    /// When the last connection arrived or was accepted.
    moved: BTreeMap<QueueId, Time>,
    /// Since when each slot has not been wanted.
    surplus: BTreeMap<SlotId, Time>,
}

impl Queues {
    pub fn any(dice: &mut Dice) -> Queues {
        let size = [0, 0, 0, 2, 4, 4, 8][dice.below(7) as usize];
        let group = |first: u32, size: u32| (first..first + size).map(QueueId).collect();
        let groups = match size {
            0 => vec![],
            // A second address has queues of its own.
            4 if dice.below(2) == 0 => vec![group(0, 4), group(10, 3)],
            size => vec![group(0, size)],
        };
        Queues { groups, ..Queues::default() }
    }

    /// A connection arrives in a queue that the selector allows, or in that in which its handshake had begun before.
    pub fn arrives(&mut self, now: Time, dice: &mut Dice) -> Option<(QueueId, Span)> {
        let all: Vec<QueueId> = self.groups.iter().flatten().copied().collect();
        let open = all.iter().copied().filter(|queue| !self.closed.contains(queue));
        let open: Vec<QueueId> = open.collect();
        let choice = if dice.below(6) == 0 { &all } else { &open };
        let queue = *choice.get(dice.below(choice.len().max(1) as u64) as usize)?;
        let slow = Span::millis([0, 0, 0, 40, 2_000][dice.below(5) as usize]);
        self.put(now, queue, slow);
        Some((queue, slow))
    }

    fn put(&mut self, now: Time, queue: QueueId, slow: Span) {
        let (waiting, busy) = self.waiting.entry(queue).or_insert((0, now));
        *waiting += 1;
        *busy = (*busy).max(now + slow);
        self.moved.insert(queue, now);
    }

    /// One connection at each queue.
    pub fn arrive_everywhere(&mut self, now: Time) {
        for queue in self.groups.clone().into_iter().flatten() {
            self.put(now, queue, Span::ZERO);
        }
    }

    pub fn is_watched(&mut self, queue: QueueId) -> bool {
        self.watched.remove(&queue)
    }

    pub fn perform(&mut self, action: &Action) {
        match action {
            Action::Spawn { worker, queues, .. } => {
                for group in &self.groups {
                    let share = queues.iter().filter(|queue| group.contains(queue)).count();
                    assert!(share > 0, "{worker} has none of {group:?}");
                }
                self.given.insert(*worker, queues.clone());
            }
            Action::Steer { closed } => self.closed = closed.iter().copied().collect(),
            Action::WatchQueues { queues } => self.watched = queues.iter().copied().collect(),
            _ => {}
        }
    }

    fn has(&self, worker: WorkerId, queue: QueueId) -> bool {
        self.given.get(&worker).is_some_and(|queues| queues.contains(&queue))
    }

    /// Ready workers accept the connections that wait. Returns the watched queues in which connections still wait.
    pub fn serve(&mut self, now: Time, herd: &Herd) -> Vec<QueueId> {
        let ready: Vec<WorkerId> = herd
            .view()
            .filter(|worker| worker.state == WorkerState::Ready)
            .map(|worker| worker.id)
            .collect();
        let taken = |queue: &QueueId, busy: Time| {
            busy <= now && ready.iter().any(|worker| self.has(*worker, *queue))
        };
        let taken: Vec<QueueId> =
            self.waiting.iter().filter(|(q, (_, busy))| taken(q, *busy)).map(|(q, _)| *q).collect();
        for queue in taken {
            self.waiting.remove(&queue);
            self.moved.insert(queue, now);
        }
        let mut told = Vec::new();
        for queue in self.waiting.keys() {
            if self.watched.remove(queue) {
                told.push(*queue);
            }
        }
        told
    }

    /// Checks the queues when all orders of a turn have been carried out.
    pub fn check(&self, herd: &Herd, policies: &BTreeMap<Generation, Policy>) {
        if herd.condition() == Condition::Stopping {
            return;
        }
        let wanted = herd.strength().0;
        let ready: Vec<(SlotId, WorkerId)> = herd
            .view()
            .filter(|worker| worker.state == WorkerState::Ready)
            .map(|worker| (worker.slot, worker.id))
            .collect();
        for group in &self.groups {
            let served = |queue: &QueueId| ready.iter().any(|(_, id)| self.has(*id, *queue));
            let in_wanted = |queue: &QueueId| {
                ready.iter().any(|(slot, id)| slot.0 < wanted && self.has(*id, *queue))
            };
            let open = |queue: &QueueId| !self.closed.contains(queue);
            assert!(group.iter().any(open), "all of {group:?} is closed");
            if !group.iter().any(served) {
                // During a reload two sets of settings apply, so the shares of the queues are not checked.
                let policy = policies.get(&herd.generation());
                let Some(policy) = policy.filter(|_| herd.progress().is_none()) else { continue };
                let slots = policy.most_workers().max(herd.bounds().0) as usize;
                for (number, queue) in group.iter().enumerate() {
                    // The slots that have this queue by the rule of the contract.
                    let its = |slot: usize| match group.len() {
                        size if size < slots => slot % size == number,
                        _ => number % slots.max(1) == slot && slots > 0,
                    };
                    let wants = (0..wanted as usize).any(its);
                    assert!(open(queue) || !wants, "no queue is served, and {queue} is closed");
                    assert!(
                        !open(queue) || wants || wanted == 0,
                        "{queue} belongs to no wanted slot, and is open"
                    );
                }
                continue;
            }
            for queue in group {
                assert!(served(queue) || !open(queue), "{queue} is open, and no worker serves it");
                assert!(open(queue) || !in_wanted(queue), "{queue} is served, and closed");
            }
        }
    }

    /// A slot that is not wanted loses its worker only when its queues have been empty for long enough, or
    /// it has waited for long enough.
    pub fn leaves_in_time(
        &mut self,
        now: Time,
        herd: &Herd,
        before: &BTreeMap<WorkerId, (SlotId, WorkerState)>,
        actions: &[Action],
        asked_for: &BTreeSet<WorkerId>,
        patience: &BTreeMap<Generation, Span>,
    ) {
        // During a reload, and while workers of settings that were given up are left, two workers of a slot may have
        // different shares of the queues. Then the core drains the older one at once.
        let mixed = herd.view().any(|worker| worker.generation != herd.generation());
        let wanted = herd.strength().0;
        self.surplus.retain(|slot, _| slot.0 >= wanted);
        for (slot, _) in before.values().filter(|(slot, _)| slot.0 >= wanted) {
            self.surplus.entry(*slot).or_insert(now);
        }
        if herd.condition() == Condition::Stopping || wanted == 0 || mixed {
            return;
        }
        let ready: Vec<(SlotId, WorkerId)> = herd
            .view()
            .filter(|worker| worker.state == WorkerState::Ready)
            .map(|worker| (worker.slot, worker.id))
            .collect();
        for action in actions {
            let Action::Drain { worker } = action else { continue };
            let Some((slot, WorkerState::Ready)) = before.get(worker) else { continue };
            let since = self.surplus.get(slot).copied();
            let others_stay = ready.iter().any(|(slot, _)| slot.0 < wanted);
            let (Some(since), true) = (since, others_stay) else { continue };
            let view = herd.view().find(|view| view.id == *worker).expect("it is known");
            if asked_for.contains(worker) || now - since >= patience[&view.generation] {
                continue;
            }
            for queue in self.given.get(worker).into_iter().flatten() {
                // The next worker of the slot may be starting: the slot was wanted until now.
                let had = |(id, (slot, state)): (&WorkerId, &(SlotId, WorkerState))| {
                    slot.0 < wanted && *state == WorkerState::Ready && self.has(*id, *queue)
                };
                let served =
                    ready.iter().any(|(_, id)| self.has(*id, *queue)) || before.iter().any(had);
                let moved = self.moved.get(queue).copied().unwrap_or_default();
                assert!(
                    served || now.0 - moved.0.max(since.0) >= EMPTY_FOR,
                    "{worker} ({slot}) leaves, and {queue} was empty only since {moved}"
                );
            }
        }
    }

    /// Once every wanted worker has been ready for some time, no connection waits in any queue.
    pub fn nothing_waits(&self) {
        assert!(self.waiting.is_empty(), "still waiting: {:?}", self.waiting);
    }
}

// ---- scenarios ----

fn of_four(workers: u32) -> Policy {
    Policy { queues: vec![(0..4).map(QueueId).collect()], ..policy(workers) }
}

fn steered(story: &Story) -> Vec<Vec<u32>> {
    let closed = |action: &Action| match action {
        Action::Steer { closed } => Some(closed.iter().map(|queue| queue.0).collect()),
        _ => None,
    };
    story.actions.iter().filter_map(closed).collect()
}

fn watched(story: &Story) -> Vec<u32> {
    let watched = story.actions.iter().rev().find_map(|action| match action {
        Action::WatchQueues { queues } => Some(queues.iter().map(|queue| queue.0).collect()),
        _ => None,
    });
    watched.unwrap_or_default()
}

fn given(story: &Story) -> Vec<(u64, u32, Vec<u32>)> {
    let spawn = |action: &Action| match action {
        Action::Spawn { worker, slot, queues, .. } => {
            Some((worker.0, slot.0, queues.iter().map(|queue| queue.0).collect()))
        }
        _ => None,
    };
    story.actions.iter().filter_map(spawn).collect()
}

#[test]
fn queues_open_as_their_workers_get_ready_and_close_when_they_end() {
    let mut story = Story::begin(of_four(4));
    assert_eq!(
        given(&story),
        (0..4).map(|n| (n + 1, n as u32, vec![n as u32])).collect::<Vec<_>>()
    );
    assert_eq!(steered(&story), [[0; 0]; 0], "no worker serves: the kernel chooses the queue");
    for worker in 1..=4 {
        story.up(worker);
    }
    assert_eq!(steered(&story), [vec![1, 2, 3], vec![2, 3], vec![3], vec![]]);
    story.pass(Span::secs(20));
    story.actions.clear();
    story.tell(Event::Exited { worker: WorkerId(2), exit: CRASH });
    assert_eq!(steered(&story), [[1]]);
    // The next worker of the slot has the same queue, and the connections that wait in it.
    assert_eq!(given(&story), [(5, 1, vec![1])]);
    let order = |what: fn(&Action) -> bool| story.actions.iter().position(what).unwrap();
    assert!(
        order(|a| matches!(a, Action::Spawn { .. })) < order(|a| matches!(a, Action::Steer { .. })),
        "a replacement does not wait for the selector"
    );
    story.up(5);
    assert_eq!(steered(&story), [vec![1], vec![]]);
    assert_eq!(watched(&story), [0; 0]);
}

#[test]
fn a_reload_keeps_every_queue_open() {
    let mut story = Story::serving(of_four(4));
    story.reload(of_four(4));
    for worker in 5..=8 {
        story.up(worker);
        story.pass(Span::secs(1));
    }
    assert_eq!(steered(&story), [[0; 0]; 0]);
    assert_eq!(story.drained(), [1, 2, 3, 4]);
}

#[test]
fn a_worker_gets_no_new_connections_before_it_is_stopped() {
    let mut story = Story::serving(of_four(4));
    story.ask(Request::StopWorker { worker: WorkerId(3) });
    let steer = story.actions.iter().position(|a| matches!(a, Action::Steer { .. })).unwrap();
    let drain = story.actions.iter().position(|a| matches!(a, Action::Drain { .. })).unwrap();
    assert!(steer < drain);
    assert_eq!(steered(&story), [[2]]);
}

#[test]
fn a_slot_leaves_when_its_queue_has_been_empty_for_five_seconds() {
    let mut story = Story::serving(of_four(4));
    story.ask(Request::Scale { workers: 3 });
    assert_eq!((steered(&story), watched(&story)), (vec![vec![3]], vec![3]));
    story.pass(Span::secs(3));
    // A connection whose handshake had begun before the queue was closed.
    story.actions.clear();
    story.tell(Event::QueueWaits { queue: QueueId(3) });
    story.pass(Span::millis(249));
    assert_eq!(watched(&story), [0; 0], "it is looked at again a little later");
    story.pass(Span::millis(1));
    assert_eq!(watched(&story), [3]);
    story.pass(Span::millis(4_999));
    assert_eq!(story.drained(), [0; 0]);
    story.pass(Span::millis(1));
    assert_eq!(story.drained(), [4]);
}

/// With two slots, slot 1 has queues 1 and 3; with four it has only queue 1.
#[test]
fn a_slot_with_two_workers_leaves_no_queue_of_the_older_one_unserved() {
    let surge = |workers| Policy { max_surge: Amount::Percent(100), ..of_four(workers) };
    let mut story = Story::serving(surge(2));
    story.reload(surge(4));
    story.up(3);
    let last = story.spawned().last().copied();
    assert_eq!(last, Some((6, 1, 2)));
    story.up(6);
    assert_eq!(story.drained(), [0; 0], "the old ones serve until all new ones do");
    story.ask(Request::Scale { workers: 1 });
    assert!(!story.drained().contains(&2), "queue 3 has no other worker");
    story.pass(Span::secs(6));
    assert!(story.drained().contains(&2));
}

#[test]
fn a_queue_that_is_never_empty_keeps_its_slot_for_stop_timeout() {
    let mut story = Story::serving(Policy { stop_timeout: Span::secs(7), ..of_four(4) });
    story.ask(Request::Scale { workers: 3 });
    for _ in 0..27 {
        story.tell(Event::QueueWaits { queue: QueueId(3) });
        story.pass(Span::millis(250));
    }
    assert_eq!(story.drained(), [0; 0]);
    story.pass(Span::millis(250));
    assert_eq!(story.drained(), [4]);
}

#[test]
fn a_slot_that_is_wanted_again_stays() {
    let mut story = Story::serving(of_four(4));
    story.ask(Request::Scale { workers: 3 });
    story.pass(Span::secs(4));
    story.ask(Request::Scale { workers: 4 });
    story.pass(Span::secs(60));
    assert_eq!((story.drained(), given(&story).len()), (vec![], 0));
    assert_eq!(steered(&story), [vec![3], vec![]]);
    assert_eq!(watched(&story), [0; 0]);
}

#[test]
fn a_late_connection_to_a_slot_without_a_worker_is_served() {
    let mut story = Story::serving(of_four(4));
    story.ask(Request::Scale { workers: 3 });
    story.pass(Span::secs(6));
    story.dies(4, CRASH);
    assert_eq!(watched(&story), [3], "queue 3 has no worker now");
    story.actions.clear();
    story.pass(Span::secs(3_000));
    assert_eq!(story.spawned(), []);
    story.tell(Event::QueueWaits { queue: QueueId(3) });
    assert_eq!(given(&story), [(5, 3, vec![3])]);
    assert_eq!(watched(&story), [0; 0]);
    story.up(5);
    assert_eq!(steered(&story), [[0; 0]; 0], "it serves what is there, and gets nothing new");
    story.pass(Span::secs(6));
    assert_eq!(story.drained(), [5]);
    story.dies(5, CRASH);
    assert_eq!(watched(&story), [3]);
    // No other slot gets the queue, until its own is wanted again.
    story.actions.clear();
    story.dies(1, CRASH);
    assert_eq!(given(&story), [(6, 0, vec![0])]);
    story.up(6);
    assert_eq!(steered(&story).last().unwrap(), &[3]);
    story.ask(Request::Scale { workers: 4 });
    story.up(7);
    assert_eq!(given(&story).last().unwrap(), &(7, 3, vec![3]));
    assert_eq!((steered(&story).last().unwrap(), watched(&story)), (&vec![], vec![]));
}

/// A late connection is served also if the settings leave no room for one worker more than wanted.
#[test]
fn a_worker_started_for_a_late_connection_is_within_the_bounds() {
    let frugal = Policy {
        max_surge: Amount::Number(0),
        max_unavailable: Amount::Number(1),
        max_draining: Some(0),
        ..of_four(4)
    };
    let mut story = Story::serving(frugal);
    story.ask(Request::Scale { workers: 3 });
    story.pass(Span::secs(6));
    story.dies(4, CRASH);
    story.tell(Event::QueueWaits { queue: QueueId(3) });
    assert_eq!(given(&story), [(5, 3, vec![3])]);
}

#[test]
fn a_surplus_worker_without_a_queue_leaves_at_once() {
    let mut story = Story::serving(of_four(6));
    story.ask(Request::Scale { workers: 4 });
    assert_eq!(story.drained(), [5, 6], "others have their queues");
    assert_eq!(steered(&story), [[0; 0]; 0]);
}

#[test]
fn workers_leave_at_once_when_no_other_worker_stays() {
    let mut story = Story::serving(of_four(4));
    story.ask(Request::Scale { workers: 0 });
    assert_eq!(story.drained(), [1, 2, 3, 4]);
    let mut story = Story::serving(of_four(4));
    story.tell(Event::Stop);
    assert_eq!(story.drained(), [1, 2, 3, 4]);
    assert_eq!(steered(&story), [[0; 0]; 0]);
}
