//! Scenarios of herds that scale with their load.

use super::story::{Story, policy};
use herder_core::{
    Action, Condition, Event, Exit, Generation, Load, Notice, Policy, Report, Request,
    RequestOutcome, Scaling, Span, WorkerId,
};

const MINUTE: Span = Span::secs(60);

fn bounds(min: u32, max: u32) -> Policy {
    let scaling = Scaling { max, idle_timeout: MINUTE, exit_idle_time: None };
    Policy { scaling: Some(scaling), ..policy(min) }
}

fn ordered(story: &Story, action: &Action) -> usize {
    story.actions.iter().filter(|there| *there == action).count()
}

/// Answers the sample that was ordered: how many connections wait, and which workers are busy.
fn sampled(story: &mut Story, waiting: u32, busy: &[u64]) {
    let workers = busy.iter().map(|&id| (WorkerId(id), 1000)).collect();
    story.tell(Event::Sampled(Load { waiting, workers, ..Load::default() }));
}

/// Lets time pass until the next sample is ordered.
fn until_sampled(story: &mut Story) {
    let (before, begin) = (ordered(story, &Action::Sample), story.now);
    while ordered(story, &Action::Sample) == before {
        assert!(story.now < begin + Span::secs(3_600), "no sample is ordered");
        let deadline = story.herd.deadline().expect("a sample is due some time");
        story.pass(deadline - story.now);
    }
}

/// Keeps the load constant for `span`; every worker that is started is ready at once.
fn load(story: &mut Story, span: Span, waiting: u32, busy: &[u64]) {
    let end = story.now + span;
    // A sample may be under way. If none is, the event changes nothing.
    answer(story, waiting, busy);
    while story.now < end {
        let samples = ordered(story, &Action::Sample);
        let next = story.herd.deadline().map_or(end, |deadline| deadline.min(end));
        story.pass(next - story.now);
        if ordered(story, &Action::Sample) > samples {
            answer(story, waiting, busy);
        }
    }
}

fn answer(story: &mut Story, waiting: u32, busy: &[u64]) {
    let before = story.spawned().len();
    sampled(story, waiting, busy);
    for (id, ..) in story.spawned().split_off(before) {
        story.up(id);
    }
}

/// Reports that a connection waits, and lets time pass until the sample that follows.
fn knock(story: &mut Story) {
    story.tell(Event::Knocked);
    if story.herd.strength().0 > 0 {
        until_sampled(story);
    }
}

fn wanted(story: &Story) -> u32 {
    story.herd.strength().0
}

#[test]
fn at_rest_there_is_a_watch_and_nothing_else() {
    let mut story = Story::begin(bounds(0, 4));
    assert_eq!(
        story.notices(),
        [Notice::Status("no worker needed, generation 1".to_owned()), Notice::Ready]
    );
    assert_eq!((ordered(&story, &Action::Watch), ordered(&story, &Action::Sample)), (1, 0));
    story.pass(Span::secs(3));
    assert_eq!(story.herd.condition(), Condition::Serving);
    // The watchdog only.
    story.actions.clear();
    story.pass(Span::secs(3_600));
    assert!(story.actions.iter().all(|a| *a == Action::Notify(Notice::Watchdog)));
}

/// A socket that a worker has shut down polls as readable for ever, although no connection is in its queue.
#[test]
fn a_socket_that_is_always_ready_does_not_keep_herder_busy() {
    let mut story = Story::begin(bounds(0, 4));
    let end = story.now + Span::secs(10);
    while story.now < end {
        let samples = ordered(&story, &Action::Sample);
        assert!(samples <= 101, "{samples} samples within 10 s");
        if ordered(&story, &Action::Watch) > ordered(&story, &Action::Sample) {
            story.tell(Event::Knocked);
        }
        if ordered(&story, &Action::Sample) == ordered(&story, &Action::Watch) {
            sampled(&mut story, 0, &[]);
        } else {
            story.now = story.herd.deadline().unwrap();
            story.tell(Event::Tick);
        }
    }
}

