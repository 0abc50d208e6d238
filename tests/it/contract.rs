//! What a worker is started with.

use crate::systemd::{Herder, Unit};
use crate::wait::{some, until};
use crate::workers::{REPORT, kill, listener, misbehave, script};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

/// What the worker of this id says it was started with.
pub fn report(herder: &Herder, worker: u64) -> Value {
    let path = herder.path(&format!("report-{worker}"));
    let text = some("the worker's report", || fs::read_to_string(&path).ok());
    serde_json::from_str(&text).unwrap()
}

fn one(settings: &str) -> Unit {
    Unit::new(&format!("{REPORT}{settings}"))
}

/// Traps 2 and 3.
#[test]
fn a_worker_has_the_sockets_in_order_and_no_other_descriptor() {
    let sockets = [listener(), listener(), listener()];
    let inode = |socket: &TcpListener| {
        fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap()
    };
    let inodes = sockets.each_ref().map(inode);
    let mut unit = one("").through(&["/bin/sh", "-c", "exec \"$@\" 9</dev/null", "sh"]);
    for (socket, name) in sockets.into_iter().zip(["web", "admin", "web"]) {
        unit = unit.socket(name, socket);
    }
    let mut herder = unit.start();
    herder.hears("READY=1");
    let report = report(&herder, 1);
    let fds = report["fds"].as_object().unwrap();
    assert_eq!(fds.keys().collect::<Vec<_>>(), ["0", "1", "2", "3", "4", "5"], "{fds:#?}");
    assert_eq!(fds["0"]["target"], "/dev/null");
    for output in ["1", "2"] {
        assert_eq!(fds[output]["target"], json!(herder.path("log")));
    }
    for (number, inode) in ["3", "4", "5"].iter().zip(&inodes) {
        assert_eq!(fds[*number]["target"], json!(inode), "{number}");
        assert_eq!(fds[*number]["close_on_exec"], false);
    }
    let environment = &report["environment"];
    assert_eq!(environment["LISTEN_FDS"], "3");
    assert_eq!(environment["LISTEN_FDNAMES"], "web:admin:web");
    assert_eq!(environment["LISTEN_PID"], report["pid"].to_string());
    assert_ne!(report["pid"], herder.pid());
}

/// Traps 1, 2 and 11: with herder's LISTEN_PIDFDID libsystemd would see no sockets, with its
/// NOTIFY_SOCKET a worker would speak to systemd, with its WATCHDOG_* it would think itself watched.
#[test]
fn what_systemd_told_herder_is_not_passed_on() {
    let herder = one("")
        .socket("web", listener())
        .env("LISTEN_PIDFDID", "4711")
        .env("WATCHDOG_USEC", "60000000")
        .env("WATCHDOG_PID", "1")
        .env("FDSTORE", "7")
        .env("MAINPID", "1")
        .env("MAINPIDFDID", "1")
        .env("SYSTEMD_EXEC_PID", "1")
        .env("INVOCATION_ID", "kept")
        .start();
    let report = report(&herder, 1);
    let environment = report["environment"].as_object().unwrap();
    for name in [
        "LISTEN_PIDFDID",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "FDSTORE",
        "MAINPID",
        "MAINPIDFDID",
        "SYSTEMD_EXEC_PID",
    ] {
        assert!(!environment.contains_key(name), "{name}");
    }
    assert_eq!(environment["INVOCATION_ID"], "kept");
    let notify = environment["NOTIFY_SOCKET"].as_str().unwrap();
    let inboxes = herder.path("run/notify");
    assert!(notify.starts_with(inboxes.to_str().unwrap()), "{notify}");
}

#[test]
fn a_worker_has_a_session_of_its_own_and_no_signal_blocked() {
    let unit = one("").through(&["/usr/bin/env", "--block-signal"]);
    let herder = unit.start();
    let report = report(&herder, 1);
    for number in ["session", "process_group"] {
        assert_eq!(report[number], report["pid"], "{number}");
    }
    assert_eq!(report["parent"], herder.pid());
    assert_eq!(report["terminal"], 0);
    assert_eq!(report["directory"], json!(std::env::current_dir().unwrap()));
    assert_eq!(report["signals"]["blocked"], 0);
    assert_eq!(report["signals"]["caught"].as_u64().unwrap() & !(1 << 10 | 1 << 6), 0, "{report}");
    assert_eq!(report["threads"], "1");
}

