//! Requests of operators, step by step: how each is answered, and what herder does for it.

use super::story::{CRASH, Story, Verdict, policy};
use herder_core::{
    Action, Amount, Condition, Event, Exit, Generation, Policy, Ready, Report, Request, RequestId,
    RequestOutcome, SlotId, Span, WorkerId, WorkerState,
};

const ALL: Request = Request::Recycle { slot: None };
const QUIET: Exit = Exit::Code(0);

fn slot(number: u32) -> Request {
    Request::Recycle { slot: Some(SlotId(number)) }
}

fn scale(workers: u32) -> Request {
    Request::Scale { workers }
}

fn stop(worker: u64) -> Request {
    Request::StopWorker { worker: WorkerId(worker) }
}

fn done(text: &str) -> Option<RequestOutcome> {
    Some(RequestOutcome::Done(text.to_owned()))
}

fn failed(reason: &str, worker: Option<u64>) -> Option<RequestOutcome> {
    Some(RequestOutcome::Failed { reason: reason.to_owned(), worker: worker.map(WorkerId) })
}

/// The ids of the workers that serve.
fn ready(story: &Story) -> Vec<u64> {
    let ready = story.herd.view().filter(|worker| worker.state == WorkerState::Ready);
    ready.map(|worker| worker.id.0).collect()
}

#[test]
fn scaling_up_is_done_when_all_are_ready() {
    let mut story = Story::serving(policy(2));
    let request = story.ask(scale(4));
    assert_eq!(story.herd.request_progress(request), Some((2, 4)));
    story.up(3);
    assert_eq!(story.answer(request), None);
    assert_eq!(story.herd.request_progress(request), Some((3, 4)));
    story.up(4);
    assert_eq!(story.answer(request), done("4/4 workers are ready"));
    assert_eq!(story.herd.request_progress(request), None);
    // The same request again is answered at once, because there is nothing to do.
    let again = story.ask(scale(4));
    assert_eq!(story.answer(again), done("4/4 workers are ready"));
}

#[test]
fn changed_settings_apply_to_running_workers() {
    let mut story = Story::serving(policy(2));
    let (first, rules) = (Generation(1), policy(2));
    story.tell(Event::Asked { request: RequestId(9), what: stop(1) });
    assert_eq!(story.drained(), [1]);
    // A longer `stop-timeout` applies to a worker that is stopping, and one worker more is wanted.
    let longer = rules.stop_timeout + Span::secs(60);
    let policy = Policy { stop_timeout: longer, workers: 3, ..rules.clone() };
    story.tell(Event::Adjusted { generation: first, policy });
    assert_eq!(story.herd.strength().0, 3);
    story.up(3);
    story.up(4);
    let kill = Action::Kill { worker: WorkerId(1) };
    story.pass(rules.stop_timeout + Span::secs(59));
    assert!(!story.actions.contains(&kill));
    story.pass(Span::secs(1));
    assert!(story.actions.contains(&kill));
    // Settings of a generation that does not exist change nothing.
    story.tell(Event::Adjusted { generation: Generation(7), policy: rules });
    assert_eq!(story.herd.strength().0, 3);
}

#[test]
fn scaling_down_is_done_when_surplus_workers_were_told_to_stop() {
    let mut story = Story::serving(policy(4));
    let request = story.ask(scale(1));
    assert_eq!(story.drained(), [2, 3, 4]);
    assert_eq!(story.answer(request), done("1/1 workers are ready"));
    let none = story.ask(scale(0));
    assert_eq!(story.answer(none), done("0/0 workers are ready"));
    let many = story.ask(scale(10_001));
    assert!(matches!(story.answer(many), Some(RequestOutcome::Failed { .. })));
    assert_eq!(story.herd.strength(), (0, 0));
}

#[test]
fn scaling_that_fails_is_answered_and_goes_on() {
    let mut story = Story::serving(policy(1));
    let request = story.ask(scale(2));
    story.tell(Event::Spawned { worker: WorkerId(2) });
    story.dies(2, CRASH);
    let reason = "worker 2 (slot 1) exited with status 1 before it was ready, herder keeps trying; \
                  1/2 workers are ready";
    assert_eq!(story.answer(request), failed(reason, Some(2)));
    story.pass(Span::secs(1));
    story.up(3);
    assert_eq!(story.herd.strength(), (2, 2));
}

