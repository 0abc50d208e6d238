//! How workers end, and that nothing is left of them.

use crate::systemd::Unit;
use crate::wait::{some, until};
use crate::workers::{kill, misbehave, shell};
use nix::sys::signal::Signal;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

fn unit(steps: &str) -> Unit {
    let settings =
        "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\nstop-timeout = \"300ms\"\n";
    Unit::new(&format!("{settings}{}", misbehave(steps)))
}

/// Trap 19: waitpid(2) of nix fails for these signals *after* it has reaped the worker.
#[test]
fn every_signal_that_ends_a_worker_is_reported_and_survived() {
    // All at once: the first worker of each slot dies by a signal of its own.
    let settings = "workers = 64\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let command = shell(
        "[ $HERDER_WORKER -gt 64 ] && exec $EXAMPLES/misbehave ready; ulimit -c 0; \
         exec $EXAMPLES/misbehave ready die $((HERDER_SLOT + 1))",
    );
    let herder = Unit::new(&format!("{settings}{command}")).start();
    let ends = |signal: i32| !matches!(signal, 17..=23 | 28 | 32 | 33);
    for signal in (1..=64).filter(|signal| ends(*signal)) {
        let name = herder_core::signal_name(u8::try_from(signal).unwrap());
        herder.logs(&format!("killed by {name}"));
    }
    herder.is("all are replaced", |status| {
        let mut workers = status.workers.iter();
        status.ready == 64 && workers.all(|worker| worker.id > 64 || !ends(worker.slot as i32 + 1))
    });
}

#[test]
fn what_a_worker_leaves_behind_is_stopped_then_killed() {
    let herder = unit("note $DIR/pids ready grandchild exit 0").start();
    herder.lines("pids", 1);
    herder.logs("killing processes that worker 1");
    // The next worker leaves a process, too, so there is always one; but those of the first worker are gone.
    herder.is("the first one's remains are gone", |status| {
        status.workers.iter().all(|worker| worker.id != 1)
    });
}

#[test]
fn a_grandchild_that_obeys_is_not_killed() {
    let command = shell(
        "sh -c \"trap 'echo asked >> $DIR/asked; exit' TERM; echo up >> $DIR/up; while :; do sleep 0.1; done\" & \
         until [ -e $DIR/up ]; do sleep 0.01; done; exec $EXAMPLES/misbehave ready wait 100 exit 0",
    );
    let settings =
        "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\nstop-timeout = \"1h\"\n";
    let herder = Unit::new(&format!("{settings}{command}")).start();
    herder.lines("asked", 1);
    herder.is("it is gone", |status| status.workers.iter().all(|worker| worker.id != 1));
    assert!(!herder.log().contains("killing processes"));
}

#[test]
fn a_worker_that_ignores_its_stop_signal_is_killed_in_time() {
    let mut herder = unit("ignore-term ready").start();
    herder.hears("READY=1");
    assert_eq!(herder.stops(), 0);
    herder.logs("did not stop within 300ms, killing it");
    herder.logs("killed by SIGKILL as ordered");
}

#[test]
fn grandchildren_do_not_outlive_a_stop() {
    let mut herder = unit("grandchild grandchild ready").start();
    herder.hears("READY=1");
    until("the grandchildren run", || herder.processes().len() == 3);
    assert_eq!(herder.stops(), 0);
    assert!(herder.processes().is_empty(), "{:?}", herder.processes());
}

/// A child of a descendant becomes herder's child when its parent dies, and is reaped like any other.
#[test]
fn orphans_of_orphans_are_reaped() {
    let command = shell("(sh -c 'sleep 0.2 & exit' & exit); exec $EXAMPLES/misbehave ready");
    let herder = Unit::new(&format!("workers = 1\nready = \"notify\"\n{command}")).start();
    herder.serves(1);
    let children = format!("/proc/{0}/task/{0}/children", herder.pid());
    until("herder has only the worker left", || {
        let pids = std::fs::read_to_string(&children).unwrap();
        pids.split_whitespace().count() == 1
    });
}

/// The daemon has left the worker's session, so systemd ends it with the unit; herder does not wait for it.
#[test]
fn a_daemon_that_left_the_session_holds_nothing_up() {
    let command = shell(
        "setsid sh -c 'echo $$ > $DIR/daemon; exec sleep 60' & until [ -s $DIR/daemon ]; do sleep 0.01; done; \
         exec $EXAMPLES/misbehave ready",
    );
    let settings =
        "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\nstop-timeout = \"1h\"\n";
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    let worker = herder.serves(1).remove(0);
    kill(worker.pid, Signal::SIGKILL);
    herder.is("it is replaced, and gone", |status| {
        status.workers.iter().all(|now| now.id > worker.id && now.evidence.is_some())
    });
    assert_eq!(herder.stops(), 0);
}