/// Read from outside, because Rust's start-up code changes SIGPIPE.
#[test]
fn all_signals_have_their_default_effect_but_sigpipe_is_as_given() {
    const SIGPIPE: u64 = 1 << 12;
    for (wrapper, ignored) in [
        (&["/usr/bin/env", "--ignore-signal"][..], SIGPIPE),
        (&["/usr/bin/env", "--ignore-signal", "--default-signal=PIPE"], 0),
    ] {
        let settings = "workers = 1\nready = \"exec\"\ncommand = [\"/bin/sleep\", \"60\"]\n";
        let herder = Unit::new(settings).through(wrapper).start();
        let worker = herder.serves(1).remove(0);
        let status = fs::read_to_string(format!("/proc/{}/status", worker.pid.unwrap())).unwrap();
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let masks = ["SigBlk:", "SigIgn:", "SigCgt:"].map(mask);
        assert_eq!(masks, [0, ignored, 0], "{masks:x?} after {wrapper:?}");
    }
}

#[test]
fn placeholders_work_in_arguments_and_environment() {
    let admin = listener();
    let address = admin.local_addr().unwrap();
    let herder = Unit::new(
        "workers = 2\nready = \"notify\"\n\
         command = [\"$EXAMPLES/report-worker\", \"$DIR/report-{worker}\", \"--fd\", \"{fd:web}\", \"{{}}\"]\n\
         [environment]\nADDRESS = \"{host}|{port}|{addr}\"\nWHO = \"{slot}.{generation}\"\n",
    )
    .socket("admin", admin)
    .socket("web", listener())
    .start();
    herder.serves(2);
    for (worker, slot) in [(1, "0"), (2, "1")] {
        let report = report(&herder, worker);
        let argv = report["argv"].as_array().unwrap();
        assert_eq!(argv[2..], ["--fd", "4", "{}"]);
        let environment = &report["environment"];
        assert_eq!(environment["WHO"], format!("{slot}.1"));
        assert_eq!(environment["HERDER_SLOT"], slot);
        assert_eq!(environment["HERDER_WORKER"], worker.to_string());
        assert_eq!(environment["HERDER_GENERATION"], "1");
        let port = address.port();
        assert_eq!(environment["ADDRESS"], format!("127.0.0.1|{port}|{address}"));
    }
}

#[test]
fn environment_files_are_read_again_at_every_reload() {
    let unit = one("environment-file = [\"$DIR/env\", \"-$DIR/missing\"]\n");
    let file = unit.path("env");
    fs::write(&file, "# comment\nCOLOUR=\"deep red\"\nWHO='me'\n").unwrap();
    let herder = unit.start();
    herder.serves(1);
    assert_eq!(report(&herder, 1)["environment"]["COLOUR"], "deep red");
    fs::write(&file, "COLOUR=blue\n").unwrap();
    assert_eq!(herder.reload().code, 0);
    let report = report(&herder, 2);
    assert_eq!(report["environment"]["COLOUR"], "blue");
    assert_eq!(report["environment"]["HERDER_GENERATION"], "2");
    assert!(report["environment"].get("WHO").is_none());
}

/// A worker that dies in the middle of a deploy is replaced from the old release.
#[test]
fn a_generation_keeps_its_release_directory() {
    let unit = one("directory = \"$DIR/current\"\nmin-lifetime = \"1us\"\n");
    let [old, new, current] = ["old", "new", "current"].map(|name| unit.path(name));
    fs::create_dir(&old).unwrap();
    fs::create_dir(&new).unwrap();
    symlink(&old, &current).unwrap();
    let herder = unit.start();
    let worker = herder.serves(1).remove(0);
    fs::remove_file(&current).unwrap();
    symlink(&new, &current).unwrap();
    kill(worker.pid, Signal::SIGKILL);
    let respawned = report(&herder, 2);
    assert_eq!(respawned["directory"], json!(old));
    herder.serves(1);
    assert_eq!(herder.reload().code, 0);
    assert_eq!(report(&herder, 3)["directory"], json!(new));
}

