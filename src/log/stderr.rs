//! Standard error, written to without waiting.
//!
//! Its open file description is shared with every worker and perhaps a shell, so O_NONBLOCK must
//! not be set on it (open(2)). A pipe or terminal is opened once more instead, for herder alone;
//! a socket takes a flag with each message. What is left, plain files, never makes a writer wait
//! for a reader.

use super::line::LINE;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

/// Standard error.
#[derive(Debug)]
pub struct Stderr {
    way: Way,
    colour: bool,
}

#[derive(Debug)]
enum Way {
    /// herder's own, non-blocking.
    Own(File),
    /// A socket: not to be opened again, but it takes MSG_DONTWAIT.
    Socket,
    /// The shared one, after a look whether it takes a line.
    Shared,
}

impl Stderr {
    /// Finds the way to write to descriptor 2.
    pub fn open() -> Stderr {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let kind = std::fs::metadata("/dev/stderr").map(|there| there.file_type());
        let way = match kind {
            Ok(kind) if kind.is_socket() => Way::Socket,
            Ok(kind) if kind.is_fifo() || kind.is_char_device() => {
                reopened("/dev/stderr").map_or(Way::Shared, Way::Own)
            }
            Ok(_) | Err(_) => Way::Shared,
        };
        Stderr { way, colour: io::stderr().is_terminal() && !no_color }
    }

    /// Whether escape sequences make sense: on a terminal, and unless `NO_COLOR` is set.
    pub fn is_colourful(&self) -> bool {
        self.colour
    }

    /// Writes a line at once; `false` if it is lost.
    pub fn write(&mut self, line: String) -> bool {
        debug_assert!(line.len() <= LINE);
        let line = line.as_bytes();
        match &mut self.way {
            Way::Own(file) => file.write(line).is_ok(),
            Way::Socket => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                send(io::stderr().as_raw_fd(), line, flags).is_ok()
            }
            Way::Shared => takes_a_line(&io::stderr()) && io::stderr().write(line).is_ok(),
        }
    }
}

/// The same pipe or terminal, with an open file description of its own.
fn reopened(path: &str) -> Option<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    OpenOptions::new().append(true).custom_flags(flags.bits()).open(path).ok()
}

/// A pipe that polls as writable has room for PIPE_BUF bytes (pipe(7)), and no line is longer.
fn takes_a_line(stderr: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    loop {
        match poll(&mut fds, PollTimeout::ZERO) {
            Err(Errno::EINTR) => {}
            outcome => return outcome == Ok(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::pipe2;
    use std::io::Read;
    use std::os::fd::OwnedFd;

    fn pipe() -> (File, OwnedFd) {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        (File::from(reader), writer)
    }

    fn way_to(writer: &OwnedFd) -> Stderr {
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        Stderr { way: Way::Own(reopened(&path).unwrap()), colour: false }
    }

    fn read(reader: &mut File, length: usize) -> Vec<u8> {
        let mut buffer = vec![0; length];
        reader.read_exact(&mut buffer).unwrap();
        buffer
    }

    #[test]
    fn a_full_pipe_costs_lines_and_no_time() {
        let (mut reader, writer) = pipe();
        let mut stderr = way_to(&writer);
        let line = format!("{}\n", "x".repeat(LINE - 1));
        let taken = (0..10_000).take_while(|_| stderr.write(line.clone())).count();
        assert!(taken < 10_000);
        assert!(!takes_a_line(&writer));

        // Whole lines came through, and more do once somebody reads.
        assert_eq!(read(&mut reader, taken * LINE), line.repeat(taken).into_bytes());
        assert!(takes_a_line(&writer));
        assert!(stderr.write(line));
    }

    #[test]
    fn the_shared_description_stays_blocking() {
        let (_reader, writer) = pipe();
        let mut stderr = way_to(&writer);
        assert!(stderr.write("line\n".to_owned()));
        let flags = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETFL).unwrap();
        assert!(!OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK));
    }
}
