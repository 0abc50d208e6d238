//! Scenarios, step by step. The random runs reach the same situations; here the exact outcome is checked.

use super::story::{CRASH, Story, Verdict, policy};
use herder_core::{
    Action, Amount, Cause, Condition, Event, Exit, Generation, Notice, Outcome, Policy, Ready,
    ReadyWhen, Report, SlotId, Span, SpawnFailure, WorkerId, WorkerState,
};

#[test]
fn a_proved_worker_is_replaced_before_its_processes_are_swept() {
    let mut story = Story::serving(policy(2));
    story.tell(Event::Exited { worker: WorkerId(1), exit: CRASH });
    let spawn = story.actions.iter().position(|a| matches!(a, Action::Spawn { .. }));
    let sweep = story.actions.iter().position(|a| matches!(a, Action::Sweep { .. }));
    assert_eq!(story.spawned(), [(3, 0, 1)]);
    assert!(spawn < sweep, "{:?}", story.actions);
    assert_eq!(story.herd.counters().crashes, 1);
}

#[test]
fn the_replacement_of_a_worker_that_was_not_proved_waits_for_its_back_off() {
    let mut story = Story::begin(policy(2));
    story.up(1);
    story.up(2);
    story.actions.clear();
    story.dies(1, Exit::Code(0));
    assert_eq!(story.spawned(), []);
    story.pass(Span::millis(101));
    assert_eq!(story.spawned(), [(3, 0, 1)]);
}

#[test]
fn a_broken_canary_changes_nothing() {
    let mut story = Story::serving(policy(3));
    story.reload(policy(3));
    assert_eq!(story.spawned(), [(4, 0, 2)]);
    story.tell(Event::Spawned { worker: WorkerId(4) });
    story.dies(4, CRASH);
    assert_eq!(story.drained(), [0; 0]);
    let [(2, Verdict::Failed { reason, worker })] = &story.verdicts()[..] else {
        panic!("{:?}", story.verdicts());
    };
    assert_eq!(*worker, Some(WorkerId(4)));
    assert_eq!(
        reason,
        "worker 4 (slot 0) exited with status 1 before it was ready; rolled back to generation 1"
    );
    assert_eq!(story.herd.strength(), (3, 3));
    assert!(
        story
            .herd
            .status_line()
            .starts_with("3/3 ready, generation 1; reload to generation 2 failed: worker 4")
    );
    let notices = story.notices();
    assert!(matches!(notices[0], Notice::Reloading(_)));
    assert!(notices.contains(&Notice::Ready), "READY=1 has to follow RELOADING=1: {notices:?}");
}

#[test]
fn a_reload_that_fails_halfway_is_rolled_back_and_keeps_serving_workers() {
    let mut story = Story::serving(policy(3));
    story.reload(policy(3));
    story.up(4);
    story.up(5);
    assert_eq!(story.drained(), [1, 2]);
    story.dies(1, Exit::Code(0));
    story.dies(2, Exit::Code(0));
    story.tell(Event::Spawned { worker: WorkerId(6) });
    story.dies(6, CRASH);
    // One slot at a time: the worker of the old generation is ready before that of the new one is drained.
    assert_eq!(story.spawned().last(), Some(&(7, 0, 1)));
    story.up(7);
    assert_eq!(story.drained(), [1, 2, 4]);
    story.up(8);
    assert_eq!(story.drained(), [1, 2, 4, 5]);
    let [(2, Verdict::Failed { reason, .. })] = &story.verdicts()[..] else {
        panic!("{:?}", story.verdicts());
    };
    assert!(reason.ends_with("; rolled back to generation 1"), "{reason}");
    assert_eq!(story.herd.strength(), (3, 3));
}

