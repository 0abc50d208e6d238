//! One client of the control socket: its buffers, where it is in its call, when its time is over.

use super::output::Output;
use super::{BACKLOG, IDLE, MESSAGE, STALLED};
use crate::sys;
use herder_wire::varlink::{self, Frames, TooLong};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Pid, Uid, getsid};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// The most groups a process can be in (`NGROUPS_MAX`, sysconf(3)).
const MOST_GROUPS: usize = 65_536;

/// Who a client is, as of when it connected (unix(7), SO_PEERCRED).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process; 0 if that lives in another pid namespace.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
    /// Its session (setsid(2)); `None` if the process cannot be seen, or is gone by now.
    pub session: Option<i32>,
}

impl Peer {
    fn of(stream: &UnixStream) -> io::Result<Peer> {
        let credentials = getsockopt(stream, sockopt::PeerCredentials)?;
        let session = session(stream, credentials.pid());
        Ok(Peer {
            pid: credentials.pid(),
            uid: credentials.uid(),
            gid: credentials.gid(),
            groups: groups(stream).unwrap_or_default(),
            session,
        })
    }

    /// Whether it runs as root or as herder's own user. A worker may, too: ask whose child it is.
    pub fn is_root_or_self(&self) -> bool {
        self.uid == 0 || self.uid == Uid::effective().as_raw()
    }

    /// Whether it is in this group.
    pub fn is_in(&self, group: u32) -> bool {
        self.gid == group || self.groups.contains(&group)
    }
}

/// SO_PEERGROUPS, since Linux 4.13 (unix(7) does not have it): `ERANGE` for more than there is room.
fn groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let read = |room: usize| {
        let mut groups = vec![0; room];
        let option = libc::SO_PEERGROUPS;
        let count = sys::socket_option(stream.as_fd(), libc::SOL_SOCKET, option, &mut groups)?;
        groups.truncate(count);
        Ok(groups)
    };
    match read(64) {
        Err(error) if is_too_short(&error) => read(MOST_GROUPS),
        groups => groups,
    }
}

fn is_too_short(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ERANGE)
}

fn session(stream: &UnixStream, pid: i32) -> Option<i32> {
    // getsid(0) would be herder's own session.
    let pid = (pid > 0).then(|| Pid::from_raw(pid))?;
    let session = getsid(Some(pid)).ok()?;
    // The number may have been given to another process since. A pidfd tells: it is readable once
    // its process has ended (pidfd_open(2)). Kernels before 6.5 have no SO_PEERPIDFD.
    if let Ok(pidfd) = getsockopt(stream, sockopt::PeerPidfd) {
        let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ended, PollTimeout::ZERO) != Ok(0) {
            return None;
        }
    }
    Some(session.as_raw())
}

/// What to poll a client for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// Until something can be read.
    pub read: bool,
    /// Until something can be written.
    pub write: bool,
}

/// What a client that may lose its place is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dispensable {
    Silent,
    Endless,
    Busy,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    peer: Peer,
    /// Set by the server when it lets the client in.
    pub(super) trusted: bool,
    input: Frames,
    output: Output,
    /// A call was taken and not answered to its end yet.
    waiting: bool,
    /// That call has no end: the client may be hung up on if its place is needed.
    pub(super) endless: bool,
    /// The client will send no more; what it has sent is still answered.
    ended: bool,
    /// No further call is taken.
    closing: bool,
    /// Nobody is left to read an answer.
    gone: bool,
    /// When the client last did what was expected of it.
    pub(super) since: Duration,
}