#[test]
fn a_newer_number_and_a_reload_end_scaling() {
    let mut story = Story::serving(policy(1));
    let first = story.ask(scale(3));
    let second = story.ask(scale(2));
    let reason = "3 workers were asked for, but another request set it to 2";
    assert_eq!(story.answer(first), failed(reason, None));
    story.reload(policy(1));
    let canary = story.spawned().last().copied().expect("a canary").0;
    story.up(canary);
    let reason = "2 workers were asked for, but the settings of generation 2 say 1";
    assert_eq!(story.answer(second), failed(reason, None));
}

/// Also if it is the present number, because the incoming settings have another.
#[test]
fn a_number_asked_for_during_a_reload_outlasts_it() {
    let mut story = Story::serving(policy(2));
    story.reload(policy(4));
    let request = story.ask(scale(2));
    assert_eq!(story.answer(request), done("2/2 workers are ready"));
    story.up(3);
    story.up(4);
    assert!(matches!(story.verdicts()[..], [(2, Verdict::Done)]), "{:?}", story.verdicts());
    assert_eq!(story.herd.strength(), (2, 2));
    // The number lasts until the next reload.
    story.reload(policy(4));
    for worker in 5..=8 {
        story.up(worker);
    }
    assert_eq!(story.herd.strength(), (4, 4));
}

#[test]
fn recycling_starts_the_replacement_first_and_one_slot_at_a_time() {
    let mut story = Story::serving(policy(2));
    let request = story.ask(ALL);
    assert_eq!(story.herd.request_progress(request), Some((0, 2)));
    assert_eq!((story.spawned(), story.drained()), (vec![(3, 0, 1)], vec![]));
    assert_eq!(story.herd.status_line(), "2/2 ready, generation 1, recycling 0/2");
    story.up(3);
    assert_eq!((story.spawned().len(), story.drained()), (2, vec![1]));
    assert_eq!(story.answer(request), None);
    story.up(4);
    assert_eq!(story.drained(), [1, 2]);
    assert_eq!(story.answer(request), done("all 2 slots have a new worker; 2/2 workers are ready"));
    assert_eq!(ready(&story), [3, 4]);
    let counters = story.herd.counters();
    assert_eq!((counters.recycled, counters.respawns, counters.failures()), (2, 0, 0));
    let recycled: Vec<_> =
        story.reports().filter(|report| report.kind() == "worker_recycled").collect();
    assert_eq!(recycled.len(), 2);
}

#[test]
fn recycling_one_slot_leaves_the_others() {
    let mut story = Story::serving(policy(3));
    let request = story.ask(slot(1));
    assert_eq!(story.spawned(), [(4, 1, 1)]);
    story.up(4);
    assert_eq!(ready(&story), [1, 4, 3]);
    assert_eq!(story.answer(request), done("slot 1 has a new worker; 3/3 workers are ready"));
    let unknown = story.ask(slot(3));
    let text = "there is no slot 3; there are 0 to 2".to_owned();
    assert_eq!(story.answer(unknown), Some(RequestOutcome::NotFound(text)));
}

#[test]
fn a_replacement_that_is_only_assumed_ready_is_watched_first() {
    let auto = Policy { ready: Ready::Auto, ..policy(1) };
    let mut story = Story::serving(auto);
    let request = story.ask(ALL);
    story.tell(Event::Spawned { worker: WorkerId(2) });
    story.pass(Span::millis(1_999));
    assert_eq!((ready(&story), story.answer(request)), (vec![1, 2], None));
    story.pass(Span::millis(1));
    assert_eq!(ready(&story), [2]);
    assert!(story.answer(request).is_some());
}

