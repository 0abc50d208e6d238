//! The commands against a made-up herder.

use super::testing::{Answer, Herder};
use super::*;
use herder_wire::control::{self, Failure, Reply};
use herder_wire::level::LogLevel;
use herder_wire::status::example::example;
use std::os::unix::net::UnixListener;
use std::thread;

/// Exit status and message.
fn refused(outcome: Result<(), Error>) -> (u8, String) {
    let error = outcome.unwrap_err();
    (error.exit_status(), error.to_string())
}

fn reloaded() -> Vec<u8> {
    let message = "2/2 ready, generation 2";
    Reply::Reloaded { generation: 2, message, replaced: 2, wanted: 2 }.last()
}

fn reload_of(answer: Answer) -> Result<(), Error> {
    let herder = Herder::answering(vec![answer]);
    let outcome = reload(herder.path(), false, None);
    assert_eq!(herder.methods(), ["Reload"]);
    outcome
}

fn refusing(failure: &Failure) -> Answer {
    Answer::Replies(vec![control::failed(failure)])
}

#[test]
fn a_reload_that_succeeds_is_a_success() {
    assert!(reload_of(Answer::Replies(vec![reloaded()])).is_ok());
}

#[test]
fn a_reload_that_fails_gives_the_reason() {
    let reason = "worker 9 exited with status 1\u{1b}[2J".to_owned();
    let failed = Failure::ReloadFailed { generation: Some(2), reason, pid: None };
    let (code, message) = refused(reload_of(refusing(&failed)));
    assert_eq!(code, 1);
    assert!(
        message.ends_with("reload failed: worker 9 exited with status 1\\u{1b}[2J"),
        "{message}"
    );

    let failure = Failure::ReloadRefused { reason: "web.toml:3:1: unknown key".to_owned() };
    let (code, message) = refused(reload_of(refusing(&failure)));
    assert_eq!(code, 1);
    assert!(message.contains("nothing has changed: web.toml:3:1"), "{message}");

    let failure = Failure::NotPermitted { reason: "only root may".to_owned() };
    let (code, message) = refused(reload_of(refusing(&failure)));
    assert_eq!(code, 4);
    assert!(message.contains("only root may"), "{message}");
}

#[test]
fn a_herder_that_goes_away_is_told_from_one_that_fails() {
    let (code, message) = refused(reload_of(Answer::LastWords(vec![])));
    assert_eq!(code, 1);
    assert!(message.contains("before the reload was over: too many clients, or"), "{message}");

    let herder = Herder::answering(vec![Answer::LastWords(vec![])]);
    let (code, message) = refused(status(herder.path(), false));
    assert_eq!(code, 1);
    assert!(message.contains("without an answer"), "{message}");
}

#[test]
fn a_status_is_shown_both_ways() {
    for json in [false, true] {
        let herder = Herder::saying(Reply::Status { status: &example(3) }.last());
        assert!(status(herder.path(), json).is_ok());
        assert_eq!(herder.methods(), ["Status"]);
    }
    let herder = Herder::saying(reloaded());
    let (code, message) = refused(status(herder.path(), false));
    assert_eq!(code, 1);
    assert!(message.contains("not this version of herder"), "{message}");
}

#[test]
fn no_command_waits_for_a_herder_that_hangs() {
    type Command = fn(&str) -> Result<(), Error>;
    let commands: [Command; 8] = [
        |path| status(Some(path), false),
        |path| events(Some(path), false),
        |path| reload(Some(path), false, None),
        |path| abort_reload(Some(path), None),
        |path| scale(path, 4, None),
        |path| recycle(Some(path), None, None),
        |path| stop_worker(path, 17, None),
        |path| log_level(path, LogLevel::Debug),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let listener = UnixListener::bind(dir.path().join("control")).unwrap();
    let start = Instant::now();
    // All at the same time, so that the test takes as long as one of them.
    let outcomes: Vec<(u8, String)> = thread::scope(|scope| {
        let running = commands.map(|command| scope.spawn(move || refused(command(path))));
        running.map(|command| command.join().unwrap()).into()
    });
    assert!((PATIENCE..PATIENCE * 2).contains(&start.elapsed()));
    for (code, message) in outcomes {
        assert_eq!(code, 1);
        assert!(message.contains("has not answered within 1.5s"), "{message}");
    }

    drop(listener);
    for command in commands {
        let (code, message) = refused(command(path));
        assert_eq!(code, 3);
        assert!(message.contains("is not running"), "{message}");
    }
}

#[test]
fn a_reload_that_takes_longer_than_asked_goes_on() {
    let herder = Herder::answering(vec![Answer::Silence]);
    let (code, message) = refused(reload(herder.path(), false, Some(Duration::from_millis(10))));
    assert_eq!(code, 1);
    assert!(message.contains("not over within 10ms, and goes on"), "{message}");
}