#[test]
fn the_first_connection_starts_the_first_worker_at_once() {
    let mut story = Story::begin(bounds(0, 4));
    story.pass(Span::secs(100));
    story.tell(Event::Knocked);
    assert_eq!(ordered(&story, &Action::Sample), 1);
    sampled(&mut story, 1, &[]);
    assert_eq!(story.spawned(), [(1, 0, 1)]);
    assert!(story.herd.status_line().starts_with("scaling 0 → 1: 1 connection waiting"));
    story.up(1);
    assert_eq!(story.herd.status_line(), "1/1 ready, generation 1");
    // No connection waits any more: the socket is watched again, and the worker stays for `idle-timeout`.
    load(&mut story, Span::secs(59), 0, &[]);
    assert_eq!(story.drained(), [0; 0]);
    load(&mut story, Span::secs(2), 0, &[]);
    assert_eq!((story.drained(), wanted(&story)), (vec![1], 0));
}

#[test]
fn no_worker_is_started_when_no_connection_waits_any_more() {
    let mut story = Story::begin(bounds(0, 4));
    story.tell(Event::Knocked);
    // The client has disconnected before the sample.
    sampled(&mut story, 0, &[]);
    assert_eq!((story.spawned().len(), ordered(&story, &Action::Watch)), (0, 2));
}

#[test]
fn steps_double_while_connections_keep_waiting() {
    let mut story = Story::serving(bounds(2, 100));
    let mut sizes = vec![];
    knock(&mut story);
    for _ in 0..6 {
        let all: Vec<u64> = (1..=wanted(&story).into()).collect();
        answer(&mut story, 50, &all);
        sizes.push(wanted(&story));
        until_sampled(&mut story);
    }
    assert_eq!(sizes, [3, 5, 9, 17, 33, 65]);
    assert_eq!(story.herd.counters().scale_ups, 6);
}

#[test]
fn a_growing_queue_doubles_the_number_of_workers() {
    let mut story = Story::serving(bounds(8, 100));
    let all: Vec<u64> = (1..=8).collect();
    knock(&mut story);
    sampled(&mut story, 5, &all);
    assert_eq!(wanted(&story), 9);
    until_sampled(&mut story);
    sampled(&mut story, 40, &all);
    assert_eq!(wanted(&story), 18);
}

#[test]
fn workers_that_are_starting_count_before_more_are_ordered() {
    let mut story = Story::serving(bounds(1, 100));
    knock(&mut story);
    sampled(&mut story, 60, &[1]);
    until_sampled(&mut story);
    sampled(&mut story, 61, &[1]);
    until_sampled(&mut story);
    sampled(&mut story, 62, &[1]);
    let after = wanted(&story);
    assert!((4..=8).contains(&after), "{after}");
    // No worker is ready yet, so no more are ordered for a second; then some are.
    let ordered_at = story.now;
    while wanted(&story) == after {
        until_sampled(&mut story);
        sampled(&mut story, 62, &[1]);
    }
    assert!((story.now - ordered_at).0 >= 900_000, "{}", story.now - ordered_at);
}

#[test]
fn no_worker_is_added_while_an_idle_one_may_accept() {
    let mut story = Story::serving(bounds(2, 10));
    knock(&mut story);
    // An idle worker is about to accept the connection.
    for _ in 0..100 {
        sampled(&mut story, 1, &[1]);
        until_sampled(&mut story);
    }
    assert_eq!(wanted(&story), 2);
    // Both workers are idle and the connection still waits, so the workers are blocked.
    for _ in 0..20 {
        sampled(&mut story, 1, &[]);
        until_sampled(&mut story);
    }
    assert!(wanted(&story) > 2);
}

#[test]
fn no_worker_is_added_while_memory_or_cpus_are_short_except_the_first() {
    for (memory_pressure, cpu_starved, why) in
        [(true, false, "memory is short"), (false, true, "CPUs are short")]
    {
        let short = |waiting| {
            let workers = vec![(WorkerId(1), 1000)];
            Event::Sampled(Load {
                waiting,
                workers,
                memory_pressure,
                cpu_starved,
                ..Load::default()
            })
        };
        let mut story = Story::begin(bounds(0, 10));
        story.tell(Event::Knocked);
        story.tell(short(9));
        assert_eq!(wanted(&story), 1);
        story.up(1);
        for _ in 0..30 {
            until_sampled(&mut story);
            story.tell(short(9));
        }
        assert_eq!(wanted(&story), 1);
        assert!(story.herd.status_line().contains(why), "{}", story.herd.status_line());
        until_sampled(&mut story);
        sampled(&mut story, 9, &[1]);
        assert!(wanted(&story) > 1);
    }
}