#[test]
fn the_old_worker_serves_on_when_its_replacement_fails() {
    for young in [false, true] {
        let rules = Policy { min_ready_time: Some(Span::secs(3)), ..policy(2) };
        let mut story = Story::serving(rules);
        let all = story.ask(ALL);
        let same = story.ask(ALL);
        story.tell(Event::Spawned { worker: WorkerId(3) });
        let when = if young {
            story.tell(Event::Ready { worker: WorkerId(3) });
            "soon after it was ready"
        } else {
            "before it was ready"
        };
        story.dies(3, CRASH);
        let reason = format!(
            "worker 3 (slot 0) exited with status 1 {when}, worker 1 serves on; 0 of 2 slots are \
             recycled"
        );
        assert_eq!(story.answer(all), failed(&reason, Some(3)));
        assert_eq!(story.answer(same), failed(&reason, Some(3)));
        assert_eq!(story.drained(), [0; 0]);
        assert_eq!(story.herd.condition(), Condition::Serving);
        assert_eq!(story.herd.counters().failures(), 1);
        assert!(!story.reports().any(|report| matches!(report, Report::BackingOff { .. })));
        story.pass(Span::secs(100));
        assert_eq!(story.spawned().len(), 1, "the replacement is tried once");
    }
}

#[test]
fn a_slot_that_is_down_is_recycled_by_its_next_worker() {
    let mut story = Story::begin(policy(1));
    story.tell(Event::Spawned { worker: WorkerId(1) });
    let request = story.ask(ALL);
    story.tell(Event::Ready { worker: WorkerId(1) });
    assert_eq!(story.answer(request), done("slot 0 has a new worker; 1/1 workers are ready"));
    assert_eq!(story.herd.counters().recycled, 0, "it was not replaced");
    let mut story = Story::serving(policy(2));
    story.dies(2, CRASH);
    let request = story.ask(slot(1));
    story.tell(Event::Spawned { worker: WorkerId(3) });
    story.dies(3, CRASH);
    let reason = "worker 3 (slot 1) exited with status 1 before it was ready, herder keeps trying; \
                  1/2 workers are ready";
    assert_eq!(story.answer(request), failed(reason, Some(3)));
}

#[test]
fn a_reload_recycles_what_it_replaces() {
    let mut story = Story::serving(policy(2));
    let before = story.ask(slot(1));
    assert_eq!(story.spawned(), [(3, 1, 1)]);
    story.tell(Event::Spawned { worker: WorkerId(3) });
    story.reload(policy(2));
    assert_eq!(story.drained(), [3], "it gives way to the reload");
    story.up(4);
    let during = story.ask(ALL);
    assert_eq!(story.answer(during), None);
    story.up(5);
    assert_eq!(story.verdicts(), [(2, Verdict::Done)]);
    assert!(story.answer(before).is_some());
    // Slot 0 had a new worker already when the request for all slots came: it gets another as soon as one more process
    // is allowed.
    story.dies(1, QUIET);
    assert_eq!(story.spawned().last(), Some(&(6, 0, 2)));
    story.up(6);
    assert_eq!(story.answer(during), done("all 2 slots have a new worker; 2/2 workers are ready"));
}

#[test]
fn recycling_without_room_for_a_second_worker_fails_at_once() {
    let frugal = Policy {
        max_surge: Amount::Number(0),
        max_unavailable: Amount::Number(1),
        max_draining: Some(0),
        ..policy(2)
    };
    let mut story = Story::serving(frugal);
    let request = story.ask(ALL);
    assert!(matches!(story.answer(request), Some(RequestOutcome::Failed { worker: None, .. })));
    assert_eq!(ready(&story), [1, 2]);
}

#[test]
fn a_slot_may_become_surplus_while_it_is_recycled() {
    let mut story = Story::serving(policy(2));
    let (one, all) = (story.ask(slot(1)), story.ask(ALL));
    story.tell(Event::Spawned { worker: WorkerId(3) });
    story.tell(Event::Scale { by: -1 });
    assert_eq!(story.answer(one), failed("slot 1 is gone: another request set it to 1", None));
    assert_eq!(story.drained(), [2, 3]);
    story.up(4);
    assert_eq!(story.answer(all), done("slot 0 has a new worker; 1/1 workers are ready"));
}