impl Client {
    pub(super) fn new(stream: UnixStream, now: Duration) -> io::Result<Client> {
        stream.set_nonblocking(true)?;
        Ok(Client {
            peer: Peer::of(&stream)?,
            trusted: false,
            stream,
            input: Frames::new(MESSAGE),
            output: Output::default(),
            waiting: false,
            endless: false,
            ended: false,
            closing: false,
            gone: false,
            since: now,
        })
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn interest(&self) -> Interest {
        Interest { read: self.may_read(), write: !self.output.is_empty() }
    }

    /// Whether it makes sense to keep the connection.
    pub(super) fn is_alive(&self) -> bool {
        if self.gone {
            self.has_call()
        } else if self.ended || self.closing {
            self.is_busy() || self.has_call()
        } else {
            true
        }
    }

    /// Whether [`take_call`](Client::take_call) has something to do.
    pub(super) fn has_call(&self) -> bool {
        !self.closing && !self.is_busy() && self.input.has_next()
    }

    /// How readily it loses its place to a newcomer, the readiest first: one that is silent, one whose
    /// call has no end, one that has called or has still to read. `None` if it waits for its answer.
    pub(super) fn dispensable(&self) -> Option<Dispensable> {
        match self.waiting {
            _ if self.endless => Some(Dispensable::Endless),
            true => None,
            false if self.is_busy() || self.has_call() => Some(Dispensable::Busy),
            false => Some(Dispensable::Silent),
        }
    }

    /// When to drop the client, if it does nothing until then.
    pub(super) fn expires(&self) -> Option<Duration> {
        if self.waiting || self.has_call() {
            None
        } else if self.output.is_empty() && self.input.is_empty() {
            Some(self.since + IDLE)
        } else {
            Some(self.since + STALLED)
        }
    }

    /// Takes in what can be read at once.
    pub(super) fn read(&mut self, now: Duration) {
        let mut buffer = [0; 16 * 1024];
        let outcome = if self.may_read() { self.stream.read(&mut buffer) } else { Ok(0) };
        match outcome {
            Ok(0) => {
                // A client may close its half and still read (shutdown(2)); a busy one is looked at
                // only because it may have hung up altogether.
                self.ended |= self.may_read();
                self.gone |= self.has_hung_up();
            }
            Ok(length) => {
                if self.input.is_empty() {
                    self.since = now;
                }
                self.input.push(&buffer[..length]);
            }
            Err(error) if is_temporary(&error) => {}
            Err(_) => self.gone = true,
        }
    }

    /// The next call, if its turn has come.
    pub(super) fn take_call(&mut self, now: Duration) -> Option<Vec<u8>> {
        if !self.has_call() {
            return None;
        }
        self.waiting = true;
        match self.input.next_message() {
            Ok(message) => message,
            Err(TooLong) => {
                let refusal = varlink::invalid_parameter("message longer than 64 KiB");
                self.answer(&refusal.into(), now);
                self.hang_up(now);
                None
            }
        }
    }

    /// Sends the last answer to the call that was taken.
    pub(super) fn answer(&mut self, reply: &Arc<[u8]>, now: Duration) {
        if self.waiting {
            self.waiting = false;
            self.endless = false;
            self.since = now;
            self.output.push(Arc::clone(reply));
            self.write(now);
        }
    }

    /// Sends an answer with others to follow, in place of those that the client has not begun to
    /// read. It may wait for the client as long as it takes: there is never more than this one.
    pub(super) fn answer_newest(&mut self, reply: &Arc<[u8]>, now: Duration) {
        if self.waiting {
            let blocked = !self.output.is_empty();
            self.output.keep_begun();
            self.output.push(Arc::clone(reply));
            if !blocked {
                self.write(now);
            }
        }
    }

    /// Sends an answer with others to follow, after those before. Who has let too many come together
    /// is hung up on.
    pub(super) fn answer_each(&mut self, reply: &Arc<[u8]>, now: Duration) {
        if !self.waiting {
            return;
        }
        if self.output.len() > BACKLOG {
            self.output.clear();
            self.gone = true;
            self.closing = true;
            return;
        }
        let blocked = !self.output.is_empty();
        self.output.push(Arc::clone(reply));
        if !blocked {
            self.write(now);
        }
    }

    /// Sends what the client has room for.
    pub(super) fn write(&mut self, now: Duration) {
        let (written, outcome) = self.output.write_to(&self.stream);
        if written > 0 {
            self.since = now;
        }
        if outcome.is_err_and(|error| !is_temporary(&error)) {
            self.output.clear();
            self.gone = true;
            self.closing = true;
        }
    }

    /// Takes no further call.
    pub(super) fn hang_up(&mut self, now: Duration) {
        self.waiting = false;
        self.endless = false;
        self.closing = true;
        self.write(now);
    }

    /// What it has still to take.
    pub(super) fn output(&self) -> &Output {
        &self.output
    }

    /// Input is left in the kernel while there is a call to be answered first.
    fn may_read(&self) -> bool {
        !self.closing && !self.ended && !self.is_busy() && !self.input.has_next()
    }

    fn is_busy(&self) -> bool {
        self.waiting || !self.output.is_empty()
    }

    /// POLLHUP says that neither direction is open any more (poll(2)).
    fn has_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        let hung_up = PollFlags::POLLHUP | PollFlags::POLLERR;
        poll(&mut fds, PollTimeout::ZERO).is_ok()
            && fds[0].revents().is_some_and(|events| events.intersects(hung_up))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