#[test]
fn reaching_the_upper_bound_is_reported_once_until_it_is_left() {
    let mut story = Story::serving(bounds(1, 2));
    knock(&mut story);
    load(&mut story, Span::secs(20), 9, &[1, 2]);
    let limits = |story: &Story| {
        story.reports().filter(|report| matches!(report, Report::ScaleLimit { .. })).count()
    };
    assert_eq!((wanted(&story), limits(&story)), (2, 1));
    // In one sample no connection waits.
    load(&mut story, Span::secs(1), 0, &[1, 2]);
    load(&mut story, Span::secs(20), 9, &[1, 2]);
    assert_eq!(limits(&story), 1);
    let line = story.herd.status_line();
    assert!(line.contains("there may be no more workers"), "{line}");
    load(&mut story, Span::secs(70), 0, &[]);
    assert_eq!(wanted(&story), 1);
    knock(&mut story);
    load(&mut story, Span::secs(20), 9, &[1, 3]);
    assert_eq!(limits(&story), 2);
}

#[test]
fn a_constant_load_finds_its_number_and_stays_there() {
    for needed in 1..=9 {
        let mut story = Story::serving(bounds(1, 16));
        knock(&mut story);
        let mut last_change = story.now;
        let begin = story.now;
        while story.now < begin + Span::secs(1_800) {
            // The load keeps `needed` workers busy; connections beyond what they can take wait.
            let before = wanted(&story);
            let ready: Vec<u64> = story
                .herd
                .view()
                .filter(|worker| worker.state == herder_core::WorkerState::Ready)
                .map(|worker| worker.id.0)
                .take(needed)
                .collect();
            let waiting = needed.saturating_sub(ready.len()) as u32;
            answer(&mut story, waiting, &ready);
            for id in story.drained() {
                story.dies(id, Exit::Code(0));
            }
            if wanted(&story) != before {
                last_change = story.now;
            }
            if story.herd.deadline().is_none() || needed == 1 {
                break;
            }
            until_sampled(&mut story);
        }
        assert_eq!(wanted(&story), needed as u32);
        assert!(last_change < begin + Span::secs(300), "{needed}: {last_change}");
    }
}

#[test]
fn workers_stay_longer_if_the_load_comes_back_soon() {
    let mut story = Story::serving(bounds(1, 4));
    let mut stays = Vec::new();
    for _ in 0..6 {
        knock(&mut story);
        until_sampled_and(&mut story, 1);
        let grown = story.now;
        while wanted(&story) > 1 {
            load(&mut story, Span::millis(500), 0, &[]);
        }
        stays.push((story.now - grown).0 / 60_000_000);
        for id in story.drained() {
            story.dies(id, Exit::Code(0));
        }
        story.pass(Span::secs(5));
    }
    assert_eq!(stays, [1, 2, 4, 8, 8, 8]);
}

/// Connections wait until there is one more worker.
fn until_sampled_and(story: &mut Story, more: u32) {
    let before = wanted(story);
    let busy: Vec<u64> = story.herd.view().map(|worker| worker.id.0).collect();
    while wanted(story) < before + more {
        answer(story, more, &busy);
        until_sampled(story);
    }
}

#[test]
fn during_a_reload_workers_are_added_but_none_is_removed() {
    let scaling = Scaling { max: 8, idle_timeout: Span::secs(10), exit_idle_time: None };
    let rules = Policy { scaling: Some(scaling), ..policy(1) };
    let mut story = Story::serving(rules.clone());
    knock(&mut story);
    load(&mut story, Span::millis(100), 9, &[1]);
    let before = wanted(&story);
    assert!(before > 1);
    story.reload(rules);
    let canary = story.spawned().last().unwrap().0;
    story.tell(Event::Spawned { worker: WorkerId(canary) });
    // While its first worker starts slowly, no worker leaves, and more may be started.
    for _ in 0..80 {
        until_sampled(&mut story);
        sampled(&mut story, 0, &[]);
    }
    assert_eq!(wanted(&story), before);
    until_sampled(&mut story);
    sampled(&mut story, 9, &[1, 2, 3, 4]);
    until_sampled(&mut story);
    sampled(&mut story, 9, &[1, 2, 3, 4]);
    assert!(wanted(&story) > before, "{}", wanted(&story));
}

