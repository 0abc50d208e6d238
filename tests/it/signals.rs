//! The signals of herder(8)'s table.

use crate::systemd::{Herder, Unit};
use crate::workers::{misbehave, shell};
use nix::sys::signal::Signal;
use std::process::Command;
use std::time::{Duration, Instant};

fn serving(settings: &str, steps: &str) -> Herder {
    let command = misbehave(steps);
    let unit = Unit::new(&format!("workers = 2\nready = \"notify\"\n{command}{settings}"));
    let mut herder = unit.start();
    herder.hears("READY=1");
    herder
}

#[test]
fn term_quit_and_int_drain_everything() {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGINT] {
        let mut herder = serving("", "ready");
        herder.signal(signal);
        herder.hears("STOPPING=1");
        assert_eq!(herder.exits(), 0, "{signal}");
        assert!(herder.log().contains("stopped with status 0"));
        assert_eq!(herder.log().matches("killed by SIGTERM as ordered").count(), 2);
    }
}

#[test]
fn a_second_term_kills() {
    let mut herder = serving("stop-timeout = \"1h\"\n", "ignore-term ready");
    herder.signal(Signal::SIGTERM);
    herder.hears("STOPPING=1");
    assert!(herder.is_running());
    herder.signal(Signal::SIGTERM);
    assert_eq!(herder.exits(), 0);
    assert!(herder.processes().is_empty());
}

/// Also when it comes first: a service manager that is in a hurry sends both at once.
#[test]
fn a_term_in_every_phase_of_the_start_ends_it() {
    for steps in ["wait 60000", "exit 1", "ready"] {
        let mut herder =
            Unit::new(&format!("workers = 3\nready = \"notify\"\n{}", misbehave(steps))).start();
        herder.logs("started");
        assert_eq!(herder.stops(), 0, "{steps}");
        assert!(herder.processes().is_empty());
    }
}

#[test]
fn ttin_and_ttou_change_the_number_of_workers() {
    let herder = serving("", "ready");
    herder.signal(Signal::SIGTTIN);
    let workers = herder.serves(3);
    assert_eq!(workers.iter().map(|worker| worker.slot).collect::<Vec<_>>(), [0, 1, 2]);
    for left in [2, 1, 0] {
        herder.signal(Signal::SIGTTOU);
        let workers = herder.serves(left);
        assert!(workers.iter().all(|worker| (worker.slot as usize) < left));
    }
    // Never below none.
    herder.signal(Signal::SIGTTOU);
    // Signals are read before clients are answered, and of several the lowest first.
    assert_eq!(herder.status().wanted, 0);
    herder.signal(Signal::SIGTTIN);
    herder.serves(1);
}

#[test]
fn usr1_is_passed_on_as_reopen_signal() {
    let command =
        shell("trap 'echo told >> $DIR/told' HUP; echo up >> $DIR/up; while :; do sleep 0.1; done");
    let settings = "workers = 2\nready = \"exec\"\nreopen-signal = \"SIGHUP\"\n";
    let herder = Unit::new(&format!("{settings}{command}")).start();
    herder.lines("up", 2);
    herder.signal(Signal::SIGUSR1);
    herder.lines("told", 2);
    herder.logs("told 2 workers to reopen");
    herder.serves(2);
}

#[test]
fn usr1_without_reopen_signal_and_usr2_are_logged_and_ignored() {
    let herder = serving("", "ready");
    herder.signal(Signal::SIGUSR1);
    herder.logs("SIGUSR1: `reopen-signal` is not set, ignoring");
    herder.signal(Signal::SIGUSR2);
    herder.logs("SIGUSR2 has no use here, ignoring");
    let before = herder.status();
    for signal in [Signal::SIGWINCH, Signal::SIGPIPE, Signal::SIGCHLD] {
        herder.signal(signal);
    }
    assert_eq!(herder.serves(2).len(), 2);
    assert_eq!(herder.status().counters, before.counters);
}

#[test]
fn hup_reloads() {
    let mut herder = serving("", "ready");
    herder.signal(Signal::SIGHUP);
    herder.hears("RELOADING=1");
    herder.hears("READY=1");
    assert!(herder.serves(2).iter().all(|worker| worker.generation == 2));
}

#[test]
fn workers_serve_on_for_stop_delay() {
    let mut herder = serving("stop-delay = \"400ms\"\n", "ready");
    let start = Instant::now();
    herder.signal(Signal::SIGTERM);
    herder.hears("STOPPING=1");
    let status = herder.status();
    assert_eq!((status.ready, status.draining), (2, 0), "{status:#?}");
    assert_eq!(herder.exits(), 0);
    assert!(start.elapsed() >= Duration::from_millis(400));

    let mut herder = serving("stop-delay = \"1h\"\n", "ready");
    herder.signal(Signal::SIGTERM);
    herder.hears("STOPPING=1");
    assert_eq!(herder.stops(), 0, "the second SIGTERM does not wait");
}

#[test]
fn stop_signal_is_what_workers_get() {
    let mut herder = serving("stop-signal = \"SIGRTMIN+3\"\n", "ready");
    assert_eq!(herder.stops(), 0);
    assert_eq!(herder.log().matches("was killed by SIGRTMIN+3 as ordered").count(), 2);
}

/// With a controlling terminal, SIGHUP means that the terminal is gone.
#[test]
fn hup_stops_a_herder_that_has_a_terminal() {
    let script = "import os, pty, signal, sys\n\
        pid, terminal = pty.fork()\n\
        if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
        text = b''\n\
        while b'serving with' not in text: text += os.read(terminal, 4096)\n\
        os.kill(pid, signal.SIGHUP)\n\
        try:\n    while True: text += os.read(terminal, 4096)\n\
        except OSError: pass\n\
        print(text.decode())\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    for (colour, expected) in [("", true), ("1", false)] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", script, env!("CARGO_BIN_EXE_herder"), "run", "-w", "1"]);
        command.args(["-s", "ready=exec", "--", "sleep", "60"]);
        command.env("RUNTIME_DIRECTORY", directory.path()).env("NO_COLOR", colour);
        let said = crate::client::Running::of(&mut command).ends();
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.out.contains("stopped with status 0"), "{}", said.out);
        // Colours are for terminals only, and not if the environment asks for none.
        assert_eq!(said.out.contains("\x1b["), expected, "{}", said.out);
    }
}
