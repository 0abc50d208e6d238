//! One client: its buffers, where it is in its request, when its time is over.

use super::output::Output;
use super::{BACKLOG, Framed, Protocol};
use crate::poll::{Interest, Readiness};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Bytes read at once. On the stack, whose pages stay in use once they were touched.
const CHUNK: usize = 4096;

/// What a client does that may lose its place, the first to lose it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// It has sent no request.
    Silent,
    /// It gets answers without end.
    Endless,
    /// It has sent a request that was not taken, or has still to read its answer.
    Busy,
}

/// A connection.
#[derive(Debug)]
pub struct Connection<P: Protocol> {
    stream: OwnedFd,
    peer: P::Peer,
    pub trusted: bool,
    protocol: P,
    output: Output,
    step: Step<P::Request>,
    /// The client sends no more. What it has sent is still answered.
    has_ended: bool,
    /// No further request is taken.
    is_closing: bool,
    /// The client cannot read any answer.
    is_gone: bool,
    /// When the client last did what was expected of it.
    pub since: Duration,
}

/// Where a client is in its request.
#[derive(Debug)]
enum Step<Request> {
    /// Its next request is awaited, or it has still to read its last answer.
    Reading,
    /// It has sent a request that was not taken yet.
    Asked(Request),
    /// Its request was taken, and the last answer is still to come.
    Waiting { endless: bool },
    /// It was told that there is no more, and what it sends is thrown away.
    Lingering,
}

impl<P: Protocol> Connection<P> {
    pub fn new(stream: OwnedFd, peer: P::Peer, trusted: bool, now: Duration) -> Connection<P> {
        Connection {
            stream,
            peer,
            trusted,
            protocol: P::default(),
            output: Output::default(),
            step: Step::Reading,
            has_ended: false,
            is_closing: false,
            is_gone: false,
            since: now,
        }
    }

    pub fn peer(&self) -> &P::Peer {
        &self.peer
    }

    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// What the client has not read yet.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// What to wait for. Its hanging up is always waited for.
    pub fn interest(&self) -> Interest {
        if matches!(self.step, Step::Lingering) || self.may_read() {
            Interest::Read
        } else if self.output.is_empty() {
            Interest::Hangup
        } else {
            Interest::Write
        }
    }

    /// Whether the connection is still of use. A client that has gone away after its request is of use:
    /// the request may be one that wants no answer.
    pub fn is_alive(&self) -> bool {
        match self.step {
            Step::Asked(_) => true,
            Step::Reading if self.has_ended || self.is_closing => {
                !self.is_gone && !self.output.is_empty()
            }
            Step::Reading | Step::Waiting { .. } | Step::Lingering => !self.is_gone,
        }
    }

    /// Whether [`take_request`](Connection::take_request) has one.
    pub fn has_request(&self) -> bool {
        matches!(self.step, Step::Asked(_))
    }

    /// What the client does; `None` if it waits for its answer, and so keeps its place.
    pub fn activity(&self) -> Option<Activity> {
        match self.step {
            Step::Waiting { endless: true } => Some(Activity::Endless),
            Step::Waiting { endless: false } => None,
            Step::Reading if self.output.is_empty() => Some(Activity::Silent),
            Step::Reading | Step::Asked(_) | Step::Lingering => Some(Activity::Busy),
        }
    }

    /// When to close the connection, if the client does nothing until then.
    pub fn expires(&self) -> Option<Duration> {
        let bounds = P::BOUNDS;
        match self.step {
            Step::Asked(_) | Step::Waiting { .. } => None,
            Step::Lingering => Some(self.since + bounds.linger.unwrap_or_default()),
            Step::Reading if self.output.is_empty() && self.protocol.is_between_requests() => {
                Some(self.since + bounds.idle)
            }
            Step::Reading => Some(self.since + bounds.stalled),
        }
    }

    /// The client's descriptor is ready.
    pub fn ready(&mut self, event: Readiness, now: Duration) {
        if event.writable && !self.output.is_empty() {
            self.write(now);
        }
        if self.may_read() {
            self.read(now);
        } else if matches!(self.step, Step::Lingering) {
            self.discard();
        } else if event.hangup {
            self.is_gone = true;
        }
    }

    /// The client's request, if there is one that was not taken.
    pub fn take_request(&mut self, now: Duration) -> Option<P::Request> {
        match std::mem::replace(&mut self.step, Step::Waiting { endless: false }) {
            Step::Asked(request) => {
                self.since = now;
                Some(request)
            }
            step => {
                self.step = step;
                None
            }
        }
    }