/// A reload to fewer workers is under way when the load brings more: these serve until the new workers are ready.
#[test]
fn workers_started_for_the_load_during_a_reload_leave_last() {
    let mut story = Story::serving(bounds(1, 8));
    story.reload(bounds(2, 2));
    story.tell(Event::Spawned { worker: WorkerId(2) });
    knock(&mut story);
    load(&mut story, Span::millis(300), 9, &[1]);
    let came: Vec<u64> = story.spawned().iter().map(|(id, ..)| *id).filter(|id| *id > 2).collect();
    assert!(came.len() >= 3, "{came:?}");
    for id in &came {
        story.up(*id);
    }
    story.tell(Event::Ready { worker: WorkerId(2) });
    story.pass(Span::secs(1));
    assert_eq!(story.drained(), [1], "only its place is taken");
    let last = story.spawned().last().unwrap().0;
    assert!(!came.contains(&last));
    story.up(last);
    story.pass(Span::secs(1));
    let gone = story.drained();
    assert!(came.iter().all(|id| gone.contains(id)), "{gone:?} of {came:?}");
}

/// The watch for stalls covers sockets with connections; the watch for scaling covers datagram sockets, too.
#[test]
fn the_watch_is_set_again_when_a_fixed_number_becomes_bounds() {
    let stall_timeout = Some(MINUTE);
    let mut story = Story::begin(Policy { stall_timeout, ..policy(1) });
    story.up(1);
    assert_eq!(ordered(&story, &Action::Watch), 1);
    let (generation, policy) = (Generation(1), Policy { stall_timeout, ..bounds(1, 4) });
    story.tell(Event::Adjusted { generation, policy });
    assert_eq!(ordered(&story, &Action::Watch), 2);
}

#[test]
fn scale_moves_the_lower_bound() {
    let mut story = Story::serving(bounds(1, 4));
    let request = story.ask(Request::Scale { workers: 2 });
    story.up(2);
    let told = "at least 2 are wanted; 2/2 workers are ready".to_owned();
    assert_eq!(story.answer(request), Some(RequestOutcome::Done(told)));
    assert_eq!(story.herd.bounds(), (2, 4));
    story.tell(Event::Scale { by: -1 });
    assert_eq!((story.herd.bounds(), wanted(&story)), ((1, 4), 1));
    // Beyond the upper bound, both bounds are the same.
    story.tell(Event::Scale { by: 8 });
    assert_eq!(story.herd.bounds(), (9, 9));
}

#[test]
fn herder_leaves_when_it_has_nothing_to_do_and_looks_once_more() {
    let after = Span::secs(300);
    let scaling = Scaling { max: 4, idle_timeout: MINUTE, exit_idle_time: Some(after) };
    let mut story = Story::begin(Policy { scaling: Some(scaling), ..policy(0) });
    let begin = story.now;
    until_sampled(&mut story);
    assert_eq!(story.now - begin, after);
    // A connection has arrived just before the last look.
    sampled(&mut story, 1, &[]);
    assert_eq!((story.exit(), wanted(&story)), (None, 1));
    story.up(1);
    load(&mut story, Span::secs(61), 0, &[]);
    story.dies(1, Exit::Code(0));
    let rests = story.now;
    until_sampled(&mut story);
    assert_eq!(story.now - rests, after);
    sampled(&mut story, 0, &[]);
    assert_eq!(story.exit(), Some(0));
    assert!(story.reports().any(|report| *report == Report::LeavingIdle { after }));
    assert!(story.notices().contains(&Notice::Stopping));
    // systemd keeps the last STATUS= and shows it in systemctl status.
    assert_eq!(story.herd.status_line(), "nothing to do until the next connection");
}

#[test]
fn a_fixed_number_of_workers_orders_no_samples() {
    let mut story = Story::serving(policy(2));
    story.tell(Event::Knocked);
    sampled(&mut story, 99, &[1, 2]);
    story.pass(Span::secs(1_000));
    assert_eq!((ordered(&story, &Action::Sample), ordered(&story, &Action::Watch)), (0, 0));
    assert_eq!(wanted(&story), 2);
    // Nor does a number that has become fixed by a reload.
    let mut story = Story::serving(bounds(1, 4));
    story.reload(policy(1));
    assert_eq!(story.spawned().last(), Some(&(2, 0, 2)));
    story.up(2);
    assert_eq!(story.herd.generation(), Generation(2));
    story.actions.clear();
    story.tell(Event::Knocked);
    story.pass(Span::secs(1_000));
    assert_eq!((ordered(&story, &Action::Sample), ordered(&story, &Action::Watch)), (0, 0));
}
