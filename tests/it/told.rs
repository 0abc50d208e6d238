//! Messages of herder to systemd, and when it sends them: readiness, status, more time to start, the watchdog.

use crate::systemd::{Datagram, Unit};
use crate::wait::{PATIENCE, until};
use crate::workers::{kill, misbehave, shell};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

fn unit(settings: &str, steps: &str) -> Unit {
    Unit::new(&format!("workers = 1\nready = \"notify\"\n{}{settings}", misbehave(steps)))
}

fn that_say<'a>(heard: &'a [Datagram], line: &str) -> Vec<&'a Datagram> {
    heard.iter().filter(|datagram| datagram.says(line)).collect()
}

#[test]
fn ready_is_said_once() {
    let mut herder = unit("min-lifetime = \"1us\"\n", "ready").start();
    herder.hears("READY=1");
    let worker = herder.serves(1).remove(0);
    kill(worker.pid, Signal::SIGKILL);
    herder.is("it is replaced", |status| status.ready == 1 && status.workers[0].id == 2);
    assert_eq!(herder.stops(), 0);
    assert_eq!(that_say(herder.heard(), "READY=1").len(), 1);
    assert_eq!(that_say(herder.heard(), "STOPPING=1").len(), 1);
    assert!(that_say(herder.heard(), "WATCHDOG=1").is_empty(), "WATCHDOG=1 without WATCHDOG_USEC");
}

/// Trap 21: other service managers use abstract sockets.
#[test]
fn an_abstract_notify_socket_will_do() {
    let mut herder = unit("", "ready").with_abstract_notify_socket().start();
    herder.hears("READY=1");
    assert_eq!(herder.stops(), 0);
    assert_eq!(that_say(herder.heard(), "READY=1").len(), 1);
}

/// Traps 5, 6 and 7: both in one datagram, and READY=1 after it, whatever came of the reload.
#[test]
fn a_reload_is_bracketed_for_systemd() {
    let good = format!("workers = 1\nready = \"notify\"\n{}", misbehave("ready"));
    let bad = format!("workers = 1\nready = \"notify\"\n{}", misbehave("exit 1"));
    let mut herder = Unit::new(&good).start();
    herder.hears("READY=1");
    for (settings, code) in [(&*good, 0), (&bad, 1), ("nonsense = 1\n", 1)] {
        herder.settings(settings);
        let before = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
        assert_eq!(herder.reload().code, code);
        let reloading = herder.hears("RELOADING=1");
        let at: u64 = reloading.value("MONOTONIC_USEC").expect("in one datagram").parse().unwrap();
        assert!(at >= Duration::from(before).as_micros() as u64);
        herder.hears("READY=1");
    }
}

/// Trap 11: a ping before READY=1, or after STOPPING=1, arms systemd's watchdog against the
/// start or the stop.
#[test]
fn the_watchdog_is_pinged_between_ready_and_stopping_only() {
    let mut herder = unit("stop-timeout = \"500ms\"\n", "ignore-term wait 500 ready")
        .env("WATCHDOG_USEC", "200000")
        .start();
    herder.hears("READY=1");
    let start = Instant::now();
    for _ in 0..4 {
        herder.hears("WATCHDOG=1");
    }
    let took = start.elapsed();
    // Every 100 ms; the first one after READY=1, not with it.
    assert!(took >= Duration::from_millis(350), "{took:?}");
    assert_eq!(herder.stops(), 0);
    let heard = herder.heard();
    let at = |line: &str| heard.iter().position(|datagram| datagram.says(line)).unwrap();
    let pings = heard.iter().enumerate().filter(|(_, datagram)| datagram.says("WATCHDOG=1"));
    let pings: Vec<usize> = pings.map(|(at, _)| at).collect();
    assert!(pings.iter().all(|ping| (at("READY=1")..at("STOPPING=1")).contains(ping)), "{pings:?}");
}

