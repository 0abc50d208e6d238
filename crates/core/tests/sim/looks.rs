//! Scenarios of workers whose sockets herder looks at while they start, to see whether they are ready.

use super::story::{CRASH, Story, Verdict, policy};
use herder_core::{Action, Event, Evidence, Notice, Policy, Ready, Report, Sight, Span, WorkerId};

const ONE: WorkerId = WorkerId(1);

fn seen_by(ready: Ready) -> Policy {
    Policy { ready, has_socket: true, ..policy(1) }
}

fn begin(ready: Ready) -> Story {
    let mut story = Story::begin(seen_by(ready));
    story.tell(Event::Spawned { worker: ONE });
    story
}

fn looks(story: &Story) -> usize {
    story.actions.iter().filter(|action| matches!(action, Action::Look { .. })).count()
}

fn see(story: &mut Story, sight: Sight) {
    story.tell(Event::Seen { worker: ONE, sight });
}

fn not_yet() -> Sight {
    Sight::Astray("it listens on [::]:3000".to_owned())
}

fn evidence(story: &Story) -> Option<Evidence> {
    story.reports().find_map(|report| match report {
        Report::Ready { evidence, .. } => Some(*evidence),
        _ => None,
    })
}

/// Answers every look within `span` with the same sight. Returns when each was ordered, in milliseconds.
fn watch(story: &mut Story, span: Span, sight: &Sight) -> Vec<u64> {
    let (begin, end) = (story.now, story.now + span);
    let mut times = Vec::new();
    while story.now < end {
        let next = story.herd.deadline().map_or(end, |deadline| deadline.min(end));
        let before = looks(story);
        story.pass(next - story.now);
        if looks(story) > before {
            times.push((story.now - begin).0 / 1000);
            see(story, sight.clone());
        }
    }
    times
}

#[test]
fn looks_get_rarer_and_end_when_the_worker_is_ready() {
    let mut story = begin(Ready::Accepting);
    assert_eq!(looks(&story), 0);
    let times = watch(&mut story, Span::secs(1), &not_yet());
    let expected = [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 56, 64, 72, 81, 91, 102, 115, 129, 146];
    assert_eq!(times[..19], expected);
    assert_eq!(times.len(), 35);
    // READY=1 from the worker does not count with this setting.
    story.tell(Event::Ready { worker: ONE });
    assert_eq!(evidence(&story), None);
    story.pass(Span::millis(200));
    see(&mut story, Sight::Waiting);
    assert_eq!(evidence(&story), Some(Evidence::Accepting));
    story.actions.clear();
    story.pass(Span::secs(100));
    assert_eq!(looks(&story), 0, "a worker that serves is looked at");
}

/// The next look is ordered only after the answer to the last one; an answer to no look is ignored.
#[test]
fn there_is_one_look_at_a_time() {
    let mut story = begin(Ready::Auto);
    see(&mut story, Sight::Waiting);
    assert_eq!(evidence(&story), None, "no look had been ordered");
    story.pass(Span::secs(10));
    assert_eq!(looks(&story), 1);
    see(&mut story, not_yet());
    see(&mut story, Sight::Waiting);
    assert_eq!(evidence(&story), None, "one look, one answer");
}

#[test]
fn the_first_evidence_makes_a_worker_ready_and_ready_1_replaces_other_evidence() {
    let mut story = begin(Ready::Auto);
    story.tell(Event::Ready { worker: ONE });
    assert_eq!(evidence(&story), Some(Evidence::Notified));
    let mut story = begin(Ready::Auto);
    story.pass(Span::millis(5));
    see(&mut story, Sight::Waiting);
    assert_eq!(evidence(&story), Some(Evidence::Accepting));
    story.tell(Event::Ready { worker: ONE });
    assert_eq!(story.herd.view().next().unwrap().evidence, Some(Evidence::Notified));
}

