//! Instances that hang, go away and come back, and several at once.

use crate::scene;
use crate::standin::StandIn;
use crate::systemd::Unit;
use crate::tmux::{self, Terminal, quoted};
use crate::workers::listener;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

#[test]
fn a_herder_that_is_stopped_is_seen_to_hang_and_to_go_on() {
    if !tmux::is_there() {
        return;
    }
    let mut herder =
        Unit::new("workers = 1\nready = \"notify\"\n").socket("web", listener()).start();
    herder.hears("READY=1");
    let terminal =
        Terminal::herder((80, 24), &format!("top -d 100ms {}", quoted(&herder.path("run"))));
    terminal.shows(&["1/1 ready"]);
    herder.signal(Signal::SIGSTOP);
    terminal.shows(&["no answer for 2s: herder is stopped or hangs", "1/1 ready"]);
    terminal.press(&["?"]);
    terminal.shows(&["any key closes this"]);
    terminal.press(&["Escape"]);
    herder.signal(Signal::SIGCONT);
    terminal.shows_when("it goes on", |screen| !screen.contains("no answer"));
    assert_eq!(herder.stops(), 0);
    terminal.shows(&["is not running: no process listens at", "1/1 ready"]);
    terminal.press(&["q"]);
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn an_instance_that_comes_back_is_shown_again() {
    if !tmux::is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web");
    let herder = StandIn::start(&path, |at| scene::serving(at, 3));
    let terminal = Terminal::herder((80, 24), &format!("top {}", quoted(&path)));
    terminal.shows(&["3/3 ready"]);
    drop(herder);
    terminal.shows(&["web is not running: no process listens at", "3/3 ready"]);
    let _again = StandIn::start(&path, |at| scene::serving(at, 5));
    terminal.shows(&["5/5 ready"]);
    terminal.shows_when("all is well", |screen| !screen.contains("not running"));
}

#[test]
fn what_cannot_be_seen_at_the_start_is_said_like_by_other_commands() {
    if !tmux::is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web");
    let missing = Terminal::herder((80, 24), &format!("top {}", quoted(&path)));
    assert_eq!(missing.ends(), 4);
    std::fs::create_dir(&path).unwrap();
    let stopped = Terminal::herder((80, 24), &format!("top {}", quoted(&path)));
    assert_eq!(stopped.ends(), 3);
    stopped.shows(&["web is not running: no process listens at"]);

    // One that never answers.
    let _hangs = std::os::unix::net::UnixListener::bind(path.join("control")).unwrap();
    let start = Instant::now();
    let hanging = Terminal::herder((80, 24), &format!("top {}", quoted(&path)));
    assert_eq!(hanging.ends(), 1);
    assert!(start.elapsed() < Duration::from_secs(10));
    hanging.shows(&["web: herder runs, but has not answered within"]);
}

/// There may be others on this machine, so these come last by their names.
#[test]
fn several_instances_are_a_list() {
    if !tmux::is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join("herder").join(name);
    let _api = StandIn::start(&path("zz-api"), |at| named("zz-api", scene::serving(at, 2)));
    let _web = StandIn::start(&path("zz-web"), |at| named("zz-web", scene::degraded(at, 4)));
    let environment = format!("env -u RUNTIME_DIRECTORY XDG_RUNTIME_DIR={}", quoted(dir.path()));
    let command = format!("{environment} {} top -d 100ms", tmux::herder());
    let terminal = Terminal::running((80, 24), &command);
    terminal.shows(&["INSTANCE", "zz-api ", "zz-web ", "2/2", "3/4", "degraded"]);
    terminal.press(&["End", "Enter"]);
    terminal.shows(&["SLOT", "degraded  zz-web  3/4 ready"]);
    terminal.press(&["Escape"]);
    terminal.shows(&["INSTANCE"]);
    let _queue = StandIn::start(&path("zz-queue"), |at| named("zz-queue", scene::serving(at, 1)));
    terminal.shows(&["zz-queue "]);
    terminal.press(&["q"]);
    assert_eq!(terminal.ends(), 0);
}

fn named(name: &str, status: herder_wire::status::Status) -> herder_wire::status::Status {
    herder_wire::status::Status { name: name.to_owned(), ..status }
}
