//! herder does nothing while nothing happens, and it stays small.

use crate::systemd::{Herder, Unit};
use crate::wait::{PATIENCE, until};
use crate::workers::{listener, misbehave};
use std::fs;
use std::time::Duration;

fn idle(environment: &[(&str, &str)]) -> Herder {
    // What looks at sockets has nothing to see either.
    let settings =
        "workers = 4\nready = \"notify\"\nmin-lifetime = \"1us\"\nstall-timeout = \"1s\"\n";
    let mut unit = Unit::new(&format!("{settings}{}", misbehave("ready")));
    for (name, value) in environment {
        unit = unit.env(name, value);
    }
    let mut herder = unit.socket("web", listener()).start();
    herder.hears("READY=1");
    herder.has_said("STATUS=4/4 ready");
    herder
}

/// Waits until herder sleeps, and returns how often it has gone to sleep so far, which is how often it was woken.
pub fn sleeps(herder: &Herder) -> u64 {
    let mut status = String::new();
    until("herder sleeps", || {
        status = fs::read_to_string(format!("/proc/{}/status", herder.pid())).unwrap();
        status.contains("State:\tS")
    });
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn nothing_wakes_an_idle_herder() {
    let mut herder = idle(&[]);
    let before = sleeps(&herder);
    // This test is about the time in which nothing may happen.
    assert!(herder.next(Duration::from_secs(2)).is_none());
    assert_eq!(sleeps(&herder) - before, 0);
}

#[test]
fn the_watchdog_is_all_that_wakes_it() {
    let mut herder = idle(&[("WATCHDOG_USEC", "400000")]);
    herder.hears("WATCHDOG=1");
    let before = sleeps(&herder);
    for _ in 0..5 {
        let datagram = herder.next(PATIENCE).unwrap();
        assert!(datagram.says("WATCHDOG=1"), "{datagram:?}");
    }
    let wakeups = sleeps(&herder) - before;
    assert!((4..=6).contains(&wakeups), "{wakeups}");
}

/// A worker's death leaves no descriptor, zombie or file behind.
#[test]
fn nothing_grows_with_the_number_of_workers_there_were() {
    let settings = "workers = 2\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let command = misbehave("note $DIR/pids ready wait 5 exit 1");
    let herder = Unit::new(&format!("{settings}{command}")).start();
    let count = |path: String| fs::read_dir(path).map_or(0, Iterator::count);
    let fds = || count(format!("/proc/{}/fd", herder.pid()));
    let inboxes = || count(herder.path("run/notify").display().to_string());
    herder.lines("pids", 20);
    let (fds_before, inboxes_before) = (fds(), inboxes());
    herder.lines("pids", 100);
    until("as many descriptors as before", || fds() <= fds_before);
    until("as many sockets as before", || inboxes() <= inboxes_before.max(3));
    until("no zombies but the latest", || {
        let children = format!("/proc/{0}/task/{0}/children", herder.pid());
        fs::read_to_string(children).unwrap().split_whitespace().count() <= 3
    });
}

/// A bound that finds a mistake such as a large buffer or a leak. How much memory herder needs is measured, with the program
/// as it is shipped, by a benchmark. What it has written to is its own, whatever else runs on the machine.
#[test]
fn herder_is_small() {
    let herder = idle(&[]);
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", herder.pid())).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 1200, "{rollup}");
}
