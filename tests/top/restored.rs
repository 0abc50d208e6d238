//! The terminal is given back as it was, however `herder top` ends, and follows its size meanwhile.

use crate::scene;
use crate::standin::StandIn;
use crate::tmux::{self, Terminal, quoted};
use crate::wait::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn instance() -> (TempDir, StandIn) {
    let dir = tempfile::tempdir().unwrap();
    let herder = StandIn::start(&dir.path().join("web"), |at| scene::serving(at, 3));
    (dir, herder)
}

fn top(dir: &Path) -> String {
    format!("{} top {}", tmux::herder(), quoted(&dir.join("web")))
}

/// The process that `pid` has started.
fn child_of(pid: i32) -> Pid {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let mut child = None;
    until("it has a child", || {
        let children = fs::read_to_string(&path).unwrap_or_default();
        child = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        child.is_some()
    });
    Pid::from_raw(child.unwrap())
}

#[test]
fn the_terminal_is_as_before_however_it_ends() {
    if !tmux::is_there() {
        return;
    }
    for end in [None, Some(Signal::SIGTERM), Some(Signal::SIGINT), Some(Signal::SIGHUP)] {
        let (dir, _herder) = instance();
        let path = |name: &str| quoted(&dir.path().join(name));
        let script = format!(
            "echo something before; stty -a > {}; {}; echo ended with $?; stty -a > {}",
            path("before"),
            top(dir.path()),
            path("after")
        );
        let terminal = Terminal::running((80, 24), &script);
        terminal.shows(&["3/3 ready"]);
        assert_eq!(terminal.knows("#{alternate_on} #{cursor_flag}"), "1 0");
        match end {
            None => terminal.press(&["q"]),
            Some(signal) => kill(child_of(terminal.pid()), signal).unwrap(),
        }
        terminal.shows(&["something before", "ended with 0"]);
        assert_eq!(terminal.knows("#{alternate_on} #{cursor_flag}"), "0 1", "{end:?}");
        until("stty has written", || {
            dir.path().join("after").metadata().is_ok_and(|file| file.len() > 0)
        });
        let stty = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(stty("after"), stty("before"), "{end:?}");
    }
}

#[test]
fn it_stops_and_goes_on_like_any_job() {
    if !tmux::is_there() {
        return;
    }
    let (dir, _herder) = instance();
    let terminal = Terminal::running((80, 24), "bash --norc --noprofile -i");
    terminal.press(&[&top(dir.path()), "Enter"]);
    terminal.shows(&["3/3 ready"]);
    for pass in 0..2 {
        terminal.press(&["C-z"]);
        terminal.shows(&["Stopped"]);
        assert_eq!(terminal.knows("#{alternate_on} #{cursor_flag}"), "0 1");
        terminal.press(&[&format!("echo meanwhile-$((pass + {pass}))"), "Enter"]);
        terminal.shows(&[&format!("\nmeanwhile-{pass}")]);
        terminal.press(&["clear; fg", "Enter"]);
        terminal.shows(&["3/3 ready", "? help"]);
        assert_eq!(terminal.knows("#{alternate_on}"), "1");
    }
    terminal.press(&["?"]);
    terminal.shows(&["any key closes this"]);
    terminal.press(&["q"]);
    terminal.press(&["q"]);
    terminal.shows_when("the shell is back", |screen| !screen.contains("3/3 ready"));
    terminal.press(&["echo status-$?", "Enter"]);
    terminal.shows(&["status-0"]);
}

#[test]
fn it_follows_the_size_of_the_terminal() {
    if !tmux::is_there() {
        return;
    }
    let (dir, _herder) = instance();
    let terminal = Terminal::running((80, 24), &top(dir.path()));
    terminal.shows(&["3/3 ready"]);
    for (size, texts) in [
        ((200, 50), ["PEAK", "FDS"]),
        ((40, 10), ["SLOT", "STATE"]),
        ((1, 1), ["", ""]),
        ((80, 24), ["PID", "q quit"]),
    ] {
        terminal.resize(size);
        terminal.shows(&texts);
    }
    terminal.press(&["q"]);
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let said = Command::new(env!("CARGO_BIN_EXE_herder"))
        .args(["top", "web"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(64));
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(error.contains("needs a terminal") && error.contains("herder status web"), "{error}");
    if tmux::is_there() {
        let dumb = Terminal::running((80, 24), &format!("env TERM=dumb {} top", tmux::herder()));
        assert_eq!(dumb.ends(), 64);
    }
}

#[test]
fn no_colour_where_none_is_wanted() {
    if !tmux::is_there() {
        return;
    }
    let (dir, _herder) = instance();
    for (variable, coloured) in [("NO_COLOR=1", false), ("NO_COLOR=", true)] {
        let command = format!("env {variable} {}", top(dir.path()));
        let terminal = Terminal::running((80, 24), &command);
        terminal.shows(&["3/3 ready"]);
        let painted = terminal.painted();
        assert_eq!(painted.contains("48;5;2m"), coloured, "{painted:?}");
    }
}