#[test]
fn a_roll_back_that_fails_is_reported_and_keeps_serving_workers() {
    let mut story = Story::serving(policy(2));
    story.reload(policy(2));
    story.up(3);
    story.dies(1, Exit::Code(0));
    story.tell(Event::Spawned { worker: WorkerId(4) });
    story.dies(4, CRASH);
    story.tell(Event::Spawned { worker: WorkerId(5) });
    story.dies(5, CRASH);
    let [(2, Verdict::Failed { reason, .. })] = &story.verdicts()[..] else {
        panic!("{:?}", story.verdicts());
    };
    assert!(
        reason.ends_with("rolled back to generation 1, but its files have changed"),
        "{reason}"
    );
    let ready: Vec<u64> = story
        .herd
        .view()
        .filter(|worker| worker.state == WorkerState::Ready)
        .map(|worker| worker.id.0)
        .collect();
    assert_eq!(ready, [3, 2]);
}

#[test]
fn a_canary_that_is_only_assumed_ready_is_watched_for_a_second() {
    let auto = Policy { ready: Ready::Auto, ..policy(1) };
    let mut story = Story::begin(auto.clone());
    story.up(1);
    story.pass(Span::secs(20));
    story.reload(auto);
    story.tell(Event::Spawned { worker: WorkerId(2) });
    story.pass(Span::millis(1_999));
    assert_eq!(story.verdicts(), []);
    story.pass(Span::millis(1));
    assert_eq!(story.verdicts(), [(2, Verdict::Done)]);
}

#[test]
fn without_surge_the_canary_takes_a_drained_slot() {
    let frugal =
        Policy { max_surge: Amount::Number(0), max_unavailable: Amount::Number(1), ..policy(2) };
    let mut story = Story::serving(frugal.clone());
    story.reload(frugal);
    assert_eq!((story.drained(), story.spawned()), (vec![1], vec![(3, 0, 2)]));
    story.up(3);
    assert_eq!((story.drained(), story.spawned().len()), (vec![1, 2], 2));
    story.up(4);
    assert_eq!(story.verdicts(), [(2, Verdict::Done)]);
}

/// Dead workers leave room in which the canary's slot could get its old worker back, but empty slots need that room
/// first.
#[test]
fn the_slot_of_the_canary_is_filled_after_the_empty_ones() {
    let frugal =
        Policy { max_surge: Amount::Number(0), max_unavailable: Amount::Number(1), ..policy(3) };
    let mut story = Story::serving(frugal.clone());
    story.reload(Policy { min_ready_time: Some(Span::secs(30)), ..frugal });
    story.dies(1, Exit::Code(0));
    story.up(4);
    // Worker 3 retires and still has its process, so its slot is less empty than one without a process.
    story.tell(Event::Stopping { worker: WorkerId(3) });
    let active = story
        .herd
        .view()
        .filter(|worker| matches!(worker.state, WorkerState::Starting | WorkerState::Ready));
    assert_eq!(active.count(), 3, "{:?}", story.spawned());
    assert_eq!(story.spawned().last().map(|spawn| spawn.1), Some(2));
}

#[test]
fn a_newer_reload_takes_over() {
    let mut story = Story::serving(policy(2));
    story.reload(policy(2));
    story.up(3);
    story.reload(policy(2));
    assert_eq!(story.verdicts(), [(2, Verdict::Superseded { by: Generation(3) })]);
    let reloading = story.notices().iter().filter(|n| matches!(n, Notice::Reloading(_))).count();
    assert_eq!(reloading, 1, "one RELOADING=1 for the READY=1 that is to come");
    // The workers that serve count as old; those that were starting are stopped to make room for the canary.
    story.tell(Event::Spawned { worker: WorkerId(4) });
    assert_eq!(story.drained(), [1, 4]);
    let canary = story.spawned().last().copied().expect("a canary");
    assert_eq!(canary.2, 3);
}

#[test]
fn a_stop_ends_a_reload_and_stops_every_worker() {
    let mut story = Story::serving(policy(2));
    story.reload(policy(2));
    story.tell(Event::Spawned { worker: WorkerId(3) });
    story.tell(Event::Stop);
    assert_eq!(story.verdicts(), [(2, Verdict::Stopped)]);
    assert_eq!(story.drained(), [1, 3, 2]);
    for worker in [1, 2, 3] {
        story.dies(worker, Exit::Code(0));
    }
    assert_eq!(story.exit(), Some(0));
    assert!(!story.notices().contains(&Notice::Ready));
}

