//! Clients that watch the state and clients that listen to events: what they are sent, and what they cost.

use crate::client::Control;
use crate::quiet::sleeps;
use crate::systemd::{Herder, Unit};
use crate::wait::{PATIENCE, some, until};
use crate::workers::{kill, misbehave};
use herder_linux::control::CLIENTS;
use herder_wire::control::Method;
use herder_wire::status::{Event, State, Status};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

const CHANGES: Method = Method::Watch { interval: None };

fn unit(workers: u32, steps: &str) -> Unit {
    Unit::new(&format!("workers = {workers}\nready = \"notify\"\n{}", misbehave(steps)))
}

fn serving(workers: u32, steps: &str) -> Herder {
    let mut herder = unit(workers, steps).start();
    herder.hears("READY=1");
    herder.has_said(&format!("STATUS={workers}/{workers} ready"));
    herder
}

fn watch(herder: &Herder, method: Method) -> Control {
    let mut control = Control::open(herder);
    control.ask(method, true);
    control
}

/// Reads states until one fulfils the condition, and returns it.
fn sees(control: &mut Control, what: &str, condition: impl Fn(&Status) -> bool) -> Status {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let state = control.state();
        if condition(&state) {
            return state;
        }
    }
    panic!("not seen: {what}");
}

fn event(control: &mut Control) -> Event {
    serde_json::from_value(control.part()["event"].take()).unwrap()
}

#[test]
fn a_watcher_is_sent_the_state_and_every_change() {
    let herder = serving(2, "ready");
    let mut control = watch(&herder, CHANGES);
    let first = control.state();
    assert_eq!((first.state, first.ready), (State::Serving, 2));
    assert!(control.is_silent(Duration::from_millis(500)), "nothing has changed");

    kill(first.workers[0].pid, Signal::SIGKILL);
    let id = first.workers[0].id;
    sees(&mut control, "the new worker", |state| {
        state.ready == 2 && state.workers.iter().all(|worker| worker.id != id)
    });
    Control::open(&herder).outcome(Method::Scale { workers: 3 }).unwrap();
    sees(&mut control, "three workers", |state| (state.ready, state.wanted) == (3, 3));

    // A client that does not ask for more gets one reply.
    let once = Control::open(&herder).outcome(CHANGES).unwrap();
    assert_eq!(once["status"]["ready"], 3);
}

#[test]
fn a_watcher_sees_what_workers_say() {
    let herder = serving(1, "ready wait 300 notify STATUS=busy");
    sees(&mut watch(&herder, CHANGES), "its status text", |state| {
        state.workers[0].status.as_deref() == Some("busy")
    });
}

#[test]
fn a_watcher_with_an_interval_is_told_without_a_change() {
    let herder = serving(1, "ready");
    let mut control = watch(&herder, Method::Watch { interval: Some(150_000) });
    control.state();
    let start = Instant::now();
    for _ in 0..4 {
        control.state();
    }
    assert!(start.elapsed() >= Duration::from_millis(4 * 150 - 50), "{:?}", start.elapsed());
}

#[test]
fn changes_are_told_ten_times_a_second_at_most() {
    let herder = serving(1, "ready wait 100 flood 100000000");
    let mut controls: Vec<Control> = (0..3).map(|_| watch(&herder, CHANGES)).collect();
    let mut start = Instant::now();
    for round in 0..12 {
        for control in &mut controls {
            control.state();
        }
        if round == 1 {
            start = Instant::now();
        }
    }
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
}

#[test]
fn clients_that_wait_for_changes_or_have_left_do_not_wake_herder() {
    let herder = serving(2, "ready");
    let mut control = watch(&herder, CHANGES);
    control.state();
    let mut events = watch(&herder, Method::Events);
    let mut gone = watch(&herder, Method::Watch { interval: Some(100_000) });
    for _ in 0..3 {
        gone.state();
    }
    drop(gone);
    // herder may write once more, and finds that the client has gone.
    assert!(control.is_silent(Duration::from_millis(300)));
    let before = sleeps(&herder);
    // This test is about the time in which nothing may happen.
    assert!(events.is_silent(Duration::from_secs(2)));
    assert_eq!(sleeps(&herder) - before, 0);
}

/// The line of the log that is about this event.
fn entry(herder: &Herder, event: &Event) -> Value {
    some("the event is logged", || {
        let log = herder.log();
        let entries = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut entries = entries.filter(|entry| {
            entry["MESSAGE_ID"] == event.message_id && entry["message"] == event.message
        });
        entries.next()
    })
}