#[test]
fn a_watchdog_meant_for_another_process_is_not_herders() {
    let unit = unit("", "ready wait 300 exit 0").env("WATCHDOG_USEC", "100000");
    let mut herder = unit.env("WATCHDOG_PID", "1").start();
    herder.logs("exited with status 0");
    assert_eq!(herder.stops(), 0);
    assert!(that_say(herder.heard(), "WATCHDOG=1").is_empty());
}

/// Trap 8: without it systemd would end a start that takes longer than TimeoutStartSec=.
#[test]
fn systemd_is_asked_for_patience_while_a_start_takes_long() {
    let mut herder = unit("", "").start();
    let extend = herder.hears("EXTEND_TIMEOUT_USEC=");
    assert_eq!(extend.value("EXTEND_TIMEOUT_USEC"), Some("15000000"));
    assert_eq!(herder.stops(), 0);
}

#[test]
fn status_is_told_at_most_once_a_second() {
    let settings = "workers = 4\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let command = shell("sleep 0.$HERDER_SLOT; exec $EXAMPLES/misbehave ready wait 50 exit 1");
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    // The one that goes with it does not wait.
    herder.hears("READY=1");
    let statuses = [(); 3].map(|()| herder.hears("STATUS="));
    for pair in statuses.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= Duration::from_millis(900), "{apart:?}: {pair:?}");
        assert_ne!(pair[0].text, pair[1].text);
    }
}

/// Trap 22: a send to a systemd that does not read would block for ever.
#[test]
fn a_systemd_that_does_not_read_holds_nothing_up() {
    let settings = "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let unit = Unit::new(&format!("{settings}{}", misbehave("wait 300 ready")));
    let filled = unit.fill_notify_queue();
    assert!(filled > 0);
    let mut herder = unit.start();
    let worker = herder.serves(1).remove(0);
    kill(worker.pid, Signal::SIGKILL);
    herder.is("it is replaced", |status| status.ready == 1 && status.workers[0].id == 2);
    assert_eq!(herder.reload().code, 0);
    // It reads again, and what it must not miss comes in the right order.
    for _ in 0..filled {
        assert!(herder.next(PATIENCE).unwrap().says("FILLER=1"));
    }
    let mut order = Vec::new();
    while order.len() < 3 {
        let datagram = herder.next(PATIENCE).expect("more to be said");
        order.extend(["READY=1", "RELOADING=1"].into_iter().filter(|line| datagram.says(line)));
    }
    assert_eq!(order, ["READY=1", "RELOADING=1", "READY=1"]);
    herder.logs("systemd takes notifications again; ");
    assert!(herder.status().counters.notify_lost > 0);
    assert_eq!(herder.stops(), 0);
}

#[test]
fn no_service_manager_is_no_problem() {
    for address in ["$DIR/missing", "@herder-it-missing"] {
        let mut herder = unit("", "ready").env("NOTIFY_SOCKET", address).start();
        herder.serves(1);
        assert_eq!(herder.stops(), 0);
    }
}

/// A ping by a loop that lags proves nothing; the next turn that is on time does.
#[test]
fn a_stopped_herder_does_not_ping_and_then_goes_on() {
    let mut herder = unit("", "ready").env("WATCHDOG_USEC", "200000").start();
    herder.hears("WATCHDOG=1");
    herder.signal(Signal::SIGSTOP);
    let state = format!("/proc/{}/stat", herder.pid());
    until("herder is stopped", || std::fs::read_to_string(&state).unwrap().contains(") T "));
    while herder.next(Duration::ZERO).is_some() {}
    assert!(herder.next(Duration::from_millis(400)).is_none());
    herder.signal(Signal::SIGCONT);
    herder.hears("WATCHDOG=1");
    assert_eq!(herder.stops(), 0);
}

/// With `service-watchdog = "workers"` herder pings systemd only while its workers serve.
#[test]
fn the_watchdog_can_stand_for_the_workers() {
    let mut herder =
        unit("service-watchdog = \"workers\"\n", "ready").env("WATCHDOG_USEC", "100000").start();
    herder.hears("READY=1");
    herder.hears("WATCHDOG=1");
    assert_eq!(herder.stops(), 0);
}
