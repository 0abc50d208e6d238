//! Workers that hang, found by their watchdog or by connections that wait.

use crate::systemd::{Herder, Unit};
use crate::workers::{REPORT, kill, listener, misbehave};
use herder_wire::status::{ExitCause, State, Status, Worker};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A second is short enough for a test, and long enough for a machine that is busy with others.
const WATCHDOG: Duration = Duration::from_secs(1);
const SETTINGS: &str = "ready = \"notify\"\nwatchdog = \"1s\"\nmin-lifetime = \"1us\"\n";

fn watched(workers: u32, steps: &str) -> Unit {
    Unit::new(&format!("workers = {workers}\n{SETTINGS}{}", misbehave(steps)))
}

fn by_slot(status: &Status, slot: u32) -> &Worker {
    status.workers.iter().rfind(|worker| worker.slot == slot).unwrap()
}

/// How often a worker has pinged, as it counts itself.
fn pings(worker: &Worker) -> u64 {
    let count = worker.status.as_deref().and_then(|text| text.strip_prefix("ping ")?.parse().ok());
    count.unwrap_or(0)
}

/// Waits until every worker has pinged so many times more.
fn all_ping_on(herder: &Herder, times: u64) {
    let before = herder.status();
    herder.is("all ping on", |status| {
        let pinged = |old: &Worker| pings(by_slot(status, old.slot)) >= pings(old) + times;
        before.workers.iter().all(pinged)
    });
}

#[test]
fn a_stopped_worker_is_aborted_and_replaced_within_its_time() {
    let mut herder = watched(2, "ready ping 50").start();
    herder.hears("READY=1");
    all_ping_on(&herder, 2);
    let before = herder.status();
    let (victim, other) = (by_slot(&before, 0).clone(), by_slot(&before, 1).clone());
    let begin = Instant::now();
    kill(victim.pid, Signal::SIGSTOP);
    let status = herder
        .is("it is replaced", |status| status.ready == 2 && by_slot(status, 0).id > victim.id);
    let took = begin.elapsed();
    assert!(took > WATCHDOG / 2, "aborted before its time was over: {took:?}");
    assert!(took < 8 * WATCHDOG, "{took:?}");
    assert_eq!(by_slot(&status, 1).id, other.id, "the other is not touched");
    let last = by_slot(&status, 0).last_exit.clone().unwrap();
    assert_eq!(last.cause, ExitCause::Hung);
    assert_eq!(last.text, "hung: no WATCHDOG=1 for 1s");
    assert_eq!((status.counters.hung, status.counters.respawns), (1, 1));
    assert_eq!((status.counters.crashes, status.counters.failures), (0, 0));
    herder.logs("aborting it: no WATCHDOG=1 for 1s");
    // Stopped as it was, it has felt SIGABRT.
    herder.logs("was killed by SIGABRT");
    assert!(!herder.log().contains("did not stop within"), "{}", herder.log());
}

#[test]
fn a_worker_that_spins_is_aborted_and_one_that_ignores_sigabrt_is_killed() {
    let settings = format!("workers = 1\n{SETTINGS}stop-timeout = \"300ms\"\n");
    let steps = "ignore-term ignore-abort note $DIR/pids ready spin";
    let herder = Unit::new(&format!("{settings}{}", misbehave(steps))).start();
    herder.logs("did not stop within 300ms, killing it");
    herder.logs("was killed by SIGKILL as ordered");
    let pids = herder.lines("pids", 2);
    assert_ne!(pids[0], pids[1]);
    let status = herder.status();
    assert!(status.counters.hung >= 1, "{:?}", status.counters);
    // It never pinged, so nothing proves that it ever worked.
    herder.logs("failed once, next try in");
}

#[test]
fn a_worker_that_sends_watchdog_trigger_is_replaced() {
    let settings = "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    let steps = "note $DIR/pids ready from $DIR/next";
    let unit = Unit::new(&format!("{settings}{}", misbehave(steps)));
    fs::write(unit.path("next"), "notify WATCHDOG=trigger wait 60000").unwrap();
    let herder = unit.start();
    herder.logs("aborting it: it said WATCHDOG=trigger");
    fs::write(herder.path("next"), "wait 60000").unwrap();
    herder.lines("pids", 2);
    herder.logs("was killed by SIGABRT");
}

