//! A command of herder's own that runs beside the workers: the `check` of a reload, or a probe. It is no
//! worker: no sockets, no NOTIFY_SOCKET.

use super::children::Inheritance;
use super::settings::Spec;
use super::token::Token;
use crate::launch::Check;
use herder_linux::child;
use herder_linux::poll::{Interest, Poll};
use herder_linux::spawn::{self, Program};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::borrow::Cow;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};

/// How much of its output is kept, in bytes: the end, where programs say what is wrong, in whole lines.
const OUTPUT: u64 = 2_000;

/// Variables that are only for workers.
const NOT_FOR_HELPERS: [&str; 3] = ["LISTEN_", "NOTIFY_SOCKET=", "WATCHDOG_"];

/// One that runs.
#[derive(Debug)]
pub struct Helper {
    process: spawn::Child,
    output: File,
}

impl Helper {
    /// Starts it; `token` is what is heard when it has ended. Of its environment what is a worker's is left out.
    ///
    /// # Errors
    ///
    /// Why it cannot be started, as a sentence that begins with “cannot”.
    pub fn start(
        poll: &Poll,
        token: Token,
        command: &Check,
        env: Vec<Cow<'_, CStr>>,
        spec: &Spec,
        inheritance: Inheritance,
    ) -> Result<Helper, String> {
        let system = |error: io::Error| format!("cannot start it: {error}");
        let output =
            memfd_create(c"output", MFdFlags::MFD_CLOEXEC).map_err(|errno| system(errno.into()))?;
        let is_for_helpers = |variable: &Cow<'_, CStr>| {
            let text = variable.to_bytes();
            !NOT_FOR_HELPERS.iter().any(|name| text.starts_with(name.as_bytes()))
        };
        let program = Program {
            path: Cow::Borrowed(&command.path),
            argv: command.argv.iter().map(|word| Cow::Borrowed(word.as_c_str())).collect(),
            env: env.into_iter().filter(is_for_helpers).collect(),
            directory: spec.launch.directory.as_deref().map(Cow::Borrowed),
            listen_pid: false,
            watchdog_pid: false,
            stdin: None,
            output: Some(output.as_raw_fd()),
            die_with_herder: true,
            ignore_sigpipe: inheritance.ignore_sigpipe,
            reset_oom_score: true,
            open_files: inheritance.open_files,
            limits: None,
            cpu: None,
            cgroup: None,
        };
        let process = spawn::spawn(&program, &[]).map_err(|error| error.explain(&program))?;
        poll.add(&process.pidfd, token.into(), Interest::Read).map_err(system)?;
        Ok(Helper { process, output: output.into() })
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// How it ended, `Err` being what it printed, or else its status; `None` while it runs.
    pub fn outcome(&mut self) -> Option<Result<(), String>> {
        // It is reaped when it is dropped: until then its group is signalled by its number.
        let exit = child::peek(self.process.pidfd.as_fd()).ok()??;
        if exit.code == libc::CLD_EXITED && exit.status == 0 {
            return Some(Ok(()));
        }
        let said = self.said().unwrap_or_default();
        Some(Err(match (said.trim(), exit.code == libc::CLD_EXITED) {
            ("", true) => format!("it exited with status {}", exit.status),
            ("", false) => format!("it was killed by signal {}", exit.status),
            (text, _) => text.to_owned(),
        }))
    }

    fn said(&mut self) -> io::Result<String> {
        let start = self.output.metadata()?.len().saturating_sub(OUTPUT);
        self.output.seek(SeekFrom::Start(start))?;
        let mut text = Vec::new();
        self.output.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        Ok(if start == 0 { text.into_owned() } else { whole_lines(&text) })
    }
}

/// Without the rest of a line that a text begins with; as it is, if there is no other.
fn whole_lines(text: &str) -> String {
    match text.trim_end().split_once('\n') {
        Some((_, lines)) => format!("…\n{lines}"),
        None => format!("…{text}"),
    }
}

/// Its outcome is no longer wanted.
impl Drop for Helper {
    fn drop(&mut self) {
        if child::peek(self.process.pidfd.as_fd()).is_ok() {
            let _ = child::signal_group(self.process.pid, libc::SIGKILL);
        }
        // SIGKILL is prompt; if the zombie is not there yet, SIGCHLD will see to it.
        let _ = child::reap(self.process.pidfd.as_fd());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_long_output_begins_with_a_line() {
        assert_eq!(whole_lines("f a line\n  File x\nError: y\n"), "…\n  File x\nError: y");
        assert_eq!(whole_lines("one long line\n"), "…one long line\n");
    }
}
