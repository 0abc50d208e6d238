//! The `check` command of a reload: run before the first new worker, and its output is the reason
//! when it fails. It is no worker: no sockets, no NOTIFY_SOCKET.

use super::children::Inheritance;
use super::source::Spec;
use super::token::Token;
use crate::herd::{Event, Generation, SlotId, WorkerId};
use crate::linux::child;
use crate::linux::poll::{Interest, Poll};
use crate::linux::spawn::{self, Program};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::borrow::Cow;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// How much of its output is kept: the end, where programs say what is wrong.
const OUTPUT: u64 = 2_000;

/// Variables of a worker that a check does not have.
const NOT_FOR_A_CHECK: [&str; 5] =
    ["LISTEN_", "NOTIFY_SOCKET=", "HERDER_SLOT=", "HERDER_WORKER=", "WATCHDOG_"];

/// A `check` command that runs.
#[derive(Debug)]
pub struct Precheck {
    generation: Generation,
    process: spawn::Child,
    output: File,
}

impl Precheck {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// Why it cannot be started, as a sentence.
    pub fn start(
        poll: &Poll,
        generation: Generation,
        spec: &Spec,
        inheritance: Inheritance,
    ) -> Result<Precheck, String> {
        let system = |error: io::Error| format!("cannot start the check: {error}");
        let output =
            memfd_create(c"check", MFdFlags::MFD_CLOEXEC).map_err(|errno| system(errno.into()))?;
        let Some(check) = &spec.launch.check else {
            return Err("there is none".to_owned());
        };
        let rendered = spec.launch.render(SlotId(0), WorkerId(0), generation, Path::new("/"), &[]);
        let is_for_check = |variable: &Cow<'_, CStr>| {
            let text = variable.to_bytes();
            !NOT_FOR_A_CHECK.iter().any(|name| text.starts_with(name.as_bytes()))
        };
        let program = Program {
            path: Cow::Borrowed(&check.path),
            argv: check.argv.iter().map(|word| Cow::Borrowed(word.as_c_str())).collect(),
            env: rendered.env.into_iter().filter(is_for_check).collect(),
            directory: spec.launch.directory.as_deref().map(Cow::Borrowed),
            listen_pid: false,
            stdin: None,
            output: Some(output.as_raw_fd()),
            die_with_herder: true,
            ignore_sigpipe: inheritance.ignore_sigpipe,
            reset_oom_score: true,
            open_files: inheritance.open_files,
            cpu: None,
            cgroup: None,
        };
        let process = spawn::spawn(&program, &[]).map_err(|error| error.explain(&program))?;
        poll.add(&process.pidfd, Token::Check.into(), Interest::Read).map_err(system)?;
        Ok(Precheck { generation, process, output: output.into() })
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Whose check it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// What came of it; `None` while it runs.
    pub fn outcome(&mut self) -> Option<Event> {
        // It is reaped when it is dropped: until then its group is signalled by its number.
        let exit = child::peek(self.process.pidfd.as_fd()).ok()??;
        let generation = self.generation;
        if exit.code == libc::CLD_EXITED && exit.status == 0 {
            return Some(Event::Checked { generation, outcome: Ok(()) });
        }
        let said = self.said().unwrap_or_default();
        let why = match (said.trim(), exit.code == libc::CLD_EXITED) {
            ("", true) => format!("it exited with status {}", exit.status),
            ("", false) => format!("it was killed by signal {}", exit.status),
            (text, _) => text.to_owned(),
        };
        Some(Event::Checked { generation, outcome: Err(why) })
    }

    fn said(&mut self) -> io::Result<String> {
        let length = self.output.metadata()?.len();
        self.output.seek(SeekFrom::Start(length.saturating_sub(OUTPUT)))?;
        let mut text = Vec::new();
        self.output.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Nobody waits for it any more.
impl Drop for Precheck {
    fn drop(&mut self) {
        if child::peek(self.process.pidfd.as_fd()).is_ok() {
            let _ = child::signal_group(self.process.pid, libc::SIGKILL);
        }
        // SIGKILL is prompt; if the zombie is not there yet, SIGCHLD will see to it.
        let _ = child::reap(self.process.pidfd.as_fd());
    }
}
