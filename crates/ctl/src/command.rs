//! Runs a helper program for a bounded time and returns its output.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The most that is kept of what a program prints.
const MOST: usize = 64 * 1024;

/// What the program prints to standard output until it ends. `None` if it cannot be run, is not
/// done by the deadline, or says that it failed.
pub fn output(command: &mut Command, deadline: Instant) -> Option<String> {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = Killed(command.spawn().ok()?);
    let mut pipe = child.0.stdout.take()?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        wait_until_readable(&pipe, deadline).ok()?;
        match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) if bytes.len() + length <= MOST => {
                bytes.extend_from_slice(&buffer[..length])
            }
            Ok(_) | Err(_) => return None,
        }
    }
    // It has closed its output, so it has ended or is about to.
    child.0.wait().ok().filter(|status| status.success())?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn wait_until_readable(fd: &impl AsFd, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).as_millis();
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A child that is killed and waited for when it is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only when it has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn shell(script: &str, patience: Duration) -> Option<String> {
        output(Command::new("sh").args(["-c", script]), Instant::now() + patience)
    }

    #[test]
    fn what_is_printed_comes_back() {
        let long = Duration::from_secs(20);
        assert_eq!(shell("echo one; echo two", long).as_deref(), Some("one\ntwo\n"));
        assert_eq!(shell("echo one; exit 1", long), None);
        assert_eq!(shell("yes", long), None);
        assert_eq!(output(&mut Command::new("/no/such/program"), Instant::now() + long), None);
    }

    #[test]
    fn a_program_that_hangs_is_killed() {
        let start = Instant::now();
        assert_eq!(shell("exec sleep 60", Duration::from_millis(50)), None);
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
