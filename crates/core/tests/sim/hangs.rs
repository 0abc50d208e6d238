//! Workers that hang, and workers that are only late, seen by their watchdog and their probe.

use super::story::{Story, policy};
use herder_core::{
    Action, Condition, Ending, Event, Exit, Hang, Policy, Probe, Report, Span, Time, WorkerId,
    WorkerState,
};

const INTERVAL: Span = Span::secs(32);
/// How much later than its interval a ping may be: a sixteenth of the interval, a second at most.
const MOMENT: Span = Span::secs(1);
const ABORTED: Exit = Exit::Signal { number: 6, core: true };

/// Two workers that have been ready for 20 s and have just sent WATCHDOG=1.
fn watched(stop_timeout: Span) -> Story {
    let watched = Policy { watchdog: Some(INTERVAL), stop_timeout, ..policy(2) };
    let mut story = Story::serving(watched);
    for id in [1, 2] {
        alive(&mut story, id);
    }
    story
}

fn alive(story: &mut Story, id: u64) {
    story.tell(Event::Alive { worker: WorkerId(id) });
}

fn listened(story: &mut Story, id: u64) {
    story.tell(Event::Listened { worker: WorkerId(id) });
}

/// Lets time pass while only worker 2 pings.
fn one_is_silent(story: &mut Story, span: Span) {
    let end = story.now + span;
    while story.now < end {
        let step = (end - story.now).min(Span::secs(10));
        story.pass(step);
        alive(story, 2);
    }
}

fn listened_to(story: &Story) -> Vec<u64> {
    let listen = |action: &Action| match action {
        Action::Listen { worker } => Some(worker.0),
        _ => None,
    };
    story.actions.iter().filter_map(listen).collect()
}

fn aborted(story: &Story) -> Vec<u64> {
    let abort = |action: &Action| match action {
        Action::Abort { worker } => Some(worker.0),
        _ => None,
    };
    story.actions.iter().filter_map(abort).collect()
}

fn killed(story: &Story) -> bool {
    story.actions.contains(&Action::Kill { worker: WorkerId(1) })
}

#[test]
fn a_worker_that_stops_pinging_is_aborted_and_replaced_at_once() {
    let mut story = watched(Span::secs(30));
    one_is_silent(&mut story, Span(INTERVAL.0 + MOMENT.0 - 1));
    assert_eq!((listened_to(&story), aborted(&story)), (vec![], vec![]));
    one_is_silent(&mut story, Span(1));
    assert_eq!((listened_to(&story), aborted(&story)), (vec![1], vec![]));
    listened(&mut story, 1);
    assert_eq!((aborted(&story), story.spawned()), (vec![1], vec![(3, 0, 1)]));
    let counters = story.herd.counters();
    assert_eq!((counters.hung, counters.respawns), (1, 1));
    assert_eq!((counters.crashes, counters.failures()), (0, 0));
    let view = story.herd.view().find(|worker| worker.id == WorkerId(1)).unwrap();
    assert_eq!(view.state, WorkerState::Draining);
    assert_eq!(view.diagnosis.as_deref(), Some("hung: no WATCHDOG=1 for 32s"));
    // The ordered end does not count as a crash, and the slot's last exit is the hang.
    story.dies(1, ABORTED);
    assert_eq!(story.herd.counters().crashes, 0);
    story.up(3);
    let view = story.herd.view().find(|worker| worker.id == WorkerId(3)).unwrap();
    assert_eq!(view.last.unwrap().ending, Ending::Hung(Hang::Silent(INTERVAL)));
    assert_eq!(story.drained(), [0; 0]);
}

#[test]
fn a_worker_that_ignores_sigabrt_is_killed() {
    for (stop_timeout, abort_timeout) in
        [(Span::secs(5), Span::secs(5)), (Span::MAX, Span::secs(90))]
    {
        let mut story = watched(stop_timeout);
        one_is_silent(&mut story, INTERVAL + MOMENT);
        listened(&mut story, 1);
        story.up(3);
        let begin = story.now;
        while !killed(&story) {
            alive(&mut story, 2);
            alive(&mut story, 3);
            let next = (begin + abort_timeout - story.now).min(Span::secs(10));
            assert!(next > Span::ZERO, "not killed after {abort_timeout}");
            story.pass(next);
        }
        assert_eq!(story.now, begin + abort_timeout);
        let is_kill = |report: &&Report| matches!(report, Report::Killed { after, .. } if *after == abort_timeout);
        assert_eq!(story.reports().filter(is_kill).count(), 1);
    }
}

#[test]
fn a_ping_read_before_the_abort_counts() {
    let mut story = watched(Span::secs(30));
    one_is_silent(&mut story, INTERVAL + MOMENT);
    assert_eq!(listened_to(&story), [1]);
    alive(&mut story, 1);
    listened(&mut story, 1);
    assert_eq!(aborted(&story), [0; 0]);
    // From that ping on, the worker has its whole interval.
    one_is_silent(&mut story, Span(INTERVAL.0 + MOMENT.0 - 1));
    assert_eq!(listened_to(&story), [1]);
}