#[test]
fn events_are_what_the_log_has() {
    let mut herder = unit(1, "ready").options(&["--log-format=json"]).start();
    herder.hears("READY=1");
    let mut control = watch(&herder, Method::Events);
    // Answered in order: now it listens.
    Control::open(&herder).outcome(Method::Status).unwrap();
    let worker = herder.serves(1).remove(0);
    kill(worker.pid, Signal::SIGKILL);
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "recovered") {
        let event = event(&mut control);
        let entry = entry(&herder, &event);
        let level = ["error", "warning", "notice", "info"][usize::from(event.priority) - 3];
        assert_eq!(entry["level"], level, "{entry}");
        assert_eq!(entry["HERDER_EVENT"], event.kind, "{entry}");
        let mut fields: BTreeMap<String, String> = event.fields;
        fields.insert("HERDER_EVENT".to_owned(), event.kind.clone());
        let logged = entry.as_object().unwrap().iter();
        let logged = logged.filter(|(name, _)| name.starts_with("HERDER_"));
        let logged: BTreeMap<String, String> = logged
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(fields, logged);
        kinds.push(event.kind);
    }
    for kind in ["worker_ended", "worker_started"] {
        assert!(kinds.contains(&kind.to_owned()), "{kinds:?}");
    }
    Control::open(&herder).outcome(Method::Scale { workers: 1 }).unwrap();
    let asked = event(&mut control);
    assert_eq!(asked.kind, "change_requested");
    assert_eq!(asked.fields["HERDER_METHOD"], "Scale");
    assert_eq!(asked.fields["HERDER_CLIENT_PID"], std::process::id().to_string());
}

/// Events are sent also where the log level leaves them out.
#[test]
fn events_do_not_depend_on_the_log_level() {
    let mut herder = unit(1, "ready").options(&["--log-level=error"]).start();
    herder.hears("READY=1");
    let mut control = watch(&herder, Method::Events);
    Control::open(&herder).outcome(Method::Recycle { slot: None }).unwrap();
    while event(&mut control).kind != "worker_recycled" {}
    assert!(!herder.log().contains("recycl"), "{}", herder.log());
}

#[test]
fn a_hundred_watchers_some_of_them_stalled_do_not_delay_a_reload() {
    let herder = serving(4, "ready");
    let mut watchers: Vec<Control> = (0..100).map(|_| watch(&herder, CHANGES)).collect();
    for watcher in &mut watchers {
        assert_eq!(watcher.state().ready, 4);
    }
    let every = Method::Watch { interval: Some(100_000) };
    let mut stalled: Vec<Control> = (0..20).map(|_| watch(&herder, every.clone())).collect();
    let mut events: Vec<Control> = (0..20).map(|_| watch(&herder, Method::Events)).collect();
    until("they are all there", || herder.reload().code == 0);

    // Until the stalled ones' sockets are full, which costs herder no more than a state each.
    let reloads = 30;
    for _ in 0..reloads {
        assert_eq!(herder.reload().code, 0);
    }
    let generation = reloads + 2;
    let worker = herder.serves(4).remove(0);
    let start = Instant::now();
    kill(worker.pid, Signal::SIGKILL);
    herder.serves(4);
    // This bound finds a herder that hangs; it measures no speed.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(herder.status().generation, generation);
    for control in watchers.iter_mut().chain(&mut stalled) {
        sees(control, "the end of it", |state| {
            state.generation == generation
                && state.ready == 4
                && state.workers.len() == 4
                && state.workers.iter().all(|other| other.id != worker.id)
        });
    }
    for control in &mut events {
        let mut done = 0;
        while done < reloads {
            done += u64::from(event(control).kind == "reload_done");
        }
    }
}

#[test]
fn a_listener_that_does_not_read_is_disconnected() {
    // Each line of it is an event.
    let mut herder = unit(1, "ready").start();
    herder.hears("READY=1");
    let mut stalled = watch(&herder, Method::Events);
    let mut control = Control::open(&herder);
    let long = "x".repeat(60_000);
    // What is refused is an event, with the reason in it.
    herder.settings(&format!("workers = 1\n{long} = 1\n"));
    for _ in 0..30 {
        let outcome = control.outcome(Method::Reload { previous: false });
        assert_eq!(outcome.unwrap_err().0, "ReloadRefused");
    }
    let mut count = 0;
    while let Some(reply) = stalled.reply() {
        assert_eq!(reply["continues"], Value::Bool(true));
        count += 1;
    }
    assert!((1..60).contains(&count), "{count}");
    assert_eq!(herder.status().ready, 1);
}

/// Otherwise a client that may only look could fill herder's memory while nothing happens.
#[test]
fn a_watcher_that_leaves_or_loses_its_place_leaves_nothing_behind() {
    let herder = serving(1, "ready");
    // More than herder lets in, so that the oldest have lost their places when they leave.
    for kept in [1, CLIENTS + 50] {
        let come_and_go = |times: usize| {
            let mut controls = VecDeque::new();
            for _ in 0..times {
                let mut control = Control::open(&herder);
                control.ask(CHANGES, true);
                controls.push_back(control);
                if controls.len() > kept {
                    controls.pop_front();
                }
            }
            drop(controls);
            // herder answers this request after all others in its queue.
            herder.status();
            memory(&herder)
        };
        let before = come_and_go(1_000);
        let after = come_and_go(12_000);
        assert!(after < before + 300, "{kept} at once: {before} kB, then {after} kB");
    }
}

/// herder's anonymous memory in kilobytes, because its pages of files come and go.
fn memory(herder: &Herder) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", herder.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_ascii_whitespace().next().unwrap().parse().unwrap()
}
