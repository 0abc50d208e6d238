//! The one place where herder waits: epoll(7), and the clock its deadlines are measured by.
//!
//! Knows nothing of what it waits for: each descriptor is registered under a number of the caller's
//! choice. Level-triggered, so a source that was not read to its end is simply reported again.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::time::{ClockId, clock_gettime};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How many sources one [`Poll::wait`] reports at most; the others come with the next.
const EVENTS_PER_WAIT: usize = 64;

/// `CLOCK_MONOTONIC` in microseconds: what `MONOTONIC_USEC=` and `WATCHDOG_USEC=` speak
/// (sd_notify(3)). Never goes back; stands still while the machine sleeps.
pub fn now() -> u64 {
    // Every Linux has this clock, so the call does not fail; 0 would only mean that nothing is due.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        time.tv_sec().unsigned_abs() * 1_000_000 + time.tv_nsec().unsigned_abs() / 1_000
    })
}

/// What a descriptor is watched for. An end of the other side is always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or to accept; the end of a process for a pidfd.
    Read,
    /// The same, and reported once: then nothing, until it is modified (`EPOLLONESHOT`). On a socket that
    /// others accept from this takes no wake-up from them.
    ReadOnce,
    /// Room to write, nothing else.
    Write,
    /// Both.
    ReadWrite,
    /// Nothing but the end of the other side.
    Hangup,
    /// A change of what a file of the kernel's says, since it was last read (cgroups(7)); never
    /// something to read, which such a file always has.
    Change,
}

impl Interest {
    fn flags(self) -> EpollFlags {
        match self {
            Interest::Read => EpollFlags::EPOLLIN,
            Interest::ReadOnce => EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT,
            Interest::Write => EpollFlags::EPOLLOUT,
            Interest::ReadWrite => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
            Interest::Hangup => EpollFlags::empty(),
            Interest::Change => EpollFlags::EPOLLPRI,
        }
    }
}

/// A source that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The number it was registered under.
    pub token: u64,
    /// Reading will not block: there is something, or the end, or an error.
    pub readable: bool,
    /// Writing will not block.
    pub writable: bool,
    /// The other side is gone, or the source is broken (`EPOLLHUP`, `EPOLLERR`).
    pub hangup: bool,
}

/// A set of descriptors to wait for.
#[derive(Debug)]
pub struct Poll(Epoll);

impl Poll {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// epoll_create(2): no descriptors or memory left.
    pub fn new() -> io::Result<Poll> {
        Ok(Poll(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Watches `fd`, which must be removed before its last copy is closed, and reports it as `token`.
    ///
    /// # Errors
    ///
    /// epoll_ctl(2): `EEXIST` if it is watched, `EPERM` if it is a plain file.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.0.add(fd, EpollEvent::new(interest.flags(), token))?)
    }

    /// Watches `fd` for something else, or under another token.
    ///
    /// # Errors
    ///
    /// epoll_ctl(2): `ENOENT` if it is not watched.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.0.modify(fd, &mut EpollEvent::new(interest.flags(), token))?)
    }

    /// Watches `fd` no longer.
    ///
    /// # Errors
    ///
    /// epoll_ctl(2): `ENOENT` if it is not watched.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.0.delete(fd)?)
    }

    /// Waits until a source is ready or `timeout` has passed, for ever without one, and puts what is
    /// ready into `events`. A very long timeout may end it early, with no events.
    ///
    /// Says whether it was interrupted. Where no signal has a handler that means that the process was
    /// stopped, or frozen, and goes on now (signal(7)).
    ///
    /// # Errors
    ///
    /// epoll_wait(2), which fails for nothing that can happen to a valid set.
    pub fn wait(&self, events: &mut Vec<Readiness>, timeout: Option<Duration>) -> io::Result<bool> {
        events.clear();
        let mut ready = [EpollEvent::empty(); EVENTS_PER_WAIT];
        let count = match self.0.wait(&mut ready, timeout.map_or(EpollTimeout::NONE, round_up)) {
            Err(Errno::EINTR) => return Ok(true),
            count => count?,
        };
        events.extend(ready.iter().take(count).map(|event| {
            let is = |flags| event.events().intersects(flags);
            let hangup = is(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
            Readiness {
                token: event.data(),
                readable: hangup || is(EpollFlags::EPOLLIN),
                writable: is(EpollFlags::EPOLLOUT),
                hangup,
            }
        }));
        Ok(false)
    }
}

/// Readable when something in the set is ready: a set can be part of another (epoll(7)).
impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

/// Up to the next whole millisecond: a wait that ended before its deadline would be repeated at once,
/// with nothing to wait for, until the deadline has come.
fn round_up(timeout: Duration) -> EpollTimeout {
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::try_from(milliseconds).unwrap_or(EpollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_wait_never_ends_before_its_deadline() {
        for (micros, milliseconds) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
            let rounded = round_up(Duration::from_micros(micros));
            assert_eq!(rounded, EpollTimeout::from(milliseconds as u16), "{micros} µs");
        }
        assert_eq!(round_up(Duration::MAX), EpollTimeout::MAX);

        let (poll, mut events) = (Poll::new().unwrap(), Vec::new());
        let deadline = now() + 1_500;
        poll.wait(&mut events, Some(Duration::from_micros(1_500))).unwrap();
        assert!(now() >= deadline);
        assert_eq!(events, []);
    }

    #[test]
    fn what_is_ready_is_reported_under_its_token() {
        let poll = Poll::new().unwrap();
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let mut events = Vec::new();
        let mut ready = |poll: &Poll| {
            poll.wait(&mut events, Some(Duration::ZERO)).unwrap();
            events.first().map(|e| (e.token, e.readable, e.writable, e.hangup))
        };

        poll.add(&here, u64::MAX, Interest::Read).unwrap();
        assert_eq!(ready(&poll), None);
        there.write_all(b"x").unwrap();
        assert_eq!(ready(&poll), Some((u64::MAX, true, false, false)));
        here.read_exact(&mut [0]).unwrap();
        assert_eq!(ready(&poll), None);
        poll.modify(&here, 7, Interest::ReadWrite).unwrap();
        assert_eq!(ready(&poll), Some((7, false, true, false)));
        poll.modify(&here, 8, Interest::Write).unwrap();
        assert_eq!(ready(&poll), Some((8, false, true, false)));
        drop(there);
        assert_eq!(ready(&poll), Some((8, true, true, true)));
        poll.remove(&here).unwrap();
        assert_eq!(ready(&poll), None);
        assert!(poll.remove(&here).is_err());
    }
}