#[test]
fn no_worker_is_aborted_by_a_herder_that_was_held_up() {
    let mut story = watched(Span::secs(30));
    // herder is stopped for minutes. No worker is aborted, whichever event comes first afterwards and however late
    // the next turns are.
    story.now = story.now + Span::secs(300);
    alive(&mut story, 2);
    story.tell(Event::Tick);
    assert_eq!(listened_to(&story), [0; 0]);
    for _ in 0..5 {
        story.now = story.now + MOMENT + MOMENT + Span(1);
        story.tell(Event::Tick);
        assert_eq!(listened_to(&story), [0; 0]);
    }
    alive(&mut story, 1);
    story.pass(Span::secs(10));
    assert_eq!((listened_to(&story), aborted(&story)), (vec![], vec![]));
}

#[test]
fn a_worker_frozen_with_herder_has_half_its_interval_again() {
    let mut story = watched(Span::secs(30));
    // The freeze ends before the interval is over, exactly when it is over, and while herder reads the last pings.
    for frozen in [Span::secs(20), INTERVAL, INTERVAL + MOMENT] {
        alive(&mut story, 1);
        alive(&mut story, 2);
        story.pass(frozen);
        let before = listened_to(&story).len();
        story.tell(Event::Resumed);
        listened(&mut story, 1);
        story.pass(Span(INTERVAL.part(2).0 - 1));
        assert_eq!(listened_to(&story).len(), before);
        alive(&mut story, 1);
        alive(&mut story, 2);
    }
    assert_eq!(aborted(&story), [0; 0]);
    // A worker has no more than half its interval again.
    story.pass(INTERVAL);
    story.tell(Event::Resumed);
    story.pass(INTERVAL.part(2));
    listened(&mut story, 1);
    assert_eq!(aborted(&story), [1]);
}

#[test]
fn the_back_off_of_workers_that_never_ping_grows() {
    let mut story = Story::begin(Policy { watchdog: Some(INTERVAL), ..policy(1) });
    let mut delays = Vec::new();
    for id in 1..=3 {
        story.up(id);
        story.pass(INTERVAL + MOMENT);
        listened(&mut story, id);
        story.dies(id, ABORTED);
        let delay = |report: &Report| match report {
            Report::BackingOff { delay, .. } => Some(*delay),
            _ => None,
        };
        delays.push(story.reports().filter_map(delay).last().unwrap());
        story.pass(Span::secs(1));
    }
    assert!(delays[0] < delays[1] && delays[1] < delays[2], "{delays:?}");
    assert_eq!(story.herd.counters().hung, 3);
    let last = story.herd.view().find_map(|worker| worker.last).unwrap();
    assert_eq!(last.ending, Ending::Hung(Hang::Mute(INTERVAL)));
    assert!(last.ending.to_string().contains("remove `watchdog`"));
    assert_eq!(story.exit(), None, "the other worker may be serving");
    // One ping after min-lifetime proves the worker, so its hang is not a failed start.
    story.up(4);
    story.pass(Span::secs(20));
    alive(&mut story, 4);
    story.actions.clear();
    story.pass(INTERVAL + MOMENT);
    listened(&mut story, 4);
    assert_eq!(story.spawned(), [(5, 0, 1)]);
}

#[test]
fn a_worker_may_say_itself_that_it_is_stuck() {
    let mut story = Story::serving(policy(2));
    story.tell(Event::Stuck { worker: WorkerId(2) });
    assert_eq!((aborted(&story), story.spawned()), (vec![2], vec![(3, 1, 1)]));
    // The second message changes nothing, and from a worker that is starting it is a failed start.
    story.tell(Event::Stuck { worker: WorkerId(2) });
    story.tell(Event::Spawned { worker: WorkerId(3) });
    story.tell(Event::Stuck { worker: WorkerId(3) });
    assert_eq!(aborted(&story), [2, 3]);
    assert_eq!(story.herd.counters().hung, 2);
    assert!(story.reports().any(|report| matches!(report, Report::BackingOff { .. })));
}

#[test]
fn a_worker_may_choose_its_own_interval_if_there_is_a_watchdog() {
    let mut story = watched(Span::secs(30));
    let (worker, interval) = (WorkerId(1), Span::millis(160));
    story.tell(Event::Interval { worker, interval });
    story.pass(Span::millis(169));
    assert_eq!(listened_to(&story), [0; 0]);
    story.pass(Span::millis(1));
    assert_eq!(listened_to(&story), [1]);
    for interval in [Span::ZERO, Span::MAX] {
        story.tell(Event::Interval { worker, interval });
        one_is_silent(&mut story, Span::secs(900));
        listened(&mut story, 1);
    }
    assert_eq!(aborted(&story), [0; 0]);

    let mut story = Story::serving(policy(1));
    story.tell(Event::Interval { worker, interval });
    story.pass(Span::secs(900));
    assert_eq!(listened_to(&story), [0; 0]);
}