/// The same for a program that is found through a link.
#[test]
fn a_generation_keeps_the_release_its_program_is_in() {
    let unit = Unit::new(
        "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\n\
         command = [\"$DIR/current/run\", \"$DIR/report-{worker}\"]\n",
    );
    let program = "#!/bin/sh\nexec \"$(dirname \"$0\")/worker\" \"$@\"\n";
    let [old, new, current] = ["old", "new", "current"].map(|name| unit.path(name));
    let worker = std::env::current_exe().unwrap();
    let worker = worker.parent().unwrap().with_file_name("examples").join("report-worker");
    for release in [&old, &new] {
        fs::create_dir(release).unwrap();
        script(&release.join("run"), program);
        fs::copy(&worker, release.join("worker")).unwrap();
    }
    symlink(&old, &current).unwrap();
    let herder = unit.start();
    let first = herder.serves(1).remove(0);
    fs::remove_file(&current).unwrap();
    symlink(&new, &current).unwrap();
    kill(first.pid, Signal::SIGKILL);
    assert_eq!(report(&herder, 2)["executable"], json!(old.join("worker")));
    herder.serves(1);
    assert_eq!(herder.reload().code, 0);
    assert_eq!(report(&herder, 3)["executable"], json!(new.join("worker")));
}

#[test]
fn listen_pid_can_be_left_out_for_wrappers_that_fork() {
    let herder = one("listen-pid = \"omit\"\n").socket("web", listener()).start();
    let report = report(&herder, 1);
    assert_eq!(report["environment"]["LISTEN_FDS"], "1");
    assert!(report["environment"].get("LISTEN_PID").is_none());
}

#[test]
fn a_socket_can_be_standard_input() {
    let herder = one("stdin = \"socket\"\n").socket("fcgi", listener()).start();
    let report = report(&herder, 1);
    assert_eq!(report["fds"]["0"]["target"], report["fds"]["3"]["target"]);
    assert_eq!(report["environment"]["LISTEN_FDS"], "1");
}

#[test]
fn without_sockets_nothing_speaks_of_them() {
    let herder = one("").start();
    let report = report(&herder, 1);
    let environment = report["environment"].as_object().unwrap();
    assert!(!environment.keys().any(|name| name.starts_with("LISTEN_")), "{environment:#?}");
    assert_eq!(report["fds"].as_object().unwrap().len(), 3);
}

/// Outside systemd no other process would end them.
#[test]
fn workers_die_with_herder_outside_systemd() {
    let mut herder = Unit::new(&format!("workers = 2\n{}", misbehave("ignore-term ready"))).start();
    herder.serves(2);
    herder.signal(Signal::SIGKILL);
    assert_eq!(herder.exits(), -9);
    until("no worker is left", || herder.processes().is_empty());
}

/// Under systemd the unit's KillMode= decides.
#[test]
fn workers_of_a_unit_are_left_to_systemd() {
    for (unit, signal) in [(one(""), 9), (one("").by_systemd_itself(), 0)] {
        let herder = unit.start();
        let expected = if signal == 0 { Value::Null } else { json!(signal) };
        assert_eq!(report(&herder, 1)["parent_death_signal"], expected);
    }
}

/// `workers = "auto"` takes it for itself: a worker that also did would multiply itself.
#[test]
fn web_concurrency_is_the_number_of_workers() {
    let settings =
        "ready = \"notify\"\ncommand = [\"$EXAMPLES/report-worker\", \"$DIR/report-{worker}\"]\n";
    let herder = Unit::new(settings).env("WEB_CONCURRENCY", "3").start();
    herder.serves(3);
    assert!(report(&herder, 3)["environment"].get("WEB_CONCURRENCY").is_none());
}
