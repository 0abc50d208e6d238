//! herder's own log: its formats, and that a slow reader of it does not delay herder.

use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::{kill, misbehave, shell};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

fn unit(steps: &str) -> Unit {
    let settings = "workers = 1\nready = \"notify\"\nmin-lifetime = \"1us\"\n";
    Unit::new(&format!("{settings}{}", misbehave(steps)))
}

fn serves(herder: &mut Herder) -> Option<u32> {
    herder.hears("READY=1");
    herder.serves(1)[0].pid
}

#[test]
fn text_is_lines_for_people_without_colours_in_a_file() {
    let mut herder = unit("ready").start();
    serves(&mut herder);
    assert_eq!(herder.stops(), 0);
    for line in herder.log().lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.len() == 24, "{line}");
        assert!(rest.starts_with("notice ") || rest.starts_with("info "), "{line}");
        assert!(!line.contains('\x1b'));
    }
}

#[test]
fn json_is_an_object_a_line_with_fields() {
    let mut herder = unit("ready wait 100 exit 7").options(&["--log-format", "json"]).start();
    herder.logs("exited with status 7");
    assert_eq!(herder.stops(), 0);
    let entries: Vec<Value> =
        herder.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(entries.iter().all(|entry| entry["HERDER_INSTANCE"] == "it"));
    let about = |words: &str| {
        let says = |entry: &&Value| entry["message"].as_str().unwrap().contains(words);
        entries.iter().find(says).unwrap_or_else(|| panic!("nothing about {words}"))
    };
    let (started, ended) = (about("started, pid"), about("exited with status 7"));
    for entry in [started, ended] {
        assert_eq!(entry["HERDER_WORKER"], "1");
        assert_eq!(entry["HERDER_SLOT"], "0");
        assert_eq!(entry["HERDER_PID"], started["HERDER_PID"]);
        assert_eq!(entry["MESSAGE_ID"].as_str().unwrap().len(), 32);
    }
    assert_eq!(ended["level"], "warning");
}

#[test]
fn the_level_says_what_is_wanted() {
    let mut herder = unit("ready").options(&["--log-level", "warning"]).start();
    serves(&mut herder);
    assert_eq!(herder.stops(), 0);
    assert_eq!(herder.log(), "");
    let mut herder = unit("ready").options(&["--log-level", "debug"]).start();
    serves(&mut herder);
    assert_eq!(herder.stops(), 0);
    // What the core was told and what it ordered: enough to replay it.
    assert!(herder.log().contains("event: ") && herder.log().contains("action: "));
}

fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
    (File::from(reader), writer)
}

/// A herder whose log is a pipe that is full and not read, and that has lost entries already.
fn with_a_full_log() -> (File, Herder) {
    let (reader, writer) = pipe();
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let mut herder = unit("ready").output(writer).start();
    herder.hears("READY=1");
    until("entries are lost", || {
        herder.signal(Signal::SIGUSR1);
        herder.status().counters.log_lost > 0
    });
    (reader, herder)
}

/// A terminal that was stopped, a log shipper that hangs.
#[test]
fn a_reader_that_does_not_read_does_not_block_herder() {
    let (_reader, mut herder) = with_a_full_log();
    let pid = herder.serves(1)[0].pid;
    kill(pid, Signal::SIGKILL);
    herder.is("the worker is replaced", |status| status.ready == 1 && status.workers[0].pid != pid);
    assert_eq!(herder.reload().code, 0);
    assert_eq!(herder.stops(), 0);
}

#[test]
fn a_reader_that_is_gone_does_not_end_herder() {
    let (reader, writer) = pipe();
    let mut herder = unit("ready").output(writer).start();
    drop(reader);
    let pid = serves(&mut herder);
    kill(pid, Signal::SIGKILL);
    herder.is("the worker is replaced", |status| status.ready == 1 && status.workers[0].pid != pid);
    assert_eq!(herder.stops(), 0);
}

#[test]
fn every_loss_is_told_with_the_next_entry() {
    let (mut reader, mut herder) = with_a_full_log();
    // Makes room: what was taken so far is a page at most.
    let mut text = vec![0; 4096];
    let length = reader.read(&mut text).unwrap();
    text.truncate(length);
    assert_eq!(herder.stops(), 0);
    reader.read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("log entries before this one were lost"), "{text}");
}

/// Only the journal has streams; what workers write goes where herder's own goes.
#[test]
fn a_syslog_identifier_outside_the_journal_is_said_to_be_ignored_once() {
    let settings = "workers = 3\nready = \"notify\"\nsyslog-identifier = \"web/{slot}\"\n";
    let command = shell("echo said by $HERDER_SLOT; exec $EXAMPLES/misbehave ready");
    let herder = Unit::new(&format!("{settings}{command}")).start();
    herder.serves(3);
    for slot in 0..3 {
        herder.logs(&format!("said by {slot}\n"));
    }
    assert_eq!(herder.log().matches("`syslog-identifier` has no use here").count(), 1);
}