#[test]
fn a_worker_stopped_on_request_is_followed_at_once() {
    let mut story = Story::serving(policy(2));
    let (first, second) = (story.ask(stop(1)), story.ask(stop(1)));
    assert_eq!((story.drained(), story.spawned()), (vec![1], vec![(3, 0, 1)]));
    story.dies(1, QUIET);
    assert_eq!(story.answer(first), done("worker 1 (slot 0) exited with status 0"));
    assert_eq!(story.answer(second), story.answer(first));
    let asked = story.reports().filter(|report| report.kind() == "worker_stop_requested");
    assert_eq!(asked.count(), 1);
    let counters = story.herd.counters();
    assert_eq!((counters.respawns, counters.crashes, counters.failures()), (0, 0, 0));
    let unknown = story.ask(stop(1));
    let text = "there is no worker 1; there are 3, 2".to_owned();
    assert_eq!(story.answer(unknown), Some(RequestOutcome::NotFound(text)));
}

#[test]
fn a_worker_that_does_not_stop_is_killed_and_one_without_a_process_yet_waits_for_it() {
    let mut story = Story::serving(policy(1));
    let request = story.ask(stop(1));
    story.pass(Span::secs(30));
    assert!(story.actions.contains(&Action::Kill { worker: WorkerId(1) }));
    story.dies(1, Exit::Signal { number: 9, core: false });
    assert_eq!(story.answer(request), done("worker 1 (slot 0) was killed by SIGKILL"));
    let request = story.ask(stop(2));
    assert_eq!(story.drained(), [1]);
    story.tell(Event::Spawned { worker: WorkerId(2) });
    assert_eq!(story.drained(), [1, 2]);
    assert_eq!(story.spawned().last(), Some(&(3, 0, 1)));
    story.pass(Span::secs(40));
    assert_eq!(story.answer(request), failed("not even SIGKILL ends worker 2 (slot 0)", Some(2)));
}

#[test]
fn a_reload_is_rolled_back_on_request() {
    let mut story = Story::serving(policy(2));
    let idle = story.ask(Request::AbortReload);
    assert_eq!(story.answer(idle), done("no reload is under way"));
    story.reload(policy(2));
    story.up(3);
    let first = story.ask(Request::AbortReload);
    let second = story.ask(Request::AbortReload);
    assert!(story.reports().any(|report| report.kind() == "reload_aborted"));
    story.tell(Event::Spawned { worker: WorkerId(4) });
    assert_eq!(story.answer(first), None);
    story.up(5);
    assert_eq!(story.answer(first), done("rolled back to generation 1"));
    assert_eq!(story.answer(second), story.answer(first));
    let reason = "aborted on request; rolled back to generation 1".to_owned();
    assert_eq!(story.verdicts(), [(2, Verdict::Failed { reason, worker: None })]);
    assert_eq!(ready(&story), [5, 2]);
    let past: Vec<_> = story.herd.past_reloads().collect();
    assert_eq!((past.len(), past[0].generation), (1, Some(Generation(2))));
}

#[test]
fn an_abort_before_the_first_ready_fails() {
    let mut story = Story::begin(policy(1));
    story.reload(policy(1));
    let request = story.ask(Request::AbortReload);
    assert!(matches!(story.answer(request), Some(RequestOutcome::Failed { .. })));
    assert_eq!(story.verdicts(), []);
}

#[test]
fn an_abort_fails_if_another_reload_takes_over() {
    let mut story = Story::serving(policy(2));
    story.reload(policy(2));
    story.up(3);
    let request = story.ask(Request::AbortReload);
    story.reload(policy(2));
    let reason = "the roll-back gave way to a reload to generation 3";
    assert_eq!(story.answer(request), failed(reason, None));
}

#[test]
fn a_stop_answers_every_open_request() {
    let mut story = Story::serving(policy(2));
    story.reload(policy(2));
    let asked: Vec<RequestId> =
        [ALL, scale(7), stop(1), Request::AbortReload].into_iter().map(|r| story.ask(r)).collect();
    story.tell(Event::Stop);
    let late = story.ask(scale(3));
    for request in asked.into_iter().chain([late]) {
        assert_eq!(story.answer(request), Some(RequestOutcome::Stopped), "{request}");
    }
}

