//! Reloads that fail: the old workers serve on, and what was replaced is put back.

use crate::systemd::{Herder, Unit};
use crate::workers::{kill, misbehave, shell};
use herder_wire::status::Verdict;
use nix::sys::signal::Signal;
use std::fs;

fn settings(steps: &str) -> String {
    format!("workers = 3\nready = \"notify\"\n{}", misbehave(steps))
}

fn serving() -> Herder {
    let mut herder = Unit::new(&settings("ready")).start();
    herder.hears("READY=1");
    herder
}

#[test]
fn a_broken_version_fails_with_the_reason_and_the_old_workers_are_untouched() {
    for (steps, words) in [
        ("exit 3", "exited with status 3 before it was ready"),
        ("ready exit 3", "exited with status 3"),
        ("die 11", "SIGSEGV"),
    ] {
        let mut herder = serving();
        let before = herder.serves(3);
        // Killed by a signal, or not: no core file in the test's directory.
        herder.settings(&format!("min-ready-time = \"300ms\"\n{}", settings(steps)));
        let said = herder.reload();
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("reload failed") && said.err.contains(words), "{}", said.err);
        assert!(said.err.contains("rolled back to generation 1"), "{}", said.err);
        let after = herder.serves(3);
        let pids = |workers: &[herder_wire::status::Worker]| -> Vec<Option<u32>> {
            workers.iter().map(|worker| worker.pid).collect()
        };
        assert_eq!(pids(&before), pids(&after));
        let last = herder.status().reloads[0].clone();
        assert_eq!((last.generation, last.verdict), (Some(2), Verdict::Failed));
        let told = herder.hears("STATUS=3/3 ready, generation 1; reload to generation 2 failed: ");
        assert!(told.text.contains(words), "{told:?}");
    }
}

#[test]
fn a_version_that_is_never_ready_fails_at_its_start_timeout() {
    let herder = serving();
    herder.settings(&format!("start-timeout = \"200ms\"\n{}", settings("ignore-term")));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("was not ready within"), "{}", said.err);
    assert_eq!(herder.status().ready, 3);
}

/// The first new worker is good, the second is not: what was replaced is put back.
#[test]
fn a_reload_that_fails_half_way_is_rolled_back() {
    let herder = serving();
    let before = herder.serves(3);
    let command = shell("[ $HERDER_SLOT = 2 ] && exit 3; exec $EXAMPLES/misbehave ready");
    herder.settings(&format!("workers = 3\nready = \"notify\"\n{command}"));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("(slot 2) exited with status 3"), "{}", said.err);
    assert!(said.err.contains("rolled back to generation 1"), "{}", said.err);
    let after = herder.serves(3);
    assert!(after.iter().all(|worker| worker.generation == 1), "{after:#?}");
    assert_eq!(after[2].pid, before[2].pid, "not replaced yet, so not touched");
    assert_ne!(after[0].pid, before[0].pid);
    herder.logs("rolled back to generation 1");
}

/// Roll-back cannot restore files that were overwritten in place; what still runs is kept.
#[test]
fn a_roll_back_whose_files_have_changed_says_so() {
    let unit = Unit::new(&settings("from $DIR/version"));
    fs::write(unit.path("version"), "ready").unwrap();
    let mut herder = unit.start();
    herder.hears("READY=1");
    // The first worker of the new version breaks the old one, and no other of the new one starts.
    let command = shell(
        "[ -e $DIR/first ] && exit 4; touch $DIR/first; echo exit 4 > $DIR/version; \
         exec $EXAMPLES/misbehave ready",
    );
    herder.settings(&format!("workers = 3\nready = \"notify\"\n{command}"));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("but its files have changed"), "{}", said.err);
    let status = herder.status();
    assert_eq!(status.ready, 3, "{status:#?}");
    let new = status.workers.iter().find(|worker| worker.generation == 2).unwrap();
    kill(new.pid, Signal::SIGKILL);
    herder.hears("STATUS=degraded 2/3: slot 0 exited with status 4");
}

#[test]
fn an_old_worker_that_dies_meanwhile_does_not_fail_the_reload() {
    let herder = serving();
    let old = herder.serves(3);
    herder.settings(&settings("wait 500 ready"));
    let reload = herder.start_reload();
    herder.is("the first new worker is on trial", |status| status.starting == 1);
    kill(old[1].pid, Signal::SIGKILL);
    let said = reload.ends();
    assert_eq!(said.code, 0, "{said:?}");
    assert!(herder.serves(3).iter().all(|worker| worker.generation == 2));
}

/// The slot gets the settings that are known to work.
#[test]
fn a_slot_that_needs_a_worker_during_the_trial_gets_an_old_one() {
    let unit = Unit::new(&format!("min-lifetime = \"1us\"\n{}", settings("ready")));
    let herder = unit.start();
    let old = herder.serves(3);
    herder.settings(&settings("wait 60000 ready"));
    let _reload = herder.start_reload();
    herder.is("the first new worker is on trial", |status| status.starting == 1);
    kill(old[1].pid, Signal::SIGKILL);
    let status = herder.is("it is replaced", |status| {
        status.ready == 3 && status.workers.iter().all(|worker| worker.id != old[1].id)
    });
    let replacement = status.workers.iter().find(|worker| worker.slot == 1).unwrap();
    assert_eq!(replacement.generation, 1);
}

/// A new worker that does not say by itself that it serves is watched for a second.
#[test]
fn an_assumed_canary_that_dies_within_its_trial_fails_the_reload() {
    let settings =
        |steps: &str| format!("workers = 2\nready-after = \"50ms\"\n{}", misbehave(steps));
    let mut herder = Unit::new(&settings("")).start();
    herder.hears("READY=1");
    herder.settings(&settings("wait 700 exit 5"));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("exited with status 5"), "{}", said.err);
    assert_eq!(herder.serves(2).iter().filter(|worker| worker.generation == 1).count(), 2);
}

/// Failures of a reload never escalate, because the old workers still serve.
#[test]
fn a_failed_reload_does_not_end_an_instance_that_serves() {
    let herder = Unit::new(&format!("crash-limit.burst = 1\n{}", settings("ready"))).start();
    herder.serves(3);
    herder.settings(&format!("crash-limit.burst = 1\n{}", settings("exit 1")));
    for _ in 0..4 {
        assert_eq!(herder.reload().code, 1);
    }
    assert_eq!(herder.serves(3).len(), 3);
}