#[test]
fn the_second_stop_kills_every_worker() {
    let mut story = Story::serving(policy(1));
    story.tell(Event::Stop);
    story.tell(Event::Stop);
    assert!(story.actions.contains(&Action::Kill { worker: WorkerId(1) }));
}

#[test]
fn a_reload_before_the_first_ready_replaces_the_settings_at_once() {
    let mut story = Story::begin(policy(2));
    story.up(1);
    story.reload(policy(1));
    assert!(!story.notices().iter().any(|notice| matches!(notice, Notice::Reloading(_))));
    story.tell(Event::Spawned { worker: WorkerId(2) });
    let new = story.spawned().last().copied().expect("a worker of the new settings");
    assert_eq!(new.2, 2);
    story.up(new.0);
    assert_eq!(story.verdicts(), [(2, Verdict::Done)]);
    assert_eq!(story.herd.strength(), (1, 1));
}

#[test]
fn with_no_worker_wanted_herder_is_ready_and_still_tries_new_settings() {
    let mut story = Story::begin(policy(0));
    assert!(story.notices().contains(&Notice::Ready));
    story.reload(policy(0));
    assert_eq!(story.spawned(), [(1, 0, 2)]);
    story.up(1);
    assert_eq!(story.drained(), [1]);
    assert_eq!(story.verdicts(), [(2, Verdict::Done)]);
    assert_eq!(story.herd.past_reloads().next().map(|past| past.outcome), Some(Outcome::Done));
}

#[test]
fn the_exit_status_tells_the_kind_of_failure() {
    // Every attempt dies: 69.
    let mut story = Story::begin(policy(1));
    for worker in 1..=5 {
        story.tell(Event::Spawned { worker: WorkerId(worker) });
        story.dies(worker, CRASH);
        story.pass(Span::secs(5));
    }
    assert_eq!(story.exit(), Some(69));
    assert!(story.notices().contains(&Notice::Stopping));

    // Every attempt times out: 75.
    let mut story = Story::begin(Policy { start_timeout: Span::secs(1), ..policy(1) });
    for worker in 1..=5 {
        story.tell(Event::Spawned { worker: WorkerId(worker) });
        story.pass(Span::secs(1));
        story.dies(worker, Exit::Code(0));
        story.pass(Span::secs(5));
    }
    assert_eq!(story.exit(), Some(75));

    // The system refuses: 71. Settings that cannot be executed, at the first start: 78 at once.
    for (cause, tries, status) in [(Cause::System, 5, 71), (Cause::Settings, 1, 78)] {
        let mut story = Story::begin(policy(1));
        for worker in 1..=tries {
            let failure = SpawnFailure { cause, text: "cannot execute /srv/app".to_owned() };
            story.tell(Event::SpawnFailed { worker: WorkerId(worker), failure });
            story.pass(Span::secs(5));
        }
        assert_eq!(story.exit(), Some(status));
    }
}

#[test]
fn herder_does_not_escalate_while_one_worker_serves() {
    let mut story = Story::serving(policy(2));
    let mut worker = 2;
    for _ in 0..40 {
        story.tell(Event::Spawned { worker: WorkerId(worker) });
        story.dies(worker, CRASH);
        story.pass(Span::secs(31));
        worker = story.spawned().last().map_or(worker, |spawn| spawn.0);
    }
    assert_eq!(story.exit(), None);
    assert_eq!(story.herd.condition(), Condition::Degraded);
    assert!(
        story.herd.status_line().starts_with("degraded 1/2: slot 1 "),
        "{}",
        story.herd.status_line()
    );
}

#[test]
fn ready_1_is_sent_when_every_slot_is_ready_or_has_failed() {
    let mut story = Story::begin(policy(2));
    story.up(1);
    assert!(!story.notices().contains(&Notice::Ready));
    story.tell(Event::Spawned { worker: WorkerId(2) });
    story.dies(2, CRASH);
    assert!(story.notices().contains(&Notice::Ready));

    let mut story = Story::begin(Policy { ready_when: ReadyWhen::Any, ..policy(2) });
    story.up(1);
    assert!(story.notices().contains(&Notice::Ready));
}

