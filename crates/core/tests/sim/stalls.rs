//! Stalls: connections wait in a socket, and no worker accepts them.

use super::story::{CRASH, Story, policy};
use herder_core::{
    Action, Condition, Ending, Event, Hang, Load, Policy, Queue, QueueId, Report, SlotId, Span,
    WorkerId,
};

const TIMEOUT: Span = Span::secs(64);
const PERIOD: Span = Span::secs(1);

/// What a sample finds in the sockets.
#[derive(Clone, Copy)]
struct Find {
    slot: Option<SlotId>,
    waiting: u32,
    full: bool,
    /// CPU time that the workers use per second, in microseconds.
    cpu: u64,
}

const IDLE: Find = Find { slot: None, waiting: 3, full: false, cpu: 100 };
const BUSY: Find = Find { cpu: 900_000, ..IDLE };
const OWN: Option<SlotId> = Some(SlotId(1));

fn stalling() -> Story {
    let mut story = Story::begin(Policy { stall_timeout: Some(TIMEOUT), ..policy(2) });
    [1, 2].iter().for_each(|&id| story.up(id));
    story.pass(Span::secs(20));
    story
}

fn ordered(story: &Story, order: &Action) -> usize {
    story.actions.iter().filter(|action| *action == order).count()
}

/// Answers all samples within `span`; `find` gives what each sample finds, by its number.
fn samples(story: &mut Story, span: Span, find: impl Fn(u32) -> Find) {
    let end = story.now + span;
    let mut number = 0;
    while let Some(due) = story.herd.deadline().filter(|&due| due <= end) {
        let before = ordered(story, &Action::Sample);
        story.now = story.now.max(due);
        story.tell(Event::Tick);
        if ordered(story, &Action::Sample) > before {
            let Find { slot, waiting, full, cpu } = find(number);
            number += 1;
            let cpu = story.now.0 / 1_000_000 * cpu;
            let queues = vec![Queue { id: QueueId(0), slot, waiting, full }];
            let workers: Vec<WorkerId> = story.herd.view().map(|worker| worker.id).collect();
            let cpu = workers.into_iter().map(|id| (id, cpu)).collect();
            story.tell(Event::Sampled(Load { queues, cpu, ..Load::default() }));
        }
    }
    story.now = end;
}

fn stalls(story: &Story) -> usize {
    story.reports().filter(|report| matches!(report, Report::Stalled { .. })).count()
}

fn aborted(story: &Story) -> bool {
    story.actions.contains(&Action::Abort { worker: WorkerId(2) })
}

#[test]
fn at_rest_there_is_one_watch_and_no_sample() {
    let mut story = stalling();
    story.pass(Span::secs(3600));
    assert_eq!((ordered(&story, &Action::Watch), ordered(&story, &Action::Sample)), (1, 0));
    // A sample that finds no connection sets the watch again.
    story.tell(Event::Knocked);
    samples(&mut story, Span::secs(3600), |_| Find { waiting: 0, ..IDLE });
    assert_eq!((ordered(&story, &Action::Watch), ordered(&story, &Action::Sample)), (2, 1));
    // Without the setting no sample is ordered either.
    let mut story = Story::serving(policy(2));
    story.tell(Event::Knocked);
    assert_eq!((ordered(&story, &Action::Watch), ordered(&story, &Action::Sample)), (0, 0));
}

/// Each answer comes a sixth of the time-out late, so there are few samples.
#[test]
fn slow_samples_find_a_stall_too() {
    for (find, enough) in [(IDLE, 8), (BUSY, 34)] {
        let mut story = stalling();
        story.tell(Event::Knocked);
        for number in 1.. {
            assert!(number <= enough, "nothing follows from {number} samples");
            let before = ordered(&story, &Action::Sample);
            while ordered(&story, &Action::Sample) == before {
                story.now = story.herd.deadline().unwrap().max(story.now);
                story.tell(Event::Tick);
            }
            story.now = story.now + TIMEOUT.part(6);
            let cpu = story.now.0 / 1_000_000 * find.cpu;
            let queues = vec![Queue { id: QueueId(0), slot: OWN, waiting: 3, full: false }];
            let cpu = vec![(WorkerId(1), cpu), (WorkerId(2), cpu)];
            story.tell(Event::Sampled(Load { queues, cpu, ..Load::default() }));
            if aborted(&story) {
                assert!(number >= enough - 1, "{number} samples say little");
                break;
            }
        }
    }
}

