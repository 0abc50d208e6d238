//! Reloads that succeed, and those that are refused before anything is touched.

use crate::client::Control;
use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::{misbehave, script};
use herder_wire::status::{Verdict, WorkerState};
use std::fs;

fn settings(workers: u32, steps: &str) -> String {
    format!("workers = {workers}\nready = \"notify\"\n{}", misbehave(steps))
}

fn serving(workers: u32) -> Herder {
    let mut herder = Unit::new(&settings(workers, "ready")).start();
    herder.hears("READY=1");
    herder
}

/// The ids of the workers there are.
fn ids(herder: &Herder) -> Vec<u64> {
    herder.status().workers.iter().map(|worker| worker.id).collect()
}

#[test]
fn a_reload_replaces_every_worker_and_never_has_fewer_ready() {
    let mut herder = Unit::new(&settings(3, "ready")).start();
    herder.hears("READY=1");
    herder.settings(&settings(3, "wait 50 ready"));
    let reload = herder.start_reload();
    herder.is("all are of generation 2", |status| {
        assert!(status.ready >= 3, "{status:#?}");
        // Wanted, and one more: max-surge = 1.
        let alive = |worker: &&herder_wire::status::Worker| {
            matches!(worker.state, WorkerState::Starting | WorkerState::Ready)
        };
        assert!(status.workers.iter().filter(alive).count() <= 4, "{status:#?}");
        status.workers.len() == 3 && status.workers.iter().all(|worker| worker.generation == 2)
    });
    let said = reload.ends();
    assert_eq!((said.code, &*said.err), (0, ""), "{said:?}");
    assert!(said.out.contains("3/3 ready, generation 2"), "{said:?}");
    let last = herder.status().reloads[0].clone();
    assert_eq!((last.generation, last.verdict), (Some(2), Verdict::Done));
    assert_eq!(herder.status().counters.failures, 0);
}

#[test]
fn every_reload_is_a_generation() {
    let herder = serving(2);
    for generation in 2..=6 {
        assert_eq!(herder.reload().code, 0);
        let workers = herder.serves(2);
        assert!(workers.iter().all(|worker| worker.generation == generation), "{workers:#?}");
    }
}

#[test]
fn a_reload_can_change_the_number_of_workers() {
    let herder = serving(2);
    for workers in [4, 1, 2] {
        herder.settings(&settings(workers, "ready"));
        assert_eq!(herder.reload().code, 0);
        let now = herder.serves(workers as usize);
        assert!(now.iter().all(|worker| worker.slot < workers), "{now:#?}");
    }
}

#[test]
fn replacing_everything_at_once_needs_max_surge() {
    let herder = serving(3);
    herder.settings(&format!("max-surge = \"100%\"\n{}", settings(3, "wait 300 ready")));
    let reload = herder.start_reload();
    herder.is("all new workers start before an old one goes", |status| {
        let of = |generation| status.workers.iter().filter(|w| w.generation == generation).count();
        let ready = status.workers.iter().filter(|w| w.state == WorkerState::Ready);
        assert!(of(2) == 3 || ready.filter(|w| w.generation == 1).count() == 3, "{status:#?}");
        of(2) == 3
    });
    assert_eq!(reload.ends().code, 0);
}

#[test]
fn max_unavailable_lets_a_slot_go_first() {
    let herder = serving(2);
    herder.settings(&format!("max-surge = 0\nmax-unavailable = 1\n{}", settings(2, "ready")));
    let reload = herder.start_reload();
    assert_eq!(reload.ends().code, 0);
    assert!(herder.serves(2).iter().all(|worker| worker.generation == 2));
}