#[test]
fn a_request_that_makes_no_progress_fails() {
    // This herd may start one worker at a time, and its second worker never gets ready but asks for more time.
    let rules = Policy { max_starting: Some(1), crash_after: Span::secs(100_000), ..policy(2) };
    let mut story = Story::begin(rules);
    story.up(1);
    story.tell(Event::Spawned { worker: WorkerId(2) });
    story.tell(Event::Extend { worker: WorkerId(2), by: Span::MAX });
    let request = story.ask(slot(0));
    story.pass(Span::secs(600));
    // The worker has failed, and slot 0, which waits to start one, comes before the next try of slot 1.
    assert_eq!(story.spawned().last(), Some(&(3, 0, 1)));
    story.tell(Event::Spawned { worker: WorkerId(3) });
    story.tell(Event::Extend { worker: WorkerId(3), by: Span::MAX });
    story.pass(Span::secs(91));
    let reason = "nothing has moved for 11min 30s; 1/2 workers are ready";
    assert_eq!(story.answer(request), failed(reason, None));
    assert_eq!(story.drained(), [2, 3], "the replacement is of no use now");
}

#[test]
fn a_kill_by_the_kernel_for_memory_is_counted_once() {
    let mut story = Story::serving(policy(1));
    let worker = WorkerId(1);
    story.tell(Event::OutOfMemory { worker, processes: 2 });
    story.tell(Event::Exited { worker, exit: Exit::OutOfMemory });
    assert_eq!(story.herd.counters().oom_kills, 2);
    assert_eq!(story.herd.counters().crashes, 1);
    let view = story.herd.view().find(|view| view.id == WorkerId(2)).expect("its replacement");
    let last = view.last.expect("the one before");
    assert_eq!((last.worker, last.was_ready, last.lived), (worker, true, Span::secs(20)));
    assert_eq!(last.ending.to_string(), "was killed by the kernel for want of memory");
    let text = "the kernel killed 2 processes of worker 1 (slot 0) for want of memory";
    assert!(story.reports().any(|report| report.to_string() == text));
}

#[test]
fn failures_are_counted_by_kind_and_respawns_outlast_their_slot() {
    let mut story = Story::serving(policy(2));
    story.tell(Event::Exited { worker: WorkerId(2), exit: CRASH });
    story.tell(Event::Spawned { worker: WorkerId(3) });
    story.dies(3, CRASH);
    story.pass(Span::millis(100));
    story.up(4);
    story.dies(4, CRASH);
    story.pass(Span::millis(200));
    story.tell(Event::Spawned { worker: WorkerId(5) });
    story.pass(Span::secs(60));
    let counters = story.herd.counters();
    assert_eq!((counters.crashes, counters.failures(), counters.failed_to_start), (1, 3, 0));
    let kinds = (counters.died_before_ready, counters.died_young, counters.timed_out);
    assert_eq!(kinds, (1, 1, 1));
    assert_eq!(counters.degraded, Span::secs(60) + Span::millis(300), "the running stretch counts");
    // The slot is no longer wanted, and what it has counted stays.
    let respawns = counters.respawns;
    assert!(respawns >= 3);
    story.tell(Event::Scale { by: -1 });
    story.pass(Span::secs(100));
    assert_eq!(story.herd.counters().respawns, respawns);
}

#[test]
fn five_reloads_are_remembered_the_newest_first() {
    let mut story = Story::serving(policy(1));
    for number in 2..=8 {
        story.reload(policy(1));
        story.now = story.now + Span::secs(2);
        let canary = story.spawned().last().expect("a canary").0;
        story.up(canary);
        story.dies(number - 1, QUIET);
        assert_eq!(story.herd.generation(), Generation(number));
    }
    let progress = story.herd.progress();
    assert_eq!(progress, None);
    let past: Vec<_> = story.herd.past_reloads().map(|past| (past.generation, past.took)).collect();
    let expected: Vec<_> =
        (4..=8).rev().map(|n| (Some(Generation(n)), Some(Span::secs(2)))).collect();
    assert_eq!(past, expected);
    assert_eq!(story.herd.counters().reloads_done, 7);
}