/// The time for which herder or the whole unit is stopped does not count against any worker.
#[test]
fn no_worker_is_aborted_because_herder_was_stopped() {
    let mut herder = watched(4, "ready ping 50").start();
    herder.hears("READY=1");
    all_ping_on(&herder, 2);
    let before = herder.status();
    for with_workers in [false, true, false, true] {
        herder.signal(Signal::SIGSTOP);
        let workers = before.workers.iter().filter(|_| with_workers);
        workers.clone().for_each(|worker| kill(worker.pid, Signal::SIGSTOP));
        // This test is about the time for which herder is stopped.
        sleep(2 * WATCHDOG);
        // The worst order: herder goes on before its workers.
        herder.signal(Signal::SIGCONT);
        workers.for_each(|worker| kill(worker.pid, Signal::SIGCONT));
        all_ping_on(&herder, 20);
    }
    let after = herder.status();
    let ids = |status: &Status| status.workers.iter().map(|worker| worker.id).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(after.counters.hung, 0);
}

/// The ping is behind more than what is read in a turn.
#[test]
fn a_ping_behind_many_messages_is_read() {
    let steps = "ready flood 200 notify WATCHDOG=1 from $DIR/next";
    let unit = watched(1, steps);
    // It leads to itself.
    let (next, rounds) = (unit.path("next"), unit.path("rounds"));
    let round = "wait 100 flood 200 notify WATCHDOG=1 note";
    fs::write(&next, format!("{round} {} from {}", rounds.display(), next.display())).unwrap();
    let herder = unit.start();
    herder.lines("rounds", 20);
    assert_eq!(herder.status().counters.hung, 0);
}

#[test]
fn a_worker_is_told_its_watchdog() {
    let told = |settings: &str| {
        let unit = Unit::new(&format!("{settings}{REPORT}")).env("WATCHDOG_USEC", "1000000");
        let herder = unit.start();
        let worker = herder.serves(1).remove(0);
        let report = fs::read_to_string(herder.path("report-1")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let value = |name: &str| report["environment"][name].as_str().map(str::to_owned);
        (value("WATCHDOG_USEC"), value("WATCHDOG_PID"), worker.pid.unwrap().to_string())
    };
    let (usec, pid, own) = told("watchdog = \"1min\"\n");
    assert_eq!((usec.as_deref(), pid), (Some("60000000"), Some(own)));
    let (usec, pid, _) = told("watchdog = \"1min\"\nlisten-pid = \"omit\"\n");
    assert_eq!((usec.as_deref(), pid), (Some("60000000"), None));
    // herder's own is its own.
    let (usec, pid, _) = told("watchdog = 0\n");
    assert_eq!((usec, pid), (None, None));
}

const STALLING: &str = "workers = 2\nready = \"notify\"\nstall-timeout = \"1s\"\n";

#[test]
fn a_stall_of_a_shared_socket_is_reported_until_a_worker_accepts() {
    let socket = listener();
    let address = socket.local_addr().unwrap();
    let unit = Unit::new(&format!("{STALLING}{}", misbehave("ready spin")));
    let mut herder = unit.socket("web", socket).start();
    herder.hears("READY=1");
    let mut clients: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    herder.hears("STATUS=2/2 ready, generation 1, stalled");
    herder.logs("stalled: 3 connections waiting, and no worker has accepted one for ");
    let status = herder.status();
    assert_eq!((status.state, status.ready), (State::Degraded, 2));
    assert!(status.stalled_since_usec.is_some());
    assert_eq!((status.counters.stalled, status.counters.respawns), (0, 0), "a worker is touched");
    // Workers that serve, and nothing that waited is lost.
    herder.settings(&format!("{STALLING}{}", misbehave("ready accept")));
    assert_eq!(herder.reload().code, 0);
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.parse::<u32>().is_ok(), "{answer}");
    }
    herder.logs("no longer stalled");
    let status = herder.is("it serves", |status| status.state == State::Serving);
    assert_eq!(status.stalled_since_usec, None);
}

#[test]
fn a_queue_that_moves_is_no_stall() {
    let socket = listener();
    let address = socket.local_addr().unwrap();
    let unit = Unit::new(&format!("{STALLING}{}", misbehave("ready accept")));
    let mut herder = unit.socket("web", socket).start();
    herder.hears("READY=1");
    let begin = Instant::now();
    let mut answers = 0;
    while begin.elapsed() < Duration::from_secs(3) {
        // Several at a time, so that some always wait.
        let clients = [(); 8].map(|()| TcpStream::connect(address).unwrap());
        for mut client in clients {
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            answers += u32::from(!answer.is_empty());
        }
    }
    assert!(answers > 100, "{answers}");
    assert!(!herder.log().contains("stalled"), "{}", herder.log());
}
