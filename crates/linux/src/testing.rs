//! What several of the tests here need.

use super::spawn::{Child, Program, spawn};
use super::{child, poll};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::borrow::Cow;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;
use std::time::Duration;

/// A worker that runs a script, and does not outlive the test.
pub struct Shell {
    pub pid: i32,
    child: Child,
}

impl Shell {
    pub fn start(script: &str) -> Shell {
        Shell::with_sockets(script, &[])
    }

    /// With these from descriptor 3 on, and LISTEN_PID.
    pub fn with_sockets(script: &str, sockets: &[BorrowedFd<'_>]) -> Shell {
        let c = |text: &str| Cow::Owned(CString::new(text).unwrap());
        let program = Program {
            path: c("/bin/sh"),
            argv: vec![c("sh"), c("-c"), c(script)],
            env: vec![c("PATH=/usr/bin:/bin")],
            directory: Some(c("/")),
            listen_pid: !sockets.is_empty(),
            watchdog_pid: false,
            stdin: None,
            output: None,
            die_with_herder: false,
            ignore_sigpipe: false,
            reset_oom_score: false,
            open_files: None,
            limits: None,
            cpu: None,
            cgroup: None,
        };
        let child = spawn(&program, sockets).unwrap();
        Shell { pid: child.pid, child }
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Waits until it has ended.
    pub fn wait(&self) {
        let mut fds = [PollFd::new(self.pidfd(), PollFlags::POLLIN)];
        let ready = nix::poll::poll(&mut fds, PollTimeout::from(20_000_u16));
        assert_eq!(ready, Ok(1), "{} still runs after 20 s", self.pid);
    }

    /// Waits until it has executed the program of this name.
    pub fn until_it_is(&self, name: &str) {
        let path = format!("/proc/{}/comm", self.pid);
        until(name, || std::fs::read_to_string(&path).unwrap().trim() == name);
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = child::signal(self.pidfd(), libc::SIGKILL);
        let _ = child::signal_group(self.pid, libc::SIGKILL);
        self.wait();
        let _ = child::reap(self.pidfd());
    }
}

/// Waits for a condition that nothing announces; gives up after 20 s.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = poll::now() + 20_000_000;
    while !condition() {
        assert!(poll::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs the body of the test `name` in a process of its own, which `sh -c start` starts: for what a
/// process has only one of, such as signal dispositions, and children that no other test has.
pub fn alone(name: &str, start: &str, body: impl FnOnce()) {
    const MARK: &str = "HERDER_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let me = std::env::current_exe().unwrap();
    let arguments = ["--exact", name, "--nocapture", "--test-threads=1"];
    let mut command = Command::new("sh");
    command.args(["-c", start, "sh"]).arg(me).args(arguments).env(MARK, "1");
    // Into a file: processes that a failed test leaves behind would keep a pipe open.
    let output = tempfile::NamedTempFile::new().unwrap();
    let file = output.reopen().unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file);
    let status = command.status().unwrap();
    let text = std::fs::read_to_string(output.path()).unwrap();
    assert!(status.success() && text.contains("1 passed"), "{status}:\n{text}");
}