#[test]
fn mistakes_are_refused_with_their_places_and_nothing_is_touched() {
    let mut herder = serving(2);
    let before = ids(&herder);
    herder.settings("workers = 2\nworker = 3\nready = \"soon\"\n");
    let said = herder.reload();
    assert_eq!(said.code, 1);
    for words in ["refused", "nothing has changed", "it.toml:2:1:", "`workers`?", "it.toml:3:9:"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_eq!(ids(&herder), before);
    let last = herder.status().reloads[0].clone();
    assert_eq!((last.generation, last.verdict), (None, Verdict::Refused));
    // The same in the log, in one entry, and in `systemctl status`.
    herder.logs("reload refused, nothing changed: ");
    herder.hears("STATUS=2/2 ready, generation 1; reload refused: ");
    // Good settings are the next generation.
    herder.settings(&settings(2, "ready"));
    assert_eq!(herder.reload().code, 0);
    assert_eq!(herder.status().generation, 2);
    herder.hears("STATUS=2/2 ready, generation 2");
}

#[test]
fn a_missing_program_or_file_is_refused_by_name() {
    let herder = serving(1);
    let before = ids(&herder);
    for (settings, words) in [
        ("command = [\"$DIR/gone\"]\n".to_owned(), "gone"),
        (format!("directory = \"$DIR/gone\"\n{}", misbehave("ready")), "`directory`"),
        (format!("environment-file = \"$DIR/gone\"\n{}", misbehave("ready")), "gone"),
        (format!("sockets = [\"web\"]\n{}", misbehave("ready")), "web"),
    ] {
        herder.settings(&settings);
        let said = herder.reload();
        assert_eq!(said.code, 1);
        assert!(said.err.contains("refused") && said.err.contains(words), "{}", said.err);
    }
    fs::remove_file(herder.path("it.toml")).unwrap();
    let said = herder.reload();
    assert!(said.code == 1 && said.err.contains("cannot read"), "{said:?}");
    assert_eq!(ids(&herder), before);
}

#[test]
fn listen_cannot_be_changed_by_a_reload() {
    let listen = |port: &str| format!("listen = \"{port}\"\n{}", settings(1, "ready"));
    let herder = Unit::new(&listen("127.0.0.1:0")).start();
    let before = herder.serves(1)[0].id;
    herder.settings(&listen("127.0.0.1:1"));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("`listen`") && said.err.contains("restart"), "{}", said.err);
    assert_eq!(ids(&herder), [before]);
    herder.settings(&listen("127.0.0.1:0"));
    assert_eq!(herder.reload().code, 0);
}

#[test]
fn a_check_that_fails_is_the_reason() {
    let mut herder = serving(1);
    script(&herder.path("check"), "#!/bin/sh\necho 'migration 7 is missing' >&2\nexit 1\n");
    let before = ids(&herder);
    herder.settings(&format!("check = [\"$DIR/check\"]\n{}", settings(1, "ready")));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("migration 7 is missing"), "{}", said.err);
    assert_eq!(ids(&herder), before);
    herder.hears("STATUS=1/1 ready, generation 1; reload to generation 2 failed: ");
}

/// systemd drops a datagram of 4096 bytes; the stand-in fails the test.
#[test]
fn a_reason_of_any_length_fits_into_a_status() {
    let mut herder = serving(1);
    script(&herder.path("check"), "#!/bin/sh\nseq 10000 >&2\necho €uro >&2\nexit 1\n");
    herder.settings(&format!("check = [\"$DIR/check\"]\n{}", settings(1, "ready")));
    let said = herder.reload();
    assert!(said.code == 1 && said.err.contains("€uro"), "{said:?}");
    let told = herder.hears("STATUS=1/1 ready, generation 1; reload to generation 2 failed: ");
    assert_eq!(told.text.lines().count(), 1);
}

#[test]
fn a_check_that_succeeds_comes_before_the_first_new_worker() {
    let herder = serving(1);
    script(
        &herder.path("check"),
        "#!/bin/sh\nenv > $0.env\nls /proc/self/fd > $0.fds\n[ -z \"$NOTIFY_SOCKET\" ] && exit 0\n",
    );
    herder.settings(&format!("check = [\"$DIR/check\"]\n{}", settings(1, "note $DIR/pids ready")));
    assert_eq!(herder.reload().code, 0);
    assert_eq!(herder.serves(1)[0].generation, 2);
    let environment = fs::read_to_string(herder.path("check.env")).unwrap();
    assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("HERDER_WORKER"));
    // 0, 1, 2, and the one `ls` reads the list from.
    assert_eq!(herder.lines("check.fds", 4).len(), 4);
}

#[test]
fn a_check_that_hangs_is_given_up_and_killed() {
    let herder = serving(1);
    script(&herder.path("check"), "#!/bin/sh\nsleep 60 & sleep 60\n");
    let slow = "start-timeout = \"200ms\"\ncheck = [\"$DIR/check\"]\n";
    herder.settings(&format!("{slow}{}", settings(1, "ready")));
    let said = herder.reload();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("did not end within start-timeout"), "{}", said.err);
    until("only the worker is left", || herder.processes().len() == 1);
}

#[test]
fn a_stop_does_not_wait_for_a_check() {
    let mut herder = serving(1);
    script(&herder.path("check"), "#!/bin/sh\necho runs > $0.runs\nsleep 60\n");
    herder.settings(&format!("check = [\"$DIR/check\"]\n{}", settings(1, "ready")));
    let reload = herder.start_reload();
    herder.lines("check.runs", 1);
    assert_eq!(herder.stops(), 0);
    assert_eq!(reload.ends().code, 1);
    until("nothing is left", || herder.processes().is_empty());
}