/// A real event loop wakes up a little after each deadline.
#[test]
fn an_interval_too_short_to_keep_does_not_keep_herder_awake() {
    for interval in [Span(1), Span::millis(1), Span::millis(10)] {
        let mut story = watched(Span::secs(30));
        story.tell(Event::Interval { worker: WorkerId(1), interval });
        let mut turns = 0;
        while listened_to(&story).is_empty() {
            turns += 1;
            assert!(turns < 10, "{interval}: awake for ever");
            let due = story.herd.deadline().unwrap().max(story.now);
            story.now = due + Span::millis(1);
            story.tell(Event::Tick);
        }
        listened(&mut story, 1);
        assert_eq!(aborted(&story), [1]);
    }
}

#[test]
fn a_worker_whose_probe_fails_too_often_in_a_row_hangs() {
    let probe =
        Probe { interval: Span::secs(10), timeout: Span::secs(1), failures: 3, of_worker: true };
    let mut story = Story::serving(Policy { probe: Some(probe), ..policy(2) });
    story.pass(Span::secs(60));
    let asked = |story: &Story, id: u64| {
        let probe = Action::Probe { worker: Some(WorkerId(id)) };
        story.actions.iter().filter(|action| **action == probe).count()
    };
    // The probe is not answered, so the next is not ordered. (`serving` has dropped all orders from before.)
    assert_eq!((asked(&story, 1), asked(&story, 2)), (0, 0));
    let answer = |story: &mut Story, outcome: Result<(), String>| {
        story.tell(Event::Probed { worker: Some(WorkerId(1)), outcome });
        story.pass(probe.interval);
    };
    let no = || Err("HTTP status 500".to_owned());
    for outcome in [no(), no(), Ok(()), no(), no()] {
        answer(&mut story, outcome);
    }
    assert_eq!((asked(&story, 1), aborted(&story)), (5, vec![]));
    // The result of a probe that was not ordered is ignored.
    story.tell(Event::Probed { worker: Some(WorkerId(2)), outcome: Ok(()) });
    answer(&mut story, no());
    assert_eq!((aborted(&story), story.spawned()), (vec![1], vec![(3, 0, 1)]));
    assert_eq!(story.herd.counters().unfit, 1);
    let why = Hang::Unfit { failures: 3, why: "HTTP status 500".to_owned() };
    assert_eq!(why.to_string(), "its probe failed 3 times in a row: HTTP status 500");
}

/// For example because a database that all workers need is down.
#[test]
fn workers_that_fail_their_probe_are_replaced_one_at_a_time() {
    let probe =
        Probe { interval: Span::secs(10), timeout: Span::secs(1), failures: 1, of_worker: true };
    let mut story = Story::serving(Policy { probe: Some(probe), ..policy(3) });
    story.pass(Span::secs(60));
    let no = |story: &mut Story, id: u64| {
        let outcome = Err("HTTP status 500".to_owned());
        story.tell(Event::Probed { worker: Some(WorkerId(id)), outcome });
    };
    for id in [1, 2, 3] {
        no(&mut story, id);
    }
    assert_eq!(aborted(&story), [1]);
    story.dies(1, ABORTED);
    story.pass(probe.interval);
    no(&mut story, 2);
    assert_eq!(aborted(&story), [1], "the first is not replaced yet");
    story.up(4);
    story.pass(probe.interval);
    for id in [2, 3] {
        no(&mut story, id);
    }
    assert_eq!(aborted(&story), [1, 2]);
}

#[test]
fn a_probe_of_the_instance_is_only_reported() {
    let (interval, timeout) = (Span::secs(10), Span::secs(1));
    let probe = Probe { interval, timeout, failures: 2, of_worker: false };
    let mut story = Story::begin(Policy { probe: Some(probe), ..policy(2) });
    story.pass(Span::secs(30));
    let ask = Action::Probe { worker: None };
    assert!(!story.actions.contains(&ask), "a probe is ordered while no worker is ready");
    [1, 2].iter().for_each(|&id| story.up(id));
    story.pass(interval);
    for _ in 0..3 {
        assert_eq!(story.actions.iter().filter(|action| **action == ask).count(), 1);
        story.actions.clear();
        story.tell(Event::Probed { worker: None, outcome: Err("HTTP status 500".to_owned()) });
        story.pass(interval);
    }
    let line = story.herd.status_line();
    assert_eq!(line, "2/2 ready, generation 1, its probe fails: HTTP status 500");
    assert_eq!(story.herd.condition(), Condition::Degraded);
    story.tell(Event::Probed { worker: None, outcome: Ok(()) });
    assert_eq!(story.herd.condition(), Condition::Serving);
    assert_eq!((aborted(&story), story.herd.counters().unfit), (vec![], 0));
}

#[test]
fn a_worker_that_is_leaving_is_not_watched() {
    for leaves in [Event::Stopping { worker: WorkerId(1) }, Event::Stop] {
        let mut story = watched(Span::MAX);
        story.tell(leaves);
        story.up(3);
        story.pass(Span::secs(31));
        assert_eq!(aborted(&story), [0; 0]);
        assert!(story.herd.deadline().is_none_or(|deadline| deadline > Time(0)));
    }
}