    /// The request that was taken has no last answer.
    pub fn make_endless(&mut self) {
        if let Step::Waiting { endless } = &mut self.step {
            *endless = true;
        }
    }

    /// Sends the last answer to the request that was taken, and closes the connection after it if it
    /// `closes`.
    pub fn answer(&mut self, answer: &Arc<[u8]>, closes: bool, now: Duration) {
        if self.is_waiting() {
            self.step = Step::Reading;
            self.is_closing = closes;
            self.since = now;
            self.output.push(Arc::clone(answer));
            self.write(now);
        }
    }

    /// Sends an answer with others to follow, in place of those that the client has not begun to read. It
    /// may wait for the client without end: there is never more than this one.
    pub fn answer_newest(&mut self, answer: &Arc<[u8]>, now: Duration) {
        if self.is_waiting() {
            self.output.keep_begun();
            self.answer_more(answer, now);
        }
    }

    /// Sends an answer with others to follow, after those before. A client that has let too many of them
    /// come together is closed.
    pub fn answer_each(&mut self, answer: &Arc<[u8]>, now: Duration) {
        if !self.is_waiting() {
            return;
        }
        if self.output.len() > BACKLOG {
            self.lose();
        } else {
            self.answer_more(answer, now);
        }
    }

    fn answer_more(&mut self, answer: &Arc<[u8]>, now: Duration) {
        let is_blocked = !self.output.is_empty();
        self.output.push(Arc::clone(answer));
        if !is_blocked {
            self.write(now);
        }
    }

    /// Takes no further request, and closes the connection once the client has read what was sent.
    pub fn hang_up(&mut self, now: Duration) {
        if !matches!(self.step, Step::Lingering) {
            self.step = Step::Reading;
            self.is_closing = true;
            self.write(now);
        }
    }

    /// Input is left in the kernel until the request before it has been answered, and the answer read.
    fn may_read(&self) -> bool {
        matches!(self.step, Step::Reading)
            && self.output.is_empty()
            && !self.is_closing
            && !self.has_ended
    }

    fn is_waiting(&self) -> bool {
        matches!(self.step, Step::Waiting { .. })
    }

    fn read(&mut self, now: Duration) {
        let mut buffer = [0; CHUNK];
        match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // It may have closed its half only, and still read (shutdown(2)).
            Ok(0) => self.has_ended = true,
            Err(_) => self.lose(),
            Ok(length) => {
                // The time of a request counts from its first byte.
                if self.protocol.is_between_requests() {
                    self.since = now;
                }
                self.protocol.push(&buffer[..length]);
                self.frame(now);
            }
        }
    }

    /// Looks for a request in what was read.
    fn frame(&mut self, now: Duration) {
        match self.protocol.next_request() {
            Framed::Incomplete => {}
            Framed::Request(request) => {
                self.step = Step::Asked(request);
                self.since = now;
            }
            Framed::Refused(answer) => {
                self.since = now;
                self.output.push(answer.into());
                self.hang_up(now);
            }
        }
    }

    /// Sends what the client has room for.
    fn write(&mut self, now: Duration) {
        let (written, outcome) = self.output.write_to(Sender(self.stream.as_fd()));
        if written > 0 && (P::BOUNDS.progress_counts || self.output.is_empty()) {
            self.since = now;
        }
        match outcome {
            Err(error) if is_temporary(&error) => {}
            Err(_) => self.lose(),
            Ok(()) if !matches!(self.step, Step::Reading) => {}
            Ok(()) if self.is_closing => self.linger(now),
            // The client may have sent its next request already.
            Ok(()) => self.frame(now),
        }
    }

    fn linger(&mut self, now: Duration) {
        if P::BOUNDS.linger.is_some() {
            self.step = Step::Lingering;
            self.since = now;
            self.is_gone |= shutdown(self.stream.as_raw_fd(), Shutdown::Write).is_err();
        }
    }

    fn discard(&mut self) {
        let mut buffer = [0; CHUNK];
        match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) | Ok(1..) => {}
            Ok(0) | Err(_) => self.is_gone = true,
        }
    }

    /// The client gets nothing any more.
    fn lose(&mut self) {
        self.output.clear();
        self.step = Step::Reading;
        self.is_closing = true;
        self.is_gone = true;
    }
}

impl<P: Protocol> AsFd for Connection<P> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Writes without waiting, and without SIGPIPE.
struct Sender<'a>(BorrowedFd<'a>);

impl Write for Sender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        Ok(send(self.0.as_raw_fd(), bytes, flags)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