#[test]
fn a_worker_that_takes_nothing_from_its_own_socket_hangs() {
    for busy in [IDLE, BUSY] {
        let mut story = stalling();
        story.tell(Event::Knocked);
        // The first sample comes after one second, and the whole time-out follows.
        samples(&mut story, TIMEOUT, |_| Find { slot: OWN, ..busy });
        assert!(!aborted(&story));
        samples(&mut story, PERIOD, |_| Find { slot: OWN, ..busy });
        assert!(aborted(&story), "its queue has not changed at all");
        assert_eq!(story.spawned().last(), Some(&(3, 1, 1)));
        assert_eq!((story.herd.counters().stalled, story.herd.counters().hung), (1, 0));
        story.up(3);
        let view = story.herd.view().find(|worker| worker.id == WorkerId(3)).unwrap();
        let stalled = Hang::Stalled { waiting: 3, after: TIMEOUT };
        assert_eq!(view.last.unwrap().ending, Ending::Hung(stalled));
        assert_eq!(stalls(&story), 0);
        // The replacement has the same queue, and the whole time-out again.
        samples(&mut story, TIMEOUT, |_| Find { slot: OWN, ..busy });
        assert!(!story.actions.contains(&Action::Abort { worker: WorkerId(3) }));
    }
}

#[test]
fn a_replacement_has_the_whole_time_out_again() {
    let mut story = stalling();
    story.tell(Event::Knocked);
    samples(&mut story, Span::secs(40), |_| Find { slot: OWN, ..IDLE });
    story.dies(2, CRASH);
    story.up(3);
    let aborted = |story: &Story| story.actions.contains(&Action::Abort { worker: WorkerId(3) });
    samples(&mut story, Span::secs(60), |_| Find { slot: OWN, ..IDLE });
    assert!(!aborted(&story));
    samples(&mut story, Span::secs(10), |_| Find { slot: OWN, ..IDLE });
    assert!(aborted(&story));
}

#[test]
fn a_worker_that_accepts_or_is_busy_is_not_aborted() {
    let much = Span::secs(900);
    for (what, find) in [
        ("fewer now and then", (|n| Find { waiting: 9 - n % 9, ..IDLE }) as fn(u32) -> Find),
        ("none now and then", |n| Find { waiting: n % 50, ..IDLE }),
        ("ever more, and busy", |n| Find { waiting: 1 + n, ..BUSY }),
        ("full, and busy", |_| Find { full: true, ..BUSY }),
        ("full at times, and busy", |n| Find { full: n % 60 == 0, ..BUSY }),
    ] {
        for slot in [None, OWN] {
            let mut story = stalling();
            story.tell(Event::Knocked);
            samples(&mut story, much, |n| Find { slot, ..find(n) });
            assert_eq!((stalls(&story), aborted(&story)), (0, false), "{what}, {slot:?}");
        }
    }
    for (what, find) in [
        ("ever more, and idle", (|n| Find { waiting: 1 + n, ..IDLE }) as fn(u32) -> Find),
        ("full, and idle", |_| Find { full: true, ..IDLE }),
    ] {
        let mut story = stalling();
        story.tell(Event::Knocked);
        samples(&mut story, much, |n| Find { slot: OWN, ..find(n) });
        assert!(aborted(&story), "{what}");
    }
}

#[test]
fn a_stall_of_a_shared_socket_is_only_reported() {
    let mut story = stalling();
    story.tell(Event::Knocked);
    samples(&mut story, Span::secs(300), |_| IDLE);
    assert_eq!((stalls(&story), aborted(&story)), (1, false));
    assert_eq!(story.herd.condition(), Condition::Degraded);
    let line = story.herd.status_line();
    assert!(line.ends_with("stalled: connections wait and no worker accepts"), "{line}");
    assert!(story.herd.stalled().is_some());
    samples(&mut story, PERIOD, |_| Find { waiting: 1, ..IDLE });
    let over = |report: &&Report| matches!(report, Report::StallOver { .. });
    assert_eq!(story.reports().filter(over).count(), 1);
    assert_eq!(story.herd.condition(), Condition::Serving);
    assert_eq!(story.herd.stalled(), None);
}

#[test]
fn a_gap_between_samples_proves_nothing() {
    let mut story = stalling();
    story.tell(Event::Knocked);
    for _ in 0..20 {
        samples(&mut story, Span::secs(40), |_| Find { slot: OWN, ..IDLE });
        // herder is stopped for a while, and the next sample finds as many connections as before.
        story.now = story.now + TIMEOUT.part(3);
    }
    assert!(!aborted(&story));
    // Connections that wait before the first worker is ready prove nothing either.
    let mut story = Story::begin(Policy { stall_timeout: Some(TIMEOUT), ..policy(1) });
    story.tell(Event::Knocked);
    samples(&mut story, Span::secs(50), |_| IDLE);
    assert_eq!((ordered(&story, &Action::Watch), stalls(&story)), (0, 0));
}

#[test]
fn a_stall_ends_with_its_last_worker_and_with_the_herd() {
    for end in [Event::Stopping { worker: WorkerId(1) }, Event::Stop] {
        let mut story = stalling();
        story.tell(Event::Stopping { worker: WorkerId(2) });
        story.tell(Event::Knocked);
        samples(&mut story, Span::secs(90), |_| IDLE);
        assert_eq!(stalls(&story), 1);
        story.tell(end);
        let over = |report: &&Report| matches!(report, Report::StallOver { .. });
        assert_eq!(story.reports().filter(over).count(), 1);
    }
}
