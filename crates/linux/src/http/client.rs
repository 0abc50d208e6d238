//! One client: its buffers, where it is in its request, when its time is over.

use super::{IDLE, REQUEST, REQUESTS};
use crate::poll::{Event, Interest};
use herder_wire::http::{HEAD, Parsed, Request, Response, parse};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Bytes taken in at once.
const CHUNK: usize = 4096;

/// How long a client is listened to that is hung up on.
const LINGER: Duration = Duration::from_secs(1);

/// A connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: OwnedFd,
    pub(super) over_unix: bool,
    /// What it has sent and nobody has looked at: at most a head and a chunk.
    input: Vec<u8>,
    output: Vec<u8>,
    /// How much of the output it has taken.
    taken: usize,
    /// Requests it may still send.
    left: u32,
    step: Step,
    /// When it came to this step.
    pub(super) since: Duration,
}

/// Where a client is.
#[derive(Debug)]
enum Step {
    /// It has sent nothing since it was answered, or came.
    Idle,
    /// It has sent a part of a request.
    Asking,
    /// It has sent a request.
    Asked(Request),
    /// Its request is being answered.
    Waiting { head_only: bool, keep_alive: bool },
    /// It takes its answer.
    Taking { keep_alive: bool },
    /// It was told that there is no more. What it sends is thrown away: closed with something unread,
    /// TCP would take back what it has not read yet (tcp(7), RST).
    Lingering,
    /// There is nobody any more.
    Gone,
}

impl Client {
    pub(super) fn new(stream: OwnedFd, over_unix: bool, now: Duration) -> Client {
        Client {
            stream,
            over_unix,
            input: Vec::new(),
            output: Vec::new(),
            taken: 0,
            left: REQUESTS,
            step: Step::Idle,
            since: now,
        }
    }

    /// What to wait for; `None` if there is nobody.
    pub(super) fn interest(&self) -> Option<Interest> {
        match self.step {
            Step::Idle | Step::Asking | Step::Lingering => Some(Interest::Read),
            Step::Asked(_) | Step::Waiting { .. } => Some(Interest::Hangup),
            Step::Taking { .. } => Some(Interest::Write),
            Step::Gone => None,
        }
    }

    /// When its time is over.
    pub(super) fn expires(&self) -> Option<Duration> {
        match self.step {
            Step::Idle => Some(self.since + IDLE),
            Step::Asking | Step::Taking { .. } => Some(self.since + REQUEST),
            Step::Lingering => Some(self.since + LINGER),
            Step::Asked(_) | Step::Waiting { .. } => None,
            Step::Gone => Some(self.since),
        }
    }

    pub(super) fn has_request(&self) -> bool {
        matches!(self.step, Step::Asked(_))
    }

    /// Bytes of its answer that it has not taken.
    pub(super) fn untaken(&self) -> usize {
        self.output.len() - self.taken
    }

    /// Its descriptor is ready.
    pub(super) fn ready(&mut self, event: Event, now: Duration) {
        match self.step {
            Step::Idle | Step::Asking => self.read(now),
            Step::Lingering => self.discard(now),
            Step::Taking { .. } => self.write(now),
            // Only its hanging up is waited for.
            Step::Asked(_) | Step::Waiting { .. } if event.hangup => self.enter(Step::Gone, now),
            Step::Asked(_) | Step::Waiting { .. } | Step::Gone => {}
        }
    }

    pub(super) fn take_request(&mut self, now: Duration) -> Option<Request> {
        let waiting = |request: &Request, left: u32| Step::Waiting {
            head_only: request.head_only,
            keep_alive: request.keep_alive && left > 0,
        };
        match std::mem::replace(&mut self.step, Step::Gone) {
            Step::Asked(request) => {
                self.left -= 1;
                self.enter(waiting(&request, self.left), now);
                Some(request)
            }
            step => {
                self.step = step;
                None
            }
        }
    }

    pub(super) fn answer(&mut self, response: &Response, now: Duration) {
        if let Step::Waiting { head_only, keep_alive } = self.step {
            self.send(response, head_only, keep_alive, now);
        }
    }

    fn send(&mut self, response: &Response, head_only: bool, keep_alive: bool, now: Duration) {
        self.output = response.to_bytes(head_only, keep_alive);
        self.taken = 0;
        self.enter(Step::Taking { keep_alive }, now);
        self.write(now);
    }

    fn read(&mut self, now: Duration) {
        let mut buffer = [0; CHUNK];
        match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(0) | Err(_) => self.enter(Step::Gone, now),
            Ok(length) => {
                self.input.extend_from_slice(&buffer[..length]);
                self.parse(now);
            }
        }
    }

    /// Looks for a request in what has been sent.
    fn parse(&mut self, now: Duration) {
        debug_assert!(self.input.len() <= HEAD + CHUNK, "more is not read");
        match parse(&self.input) {
            Parsed::Incomplete if self.input.is_empty() => self.enter(Step::Idle, now),
            Parsed::Incomplete => {
                // The time of a request counts from its first byte.
                if !matches!(self.step, Step::Asking) {
                    self.enter(Step::Asking, now);
                }
            }
            Parsed::Complete(request, length) => {
                self.input.drain(..length);
                self.enter(Step::Asked(request), now);
            }
            Parsed::Refused(response) => {
                self.input = Vec::new();
                self.send(&response, false, false, now);
            }
        }
    }

    fn write(&mut self, now: Duration) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        while self.untaken() > 0 {
            match send(self.stream.as_raw_fd(), &self.output[self.taken..], flags) {
                Ok(length) => self.taken += length,
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(_) => return self.enter(Step::Gone, now),
            }
        }
        // A long answer must not leave its memory behind.
        self.output = Vec::new();
        self.taken = 0;
        if matches!(self.step, Step::Taking { keep_alive: true }) {
            // It may have sent its next request already.
            self.step = Step::Idle;
            return self.parse(now);
        }
        self.input = Vec::new();
        match shutdown(self.stream.as_raw_fd(), Shutdown::Write) {
            Ok(()) => self.enter(Step::Lingering, now),
            Err(_) => self.enter(Step::Gone, now),
        }
    }

    fn discard(&mut self, now: Duration) {
        let mut buffer = [0; CHUNK];
        match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN | Errno::EINTR) | Ok(1..) => {}
            Ok(0) | Err(_) => self.enter(Step::Gone, now),
        }
    }

    fn enter(&mut self, step: Step, now: Duration) {
        self.step = step;
        self.since = now;
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
