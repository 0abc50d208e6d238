//! The commands as they are typed, against a real herder: what they print, how they end, how soon.

use crate::client::{Running, Said, command};
use crate::systemd::{Herder, Unit};
use crate::wait::until;
use crate::workers::misbehave;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

fn serving() -> Herder {
    let settings = "workers = 2\nready = \"notify\"\n";
    let mut herder = Unit::new(&format!("{settings}{}", misbehave("ready"))).start();
    herder.hears("READY=1");
    herder
}

/// The command on this instance: `reload --previous` is run as `herder reload PATH --previous`.
fn arguments<'a>(path: &'a str, line: &'a str) -> Vec<&'a str> {
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    [name, path].into_iter().chain(rest.split_whitespace()).collect()
}

pub fn said(herder: &Herder, line: &str) -> Said {
    let path = herder.path("run");
    Running::of(&mut command(&arguments(path.to_str().unwrap(), line))).ends()
}

#[test]
fn an_instance_is_steered_from_the_command_line() {
    let herder = serving();
    let scaled = said(&herder, "scale 3");
    assert_eq!((scaled.code, scaled.err.as_str()), (0, ""), "{scaled:?}");
    let before = herder.serves(3);

    let recycled = said(&herder, "recycle --slot 2");
    assert_eq!(recycled.code, 0, "{recycled:?}");
    herder.is("slot 2 has a new worker", |status| {
        status.workers.len() == 3 && !status.workers.iter().any(|now| now.id == before[2].id)
    });
    let refused = said(&herder, "recycle --slot 9");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("slot 9"), "{refused:?}");

    let stopped = said(&herder, &format!("stop-worker {}", before[0].id));
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let now = herder.serves(3);
    assert!(now.iter().all(|worker| worker.id != before[0].id), "{now:?}");

    assert_eq!(said(&herder, "log-level debug").code, 0);
    assert_eq!(said(&herder, "health").out, "it: serving, 3/3 ready, generation 1\n");
}

#[test]
fn a_reload_can_be_taken_back() {
    let herder = serving();
    let refused = said(&herder, "reload --previous");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(said(&herder, "reload").code, 0);
    let back = said(&herder, "reload --previous");
    assert_eq!((back.code, back.err.as_str()), (0, ""), "{back:?}");
    assert_eq!(herder.status().generation, 3);
    let none = said(&herder, "reload --abort");
    assert_eq!(none.code, 0, "{none:?}");
    assert!(none.out.contains("no reload"), "{none:?}");
}

