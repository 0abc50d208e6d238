//! When a worker counts as ready, and what happens to one that does not.

use crate::systemd::Unit;
use crate::workers::{misbehave, shell};
use herder_wire::status::{Evidence, WorkerState};
use std::time::{Duration, Instant};

fn unit(settings: &str, steps: &str) -> Unit {
    Unit::new(&format!("workers = 1\n{}{settings}", misbehave(steps)))
}

#[test]
fn a_worker_is_ready_when_it_says_so() {
    let mut herder = unit("ready = \"notify\"\n", "wait 300 ready").start();
    let status = herder.status();
    assert_eq!((status.ready, status.starting), (0, 1), "{status:#?}");
    herder.hears("READY=1");
    let worker = herder.serves(1).remove(0);
    assert_eq!(worker.evidence, Some(Evidence::Notified));
    herder.logs("(notified)");
}

#[test]
fn readiness_without_evidence_is_called_assumed() {
    let mut herder = unit("ready-after = \"50ms\"\n", "").start();
    herder.hears("READY=1");
    assert_eq!(herder.serves(1)[0].evidence, Some(Evidence::Assumed));
    herder.logs("(assumed)");
}

/// `auto`: a worker that says READY=1 later than assumed is known from then on.
#[test]
fn assumed_readiness_is_replaced_by_ready_1() {
    let herder = unit("ready-after = \"1ms\"\n", "wait 300 ready").start();
    assert_eq!(herder.serves(1)[0].evidence, Some(Evidence::Assumed));
    let known = |worker: &herder_wire::status::Worker| worker.evidence == Some(Evidence::Notified);
    herder.is("the worker is known to be ready", |status| status.workers.iter().all(known));
}

#[test]
fn exec_and_alive_need_no_message_of_the_worker() {
    let mut herder = unit("ready = \"exec\"\n", "").start();
    herder.hears("READY=1");
    assert_eq!(herder.serves(1)[0].evidence, Some(Evidence::Executed));

    let start = Instant::now();
    // With `alive`, what the worker says does not count.
    let mut herder = unit("ready = \"alive\"\nready-after = \"300ms\"\n", "ready").start();
    herder.hears("READY=1");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(herder.serves(1)[0].evidence, Some(Evidence::Assumed));
}

#[test]
fn a_worker_that_is_not_ready_in_time_is_drained_and_counted() {
    let mut herder =
        unit("ready = \"notify\"\nstart-timeout = \"200ms\"\n", "note $DIR/pids").start();
    herder.logs("was not ready within");
    // Tried again, after it was told to stop and has ended.
    herder.lines("pids", 2);
    let status = herder.is("the failure is counted", |status| status.counters.failures > 0);
    assert_eq!(status.counters.crashes, 0);
    herder.logs("killed by SIGTERM as ordered");
    assert!(herder.heard().iter().all(|datagram| !datagram.says("READY=1")));
    assert_eq!(herder.stops(), 0);
}

#[test]
fn a_worker_that_hangs_and_ignores_sigterm_is_killed() {
    let settings = "ready = \"notify\"\nstart-timeout = \"200ms\"\nstop-timeout = \"200ms\"\n";
    let herder = unit(settings, "ignore-term note $DIR/pids").start();
    herder.logs("did not stop within");
    herder.logs("killed by SIGKILL");
    herder.lines("pids", 2);
}

#[test]
fn a_slow_starter_may_ask_for_more_time() {
    let steps = "notify EXTEND_TIMEOUT_USEC=60000000 wait 800 ready";
    let mut herder = unit("ready = \"notify\"\nstart-timeout = \"400ms\"\n", steps).start();
    herder.hears("READY=1");
    let status = herder.status();
    assert_eq!(status.counters.failures, 0, "{status:#?}");
    assert_eq!(status.workers[0].id, 1);
}

#[test]
fn a_start_takes_ten_times_its_timeout_at_most() {
    let steps = "notify EXTEND_TIMEOUT_USEC=18446744073709551615";
    let herder = unit("ready = \"notify\"\nstart-timeout = \"100ms\"\n", steps).start();
    herder.logs("was not ready within 1s");
}

/// A helper process of a worker may send READY=1 for it; no other process may, nor another worker. (A helper has to
/// stay until herder has read the message, as systemd-notify(1) does: the session of a dead sender is unknown.)
#[test]
fn ready_from_outside_the_workers_session_does_not_count() {
    let settings = "workers = 1\nready = \"notify\"\n";
    let command = shell("setsid $EXAMPLES/misbehave ready & exec sleep 60");
    let herder = Unit::new(&format!("{settings}{command}")).start();
    let status = herder.is("the datagram is counted", |status| status.counters.notify_dropped == 1);
    assert_eq!(status.ready, 0);

    let command = shell("$EXAMPLES/misbehave ready & exec sleep 60");
    let herder = Unit::new(&format!("{settings}{command}")).start();
    assert_eq!(herder.serves(1)[0].evidence, Some(Evidence::Notified));
}

/// Each new worker is started when the one before is ready.
#[test]
fn max_starting_bounds_how_many_start_together() {
    let settings = "workers = 4\nready = \"notify\"\nmax-starting = 1\n";
    let herder = Unit::new(&format!("{settings}{}", misbehave("wait 50 ready"))).start();
    let status = herder.is("all are ready, and never two were starting", |status| {
        let starting =
            |worker: &&herder_wire::status::Worker| worker.state == WorkerState::Starting;
        assert!(status.workers.iter().filter(starting).count() <= 1, "{status:#?}");
        status.ready == 4
    });
    assert_eq!(status.counters.failures, 0);
}

#[test]
fn ready_when_any_tells_systemd_earlier() {
    // One word in the environment makes slot 0 quick and the other slow.
    let command = shell("[ $HERDER_SLOT = 0 ] || exec sleep 60; exec $EXAMPLES/misbehave ready");
    let settings = "workers = 2\nready = \"notify\"\nready-when = \"any\"\n";
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    herder.hears("READY=1");
    assert_eq!(herder.status().ready, 1);
}

/// With `ready-when = "all"` a slot that fails does not keep READY=1 back for ever.
#[test]
fn one_complete_attempt_of_every_slot_is_enough_to_be_started() {
    let command = shell("[ $HERDER_SLOT = 0 ] || exit 7; exec $EXAMPLES/misbehave ready");
    let settings = "workers = 2\nready = \"notify\"\n";
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    herder.hears("READY=1");
    herder.has_said("STATUS=degraded 1/2: slot 1 exited with status 7");
}

#[test]
fn with_no_worker_wanted_herder_is_ready_at_once() {
    let mut herder = Unit::new(&format!("workers = 0\n{}", misbehave(""))).start();
    herder.hears("READY=1");
    herder.has_said("STATUS=0/0 ready");
    assert_eq!(herder.stops(), 0);
}
