//! When herder gives up, so that systemd decides, and with which status.

use crate::systemd::{Herder, Unit};
use crate::workers::{misbehave, shell};
use nix::sys::signal::Signal;

/// Waits until herder has given up.
fn gives_up(herder: &mut Herder, code: i32) {
    assert_eq!(herder.exits(), code);
    let heard = herder.heard();
    let stopping = heard.iter().position(|datagram| datagram.says("STOPPING=1")).unwrap();
    let status = heard.iter().position(|datagram| datagram.says("STATUS=giving up: ")).unwrap();
    assert!(stopping <= status);
    assert!(herder.log().contains(&format!("giving up with status {code}")));
    assert!(herder.processes().is_empty());
}

#[test]
fn a_crash_loop_is_69() {
    let settings = "workers = 2\nready = \"notify\"\ncrash-limit = { burst = 2 }\n";
    let command = misbehave("note $DIR/pids exit 1");
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    gives_up(&mut herder, 69);
    assert_eq!(herder.lines("pids", 4).len(), 4, "each slot had two tries");
    assert!(herder.heard().iter().all(|datagram| !datagram.says("READY=1")));
}

/// Never 0, whatever the workers exit with, or Restart=on-failure would see no failure.
#[test]
fn a_crash_loop_of_zeros_is_69_too() {
    let settings = "workers = 1\nready = \"notify\"\ncrash-limit = { burst = 2 }\n";
    let mut herder = Unit::new(&format!("{settings}{}", misbehave("exit 0"))).start();
    gives_up(&mut herder, 69);
}

#[test]
fn ready_and_dead_again_is_a_crash_loop() {
    let settings = "workers = 1\nready = \"notify\"\ncrash-limit = { burst = 2 }\n";
    let mut herder = Unit::new(&format!("{settings}{}", misbehave("ready wait 20 exit 1"))).start();
    gives_up(&mut herder, 69);
    assert!(herder.heard().iter().any(|datagram| datagram.says("READY=1")));
}

#[test]
fn only_timeouts_are_75() {
    let settings =
        "workers = 1\nready = \"notify\"\nstart-timeout = \"100ms\"\ncrash-limit.burst = 2\n";
    let mut herder = Unit::new(&format!("{settings}{}", misbehave(""))).start();
    gives_up(&mut herder, 75);
}

#[test]
fn a_timeout_among_crashes_is_69() {
    let settings =
        "workers = 1\nready = \"notify\"\nstart-timeout = \"500ms\"\ncrash-limit.burst = 2\n";
    let command = shell("[ $HERDER_WORKER = 1 ] && exit 1; exec sleep 60");
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    gives_up(&mut herder, 69);
}

#[test]
fn too_long_without_a_worker_is_enough() {
    let settings =
        "workers = 1\nready = \"notify\"\ncrash-limit = { burst = 1000, after = \"300ms\" }\n";
    let mut herder = Unit::new(&format!("{settings}{}", misbehave("exit 1"))).start();
    gives_up(&mut herder, 69);
}

/// The system's refusals are not the workers' fault. (A file that is written to cannot be
/// executed: ETXTBSY.)
#[test]
fn a_system_that_refuses_is_71() {
    let settings = "workers = 1\nready = \"exec\"\ncrash-limit = { burst = 2 }\n";
    let unit = Unit::new(&format!("{settings}command = [\"$DIR/program\", \"60\"]\n"));
    let program = unit.path("program");
    std::fs::copy("/bin/sleep", &program).unwrap();
    let _writing = std::fs::OpenOptions::new().append(true).open(&program).unwrap();
    let mut herder = unit.start();
    gives_up(&mut herder, 71);
}

/// herder does not escalate while a worker serves.
#[test]
fn herder_stays_while_one_worker_serves() {
    let settings =
        "workers = 2\nready = \"notify\"\ncrash-limit = { burst = 1, after = \"100ms\" }\n";
    let command = shell("[ $HERDER_SLOT = 0 ] || exit 1; exec $EXAMPLES/misbehave ready");
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    herder.logs("slot 1 failed 3 times in a row");
    assert_eq!(herder.status().ready, 1);
    assert_eq!(herder.stops(), 0);
}

/// Crashes of workers that lived long enough are no crash loop.
#[test]
fn crashes_of_proved_workers_never_escalate() {
    let settings =
        "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\ncrash-limit = { burst = 1 }\n";
    let command = misbehave("note $DIR/pids ready wait 20 exit 1");
    let mut herder = Unit::new(&format!("{settings}{command}")).start();
    herder.lines("pids", 8);
    assert_eq!(herder.stops(), 0);
}

/// A stop that comes while herder gives up does not make it a success.
#[test]
fn sigterm_during_the_escalation_keeps_the_status() {
    let settings =
        "workers = 1\nready = \"notify\"\nstart-timeout = \"50ms\"\ncrash-limit = { burst = 1 }\n";
    let command = misbehave("ignore-term");
    let mut herder = Unit::new(&format!("{settings}stop-timeout = \"1s\"\n{command}")).start();
    herder.hears("STOPPING=1");
    herder.signal(Signal::SIGTERM);
    assert_eq!(herder.exits(), 75);
}

/// The journal of a failed unit ends with what helps: a start limit has closed the port.
#[test]
fn a_failed_unit_is_told_how_to_recover() {
    let settings = "workers = 1\ncrash-limit = { burst = 1 }\n";
    let unit = Unit::new(&format!("{settings}{}", misbehave("exit 1")));
    let mut herder = unit.by_systemd_itself().start();
    assert_eq!(herder.exits(), 69);
    let command = "systemctl reset-failed herder@it.socket herder@it.service && \
                   systemctl start herder@it.socket";
    assert!(herder.log().contains(command));
    // Outside systemd there is nothing to reset.
    let mut herder = Unit::new(&format!("{settings}{}", misbehave("exit 1"))).start();
    assert_eq!(herder.exits(), 69);
    assert!(!herder.log().contains("systemctl"));
}