#[test]
fn a_late_turn_sends_no_ping_and_the_next_one_does() {
    let mut story = Story::serving(policy(1));
    let pings = |story: &Story| story.notices().iter().filter(|n| **n == Notice::Watchdog).count();
    story.now = story.herd.deadline().expect("a ping is due") + Span::secs(8);
    story.tell(Event::Tick);
    assert_eq!(pings(&story), 0, "late by more than a quarter of the interval");
    story.tell(Event::Tick);
    assert_eq!(pings(&story), 1);
}

#[test]
fn scaling_lasts_until_the_next_successful_reload() {
    let mut story = Story::serving(policy(2));
    story.tell(Event::Scale { by: 1 });
    story.up(3);
    assert_eq!(story.herd.strength(), (3, 3));
    // A failed reload leaves it …
    story.reload(policy(2));
    story.tell(Event::Spawned { worker: WorkerId(4) });
    story.dies(4, CRASH);
    assert_eq!(story.herd.strength(), (3, 3));
    // … a successful one ends it.
    story.reload(policy(2));
    for worker in 5..=6 {
        story.up(worker);
    }
    assert_eq!(story.verdicts().last(), Some(&(3, Verdict::Done)));
    assert_eq!(story.herd.strength(), (2, 2));
    story.tell(Event::Scale { by: -9 });
    assert_eq!(story.herd.strength().0, 0);
}

#[test]
fn processes_of_a_dead_worker_are_stopped_then_killed() {
    let mut story = Story::serving(policy(1));
    story.tell(Event::Exited { worker: WorkerId(1), exit: CRASH });
    assert!(story.actions.contains(&Action::Sweep { worker: WorkerId(1), kill: false }));
    story.pass(Span::secs(30));
    let killed =
        Report::RemainderKilled { worker: WorkerId(1), slot: SlotId(0), generation: Generation(1) };
    assert!(story.actions.contains(&Action::Report(killed)));
    assert!(story.actions.contains(&Action::Kill { worker: WorkerId(1) }));
}

/// Sending a message to systemd, or an answer to a client, takes time, too.
#[test]
fn a_wait_that_ends_while_systemd_is_told_is_not_forgotten() {
    let mut story = Story::serving(policy(1));
    story.dies(1, CRASH);
    story.tell(Event::Spawned { worker: WorkerId(2) });
    story.dies(2, CRASH);
    let due = story.herd.deadline().expect("it is tried again");
    story.herd.tell(due + Span::millis(1), &mut story.actions);
    assert!(story.herd.deadline().is_some_and(|time| time <= due), "{:?}", story.herd.deadline());
    story.pass(Span::millis(101));
    assert_eq!(story.spawned().last(), Some(&(3, 0, 1)));
}

/// A start that waits for the shell is withdrawn when herder ends: nothing has failed, and nothing is waited for.
#[test]
fn a_start_that_is_withdrawn_is_no_failure() {
    let mut story = Story::begin(policy(2));
    story.tell(Event::Spawned { worker: WorkerId(1) });
    story.tell(Event::Stop);
    let failure = SpawnFailure { cause: Cause::Withdrawn, text: "herder ends".to_owned() };
    story.tell(Event::SpawnFailed { worker: WorkerId(2), failure });
    assert_eq!(story.exit(), None, "worker 1 has still to end");
    story.tell(Event::Exited { worker: WorkerId(1), exit: Exit::Code(0) });
    story.tell(Event::Gone { worker: WorkerId(1) });
    assert_eq!(story.exit(), Some(0));
    let is_failure = |action: &Action| {
        matches!(action, Action::Report(Report::NotStarted { .. } | Report::BackingOff { .. }))
    };
    assert!(!story.actions.iter().any(is_failure), "{:?}", story.actions);
    assert_eq!(story.herd.counters().failed_to_start, 0);
}
