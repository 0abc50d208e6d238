//! The commands against the real server, with a made-up herd behind it.

use super::*;
use crate::linux::control::Server;
use crate::wire::control::{self, Method, Received, Reply};
use crate::wire::status::example::example;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

/// A herder that answers one call with `answer`, or closes the connection if that is `None`.
struct Herd {
    dir: tempfile::TempDir,
    thread: JoinHandle<Method>,
}

fn herd(answer: Option<Vec<u8>>) -> Herd {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::listen(&dir.path().join("control")).unwrap();
    let thread = thread::spawn(move || {
        let now = Duration::ZERO;
        wait_for(&server);
        let client = server.accept(now)[0];
        loop {
            server.readable(client, now);
            if let Some(call) = server.calls(now).pop() {
                let Received::Call(heard) = control::receive(&call.message) else {
                    panic!("not a call");
                };
                let method = heard.method;
                match &answer {
                    Some(answer) => server.send(client, answer, now),
                    None => server.hang_up(client, now),
                }
                return method;
            }
            wait_for(&server.fd(client).unwrap());
        }
    });
    Herd { dir, thread }
}

fn reloaded() -> Reply<'static> {
    Reply::Reloaded { generation: 2, message: "2/2 ready, generation 2", replaced: 2, wanted: 2 }
}

fn wait_for(fd: &impl AsFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(10_000u16)), Ok(1));
}

impl Herd {
    fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    fn reload(self) -> Result<(), Error> {
        let outcome = reload(self.path().to_str(), None);
        assert_eq!(self.thread.join().unwrap(), Method::Reload { previous: false });
        outcome
    }

    fn status(self, json: bool) -> Result<(), Error> {
        let outcome = status(self.path().to_str(), json);
        assert_eq!(self.thread.join().unwrap(), Method::Status);
        outcome
    }
}

/// Exit status and message.
fn refused(outcome: Result<(), Error>) -> (u8, String) {
    let error = outcome.unwrap_err();
    (error.exit_status(), error.to_string())
}

#[test]
fn a_reload_that_succeeds_is_a_success() {
    assert!(herd(Some(reloaded().last())).reload().is_ok());
}

#[test]
fn a_reload_that_fails_gives_the_reason() {
    let reason = "worker 9 exited with status 1\u{1b}[2J".to_owned();
    let failed = Failure::ReloadFailed { generation: Some(2), reason, pid: None };
    let (status, message) = refused(herd(Some(control::failed(&failed))).reload());
    assert_eq!(status, 1);
    assert!(
        message.ends_with("reload failed: worker 9 exited with status 1\\u{1b}[2J"),
        "{message}"
    );

    let failure = Failure::ReloadRefused { reason: "web.toml:3:1: unknown key".to_owned() };
    let (status, message) = refused(herd(Some(control::failed(&failure))).reload());
    assert_eq!(status, 1);
    assert!(message.contains("nothing has changed: web.toml:3:1"), "{message}");

    let failure = Failure::NotPermitted { reason: "only root may".to_owned() };
    let (status, message) = refused(herd(Some(control::failed(&failure))).reload());
    assert_eq!(status, 4);
    assert!(message.contains("only root may"), "{message}");
}

#[test]
fn a_herder_that_goes_away_is_told_from_one_that_fails() {
    let (status, message) = refused(herd(None).reload());
    assert_eq!(status, 1);
    assert!(message.contains("before the reload was over: too many clients, or"), "{message}");
    let (status, message) = refused(herd(None).status(false));
    assert_eq!(status, 1);
    assert!(message.contains("without an answer"), "{message}");
}

#[test]
fn a_status_is_shown_both_ways() {
    for json in [false, true] {
        assert!(herd(Some(Reply::Status { status: &example(3) }.last())).status(json).is_ok());
    }
    let (status, message) = refused(herd(Some(reloaded().last())).status(false));
    assert_eq!(status, 1);
    assert!(message.contains("not this version of herder"), "{message}");
}

#[test]
fn a_herder_that_hangs_ends_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str();
    let server = Server::listen(&dir.path().join("control")).unwrap();
    let start = Instant::now();
    let (code, message) = refused(status(path, false));
    assert_eq!(code, 1);
    assert!(message.contains("has not answered within 2s"), "{message}");
    assert!(start.elapsed() >= PATIENCE);

    let (code, message) = refused(reload(path, Some(Duration::from_millis(10))));
    assert_eq!(code, 1);
    assert!(message.contains("not over within 10ms, and goes on"), "{message}");

    drop(server);
    let (code, message) = refused(status(path, false));
    assert_eq!(code, 3);
    assert!(message.contains("is not running"), "{message}");
}