#[test]
fn endings_that_are_normal_for_a_server_are_no_crashes() {
    let settings = "workers = 1\nready = \"notify\"\nsuccess-exit-status = [\"3\", \"SIGUSR2\"]\n";
    let steps = "note $DIR/pids ready wait 100 from $DIR/end";
    let unit = Unit::new(&format!("{settings}{}", misbehave(steps)));
    std::fs::write(unit.path("end"), "exit 3").unwrap();
    let herder = unit.start();
    herder.lines("pids", 2);
    std::fs::write(herder.path("end"), "die 12").unwrap();
    herder.logs("killed by SIGUSR2");
    std::fs::write(herder.path("end"), "exit 4").unwrap();
    herder.logs("exited with status 4 soon after it was ready");
    let status = herder.is("the last one counts", |status| status.counters.failures > 0);
    assert_eq!(status.counters.crashes, 0);
}

/// A server that ends normally at once, again and again, is not started as fast as it can fork.
#[test]
fn normal_endings_in_a_hurry_are_slowed_down() {
    let settings = "workers = 1\nready = \"exec\"\nsuccess-exit-status = [0]\n";
    let start = Instant::now();
    let herder = Unit::new(&format!("{settings}{}", misbehave("note $DIR/pids exit 0"))).start();
    herder.lines("pids", 12);
    assert!(start.elapsed() >= Duration::from_millis(75), "{:?}", start.elapsed());
    assert_eq!(herder.status().counters.failures, 0);
}

#[test]
fn a_stopped_worker_is_killed_in_time() {
    let mut herder = unit("ready").start();
    let worker = herder.serves(1).remove(0);
    kill(worker.pid, Signal::SIGSTOP);
    let state = format!("/proc/{}/stat", worker.pid.unwrap());
    until("it is stopped", || std::fs::read_to_string(&state).unwrap().contains(") T "));
    assert_eq!(herder.stops(), 0);
    assert!(herder.log().contains("killed by SIGKILL as ordered"));
}

#[test]
fn a_worker_that_says_it_stops_and_stays_is_killed() {
    let herder = unit("ready notify STOPPING=1").start();
    herder.logs("worker 1 (slot 0) did not stop within 300ms, killing it");
    herder.is("it is gone", |status| status.workers.iter().all(|worker| worker.id != 1));
}

/// The parent of herder may have ignored SIGCHLD, and then the kernel reaps children without reporting them
/// (sigaction(2)).
#[test]
fn an_inherited_disposition_of_sigchld_hides_no_death() {
    let wrapper = ["/usr/bin/env", "--ignore-signal=CHLD"];
    let mut herder = unit("ready").through(&wrapper).start();
    let worker = herder.serves(1).remove(0);
    kill(worker.pid, Signal::SIGKILL);
    herder.is("it is replaced", |status| status.ready == 1 && status.workers[0].id == 2);
    assert!(herder.log().contains("killed by SIGKILL"));
    assert_eq!(herder.stops(), 0);
}

/// The first process of a pid namespace cannot end before every other in it has been reaped (pid_namespaces(7)),
/// and this one's parent, which is outside, is stopped.
#[test]
fn what_not_even_sigkill_ends_is_given_up_and_named() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: a pid namespace is for root");
        return;
    }
    let settings =
        "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\nstop-timeout = \"100ms\"\n";
    let command = shell(
        "[ $HERDER_WORKER = 1 ] && unshare --pid --fork sleep 1000 & exec $EXAMPLES/misbehave ready",
    );
    let mut herder =
        Unit::new(&format!("{settings}{command}")).options(&["--log-format=json"]).start();
    let worker = herder.serves(1).remove(0);
    let first = some("the first process of a pid namespace", || {
        herder.processes().into_iter().find(|pid| is_first_in_namespace(*pid))
    });
    let mut enter = Command::new("nsenter");
    enter.args(["--pid", "--target", &first.to_string(), "sleep", "1000"]);
    let outside = Outside(enter.spawn().unwrap());
    let children = format!("/proc/{0}/task/{0}/children", outside.0.id());
    until("a process is in the namespace", || {
        std::fs::read_to_string(&children).is_ok_and(|children| !children.is_empty())
    });
    kill(Some(outside.0.id()), Signal::SIGSTOP);

    kill(worker.pid, Signal::SIGKILL);
    herder.logs("\"worker_unkillable\"");
    let log = herder.log();
    let mut entries =
        log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let last = entries.rfind(|entry| entry["HERDER_WORKER"] == "1").unwrap();
    assert_eq!(last["HERDER_EVENT"], "worker_unkillable", "{log}");
    assert_eq!(last["HERDER_PID"], worker.pid.unwrap().to_string(), "{last}");
    assert_eq!(herder.stops(), 0, "herder exits without waiting for it");
}

fn is_first_in_namespace(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    pids.is_some_and(|pids| pids.split_whitespace().nth(1) == Some("1"))
}

/// A process outside that waits for a child in another PID namespace.
struct Outside(Child);

impl Drop for Outside {
    fn drop(&mut self) {
        // Only then can the other end, too: init reaps it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