#[test]
fn a_running_worker_is_assumed_ready_only_if_herder_cannot_look_at_it() {
    let mut story = begin(Ready::Auto);
    watch(&mut story, Span::secs(30), &not_yet());
    assert_eq!(evidence(&story), None);
    let hidden = Sight::Unreadable("it hides".to_owned());
    watch(&mut story, Span::millis(500), &hidden);
    assert_eq!(evidence(&story), Some(Evidence::Assumed));

    let mut story = begin(Ready::Auto);
    watch(&mut story, Span::millis(999), &hidden);
    assert_eq!(evidence(&story), None);
    story.pass(Span::millis(1));
    assert_eq!(evidence(&story), Some(Evidence::Assumed));

    let mut story = begin(Ready::Accepting);
    watch(&mut story, Span::secs(30), &hidden);
    assert_eq!(evidence(&story), None, "proof was wanted");

    let mut story = Story::begin(Policy { has_socket: false, ..seen_by(Ready::Auto) });
    story.tell(Event::Spawned { worker: ONE });
    story.pass(Span::secs(1));
    assert_eq!((evidence(&story), looks(&story)), (Some(Evidence::Assumed), 0));
}

#[test]
fn the_last_sight_is_part_of_every_message_about_the_failure() {
    let mut story = begin(Ready::Auto);
    watch(&mut story, Span::secs(10), &not_yet());
    assert_eq!(story.herd.status_line(), "starting 0/1: worker 1 (slot 0) it listens on [::]:3000");
    let view = story.herd.view().next().unwrap();
    assert_eq!(view.diagnosis.as_deref(), Some("it listens on [::]:3000"));
    watch(&mut story, Span::secs(50), &not_yet());
    let told = story.reports().find(|report| matches!(report, Report::TimedOut { .. })).unwrap();
    assert_eq!(
        told.to_string(),
        "worker 1 (slot 0) was not ready within 1min, stopping it: it listens on [::]:3000"
    );
    assert!(story.notices().iter().any(|notice| {
        matches!(notice, Notice::Status(text) if text.starts_with(
            "starting 0/1: slot 0 was not ready within 1min: it listens on [::]:3000"
        ))
    }));
    let view = story.herd.view().next().unwrap();
    assert_eq!(view.diagnosis, None, "it is no longer starting");
}

#[test]
fn a_mistake_is_part_of_the_reason_when_a_worker_ends() {
    let loading = Sight::NotYet("it has the socket".to_owned());
    let mistake = "; unless it says why itself: it listens on [::]:3000";
    for (sight, more) in [(not_yet(), mistake), (loading, "")] {
        let mut story = begin(Ready::Auto);
        story.pass(Span::millis(5));
        see(&mut story, sight);
        story.tell(Event::Exited { worker: ONE, exit: CRASH });
        let told = story.reports().find(|report| matches!(report, Report::Ended { .. })).unwrap();
        assert_eq!(
            told.to_string(),
            format!("worker 1 (slot 0) exited with status 1 before it was ready, 5ms old{more}")
        );
        let line = story.herd.status_line();
        let begin =
            format!("starting 0/1: slot 0 exited with status 1 before it was ready{more}, next");
        assert!(line.starts_with(&begin), "{line}");
    }
}

#[test]
fn the_verdict_on_a_reload_says_what_its_first_worker_did_instead() {
    let mut story = begin(Ready::Accepting);
    story.pass(Span::millis(5));
    see(&mut story, Sight::Waiting);
    story.pass(Span::secs(20));
    story.reload(seen_by(Ready::Accepting));
    story.tell(Event::Spawned { worker: WorkerId(2) });
    story.pass(Span::millis(5));
    story.tell(Event::Seen { worker: WorkerId(2), sight: not_yet() });
    story.pass(Span::secs(60));
    let [(2, Verdict::Failed { reason, .. })] = &story.verdicts()[..] else {
        panic!("{:?}", story.verdicts());
    };
    assert_eq!(
        reason,
        "worker 2 (slot 0) was not ready within 1min: it listens on [::]:3000; rolled back to generation 1"
    );
}