#[test]
fn events_are_told_until_the_instance_ends() {
    let herder = serving();
    let (binary, run) = (env!("CARGO_BIN_EXE_herder"), herder.path("run"));
    let file = herder.path("events");
    let script = format!("exec {binary} events {} --json > {}", run.display(), file.display());
    let following = Running::of(std::process::Command::new("sh").args(["-c", &script]));
    let events = || -> Vec<Value> {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // Nothing is heard before it listens.
    until("an event is heard", || {
        assert_eq!(said(&herder, "log-level info").code, 0);
        !events().is_empty()
    });
    let first = &events()[0];
    assert_eq!(first["instance"], "run", "{first}");
    assert!(first["message"].is_string() && first["atUSec"].is_u64(), "{first}");
    herder.signal(Signal::SIGTERM);
    let end = following.ends();
    assert_eq!(end.code, 3, "{end:?}");
    assert!(end.err.contains("has ended"), "{end:?}");
    let events = events();
    assert!(events.iter().any(|event| event["kind"] == "stopping"), "{events:?}");
}

/// Every command that asks an instance, as it may be typed, and its exit status if it cannot.
const COMMANDS: [(&str, i32); 12] = [
    ("status", 1),
    ("status --json", 1),
    ("health", 2),
    ("events", 1),
    ("events --json", 1),
    ("reload", 1),
    ("reload --previous", 1),
    ("reload --abort", 1),
    ("scale 2", 1),
    ("recycle", 1),
    ("stop-worker 1", 1),
    ("log-level info", 1),
];

/// Runs all of them at once, and says how long the slowest took.
fn all(path: &str) -> (Vec<(&'static str, Said)>, Duration) {
    let start = Instant::now();
    let running: Vec<_> = COMMANDS
        .iter()
        .map(|(line, _)| (*line, Running::of(&mut command(&arguments(path, line)))))
        .collect();
    (running.into_iter().map(|(line, one)| (line, one.ends())).collect(), start.elapsed())
}

#[test]
fn every_command_ends_soon_whatever_is_wrong_and_says_what_to_do() {
    let herder = serving();
    let path = herder.path("run");
    let path = path.to_str().unwrap();

    herder.signal(Signal::SIGSTOP);
    let (outcomes, took) = all(path);
    herder.signal(Signal::SIGCONT);
    // Each is done after 1.5 s; the rest is for a machine that has to start a dozen of them.
    assert!(took < Duration::from_secs(5), "{took:?}");
    for ((line, said), (_, code)) in outcomes.iter().zip(COMMANDS) {
        assert_eq!(said.code, code, "{line}: {said:?}");
        assert!(said.err.contains("has not answered within 1.5s"), "{line}: {said:?}");
        assert!(said.err.contains("journalctl"), "{line}: {said:?}");
        assert!(said.out.is_empty(), "{line}: {said:?}");
    }
    // Nothing of what was given up has been done since.
    assert_eq!(herder.serves(2).len(), 2);
    assert_eq!(herder.status().generation, 1);

    let empty = tempfile::tempdir().unwrap();
    let (outcomes, took) = all(empty.path().to_str().unwrap());
    assert!(took < Duration::from_secs(5), "{took:?}");
    for ((line, said), (_, code)) in outcomes.iter().zip(COMMANDS) {
        assert_eq!(said.code, if code == 2 { 2 } else { 3 }, "{line}: {said:?}");
        assert!(said.err.contains("is not running"), "{line}: {said:?}");
    }

    let (outcomes, _) = all("no-such-instance");
    for ((line, said), (_, code)) in outcomes.iter().zip(COMMANDS) {
        assert_eq!(said.code, if code == 2 { 2 } else { 4 }, "{line}: {said:?}");
        assert!(said.err.contains("there is no instance called"), "{line}: {said:?}");
    }
}

#[test]
fn every_command_tells_a_caller_without_permission_so() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can ask as another user");
        return;
    }
    let herder = serving();
    let run = herder.path("run");
    let as_nobody = |line: &str| {
        let mut command = std::process::Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i"]);
        command.arg(env!("CARGO_BIN_EXE_herder"));
        Running::of(command.args(arguments(run.to_str().unwrap(), line))).ends()
    };
    let changes =
        |line: &str| !["status", "health", "events"].iter().any(|on| line.starts_with(on));
    fs::set_permissions(herder.path("."), Permissions::from_mode(0o755)).unwrap();
    for (line, _) in COMMANDS.into_iter().filter(|(line, _)| changes(line)) {
        let said = as_nobody(line);
        assert_eq!(said.code, 4, "{line}: {said:?}");
        assert!(said.err.contains("not permitted: user 65534 may not"), "{line}: {said:?}");
    }
    assert_eq!(as_nobody("status").code, 0);

    fs::set_permissions(herder.path("."), Permissions::from_mode(0o700)).unwrap();
    for (line, code) in COMMANDS {
        let said = as_nobody(line);
        assert_eq!(said.code, if code == 2 { 2 } else { 4 }, "{line}: {said:?}");
        assert!(said.err.contains("try again as root"), "{line}: {said:?}");
    }
    assert_eq!(herder.status().generation, 1);
}

#[test]
fn a_status_without_a_name_is_that_of_all_there_are() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("herder")).unwrap();
    let start = |name: &str| {
        let settings = format!("workers = 1\nready = \"notify\"\n{}", misbehave("ready"));
        let directory = dir.path().join("herder").join(name);
        let unit = Unit::new(&settings).env("RUNTIME_DIRECTORY", directory.to_str().unwrap());
        let mut herder = unit.options(&["--name", name]).start();
        herder.hears("READY=1");
        herder
    };
    let status = |options: &[&str]| {
        let mut command = command(&["status"]);
        Running::of(command.args(options).env("XDG_RUNTIME_DIR", dir.path())).ends()
    };
    let (web, _api) = (start("it-web"), start("it-api"));
    let of_all = status(&["--json"]);
    let object: Value = serde_json::from_str(&of_all.out).unwrap();
    let instances = object["instances"].as_array().unwrap();
    for name in ["it-api", "it-web"] {
        let ready = |instance: &Value| instance["name"] == name && instance["ready"] == 1;
        assert!(instances.iter().any(ready), "{of_all:?}");
    }

    // An instance that hangs is listed, too, and the others are still shown.
    web.signal(Signal::SIGSTOP);
    let said = status(&[]);
    web.signal(Signal::SIGCONT);
    assert_eq!(said.code, 1, "{said:?}");
    let line = |name: &str| said.out.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(said.out.starts_with("NAME"), "{said:?}");
    assert!(line("it-web").contains("no answer") && line("it-api").contains("1/1"), "{said:?}");
    assert!(said.err.contains("it-web: herder runs, but has not answered"), "{said:?}");
}