/// Draining workers are not killed early to make room; the next step waits for them.
#[test]
fn max_draining_makes_a_reload_wait() {
    let steps = "ignore-term ready";
    let bound = "max-draining = 1\nstop-timeout = \"400ms\"\n";
    let mut herder = Unit::new(&format!("{bound}{}", settings(2, steps))).start();
    herder.hears("READY=1");
    let reload = herder.start_reload();
    herder.is("all are of generation 2", |status| {
        // Wanted, one of surge, one draining.
        assert!(status.workers.len() <= 4, "{status:#?}");
        status.workers.iter().all(|worker| worker.generation == 2)
    });
    assert_eq!(reload.ends().code, 0);
}

/// Before the first READY=1 there is nothing to protect: the way out of a start that hangs.
#[test]
fn a_reload_before_the_first_ready_takes_the_place_of_the_old_settings() {
    let mut herder = Unit::new(&settings(2, "")).start();
    herder.logs("worker 2 (slot 1, generation 1) started");
    herder.settings(&settings(2, "ready"));
    assert_eq!(herder.reload().code, 0);
    herder.hears("READY=1");
    assert!(herder.serves(2).iter().all(|worker| worker.generation == 2));
    assert!(herder.heard().iter().all(|datagram| !datagram.says("RELOADING=1")));
}

#[test]
fn with_no_worker_wanted_a_reload_tries_one_and_stops_it() {
    let herder = serving(0);
    herder.settings(&settings(0, "note $DIR/pids ready"));
    assert_eq!(herder.reload().code, 0);
    herder.lines("pids", 1);
    assert_eq!(herder.serves(0).len(), 0);
    herder.settings(&settings(0, "exit 1"));
    assert_eq!(herder.reload().code, 1);
    assert_eq!(herder.status().generation, 2);
}

/// Of two, the first caller is told that the second took over.
#[test]
fn a_reload_during_a_reload_takes_its_place() {
    let mut herder = serving(2);
    herder.settings(&settings(2, "wait 60000 ready"));
    let first = herder.start_reload();
    herder.is("the first worker is on trial", |status| status.starting == 1);
    herder.settings(&settings(2, "ready"));
    let second = herder.reload();
    assert_eq!(second.code, 0, "{second:?}");
    let first = first.ends();
    assert_eq!(first.code, 1);
    assert!(first.err.contains("superseded") && first.err.contains("generation 3"), "{first:?}");
    assert!(herder.serves(2).iter().all(|worker| worker.generation == 3));
    // For systemd it was one reload.
    herder.hears("RELOADING=1");
    herder.hears("READY=1");
    while herder.next(std::time::Duration::ZERO).is_some() {}
    let count = herder.heard().iter().filter(|datagram| datagram.says("RELOADING=1")).count();
    assert_eq!(count, 1);
}

/// … unless its settings are wrong: then the running one goes on.
#[test]
fn a_refused_reload_does_not_disturb_the_one_under_way() {
    let herder = serving(1);
    herder.settings(&settings(1, "wait 500 ready"));
    let first = herder.start_reload();
    herder.is("the first worker is on trial", |status| status.starting == 1);
    herder.settings("nonsense = 1\n");
    assert_eq!(herder.reload().code, 1);
    assert_eq!(first.ends().code, 0);
    assert_eq!(herder.serves(1)[0].generation, 2);
}

/// Trap 25: systemd cancels the reload job and sends SIGTERM at once.
#[test]
fn a_stop_ends_a_reload_and_its_caller_is_told() {
    for steps in ["wait 60000 ready", "ready"] {
        let mut herder = serving(3);
        let slow = "min-ready-time = \"1h\"\n";
        herder.settings(&format!("{slow}{}", settings(3, steps)));
        let reload = herder.start_reload();
        herder.is("the first new worker is there", |status| status.workers.len() == 4);
        assert_eq!(herder.stops(), 0);
        let said = reload.ends();
        assert_eq!(said.code, 1);
        assert!(said.err.contains("stopp"), "{said:?}");
        assert!(herder.processes().is_empty());
    }
}

#[test]
fn a_caller_that_goes_away_changes_nothing() {
    let herder = serving(1);
    herder.settings(&settings(1, "wait 300 ready"));
    let mut control = Control::open(&herder);
    control.send("io.herder.Control.Reload");
    herder.is("the reload has begun", |status| status.starting == 1);
    drop(control);
    herder.is("it is done", |status| status.generation == 2);
}

/// `herder reload --timeout`: the caller leaves, the reload goes on.
#[test]
fn a_caller_with_a_timeout_leaves_and_the_reload_goes_on() {
    let herder = serving(1);
    herder.settings(&settings(1, "wait 500 ready"));
    let path = herder.path("run");
    let arguments = ["reload", path.to_str().unwrap(), "--timeout", "50ms"];
    let said = crate::client::Running::of(&mut crate::client::command(&arguments)).ends();
    assert_eq!(said.code, 1);
    assert!(said.err.contains("goes on"), "{said:?}");
    herder.is("it is done", |status| status.generation == 2);
}
