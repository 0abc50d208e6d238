//! HTTP clients on any number of listening sockets, TCP and UNIX.
//!
//! Framing, and the limits of this server. The mechanism is that of [`clients`]. What is
//! answered is decided by the caller.
//!
//! No client can hurt another or the process that serves them: when all places are taken, a newcomer gets
//! that of the client that has been longest at what it is doing. Clients that come over TCP cannot be told
//! apart, so a silent one keeps its place as long as one that reads slowly: else many slow readers would
//! lock out every newcomer that has not sent its request yet.

pub use crate::clients::ClientId;

use crate::clients::{self, Bounds, Framed, Listener, Protocol};
use crate::sockets::Socket;
use herder_wire::http::{Parsed, Request, Response, parse};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Clients at the same time, where descriptors allow.
pub const CLIENTS: usize = 32;

/// From the first byte of a request to the end of its head, and for reading its answer.
pub const REQUEST: Duration = Duration::from_secs(5);

/// How long a client may be silent between requests, or before its first.
pub const IDLE: Duration = Duration::from_secs(60);

/// Requests of one connection. Then the client has to connect again, so that none keeps a place for good.
pub const REQUESTS: u32 = 100;

/// A request to be answered with [`answer`](Server::answer).
pub type Call = clients::Call<Peer, Request>;

/// The listening sockets and their clients.
pub type Server = clients::Server<Requests>;

/// What is known of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// It came through a UNIX socket, and so from this machine and from no browser.
    pub over_unix: bool,
}

/// Takes requests out of what one client sends.
#[derive(Debug)]
pub struct Requests {
    input: Vec<u8>,
    /// Requests that the client may still send.
    left: u32,
    /// What the request before asks for: an answer without its body.
    head_only: bool,
    /// The connection is kept after the answer.
    keep_alive: bool,
}

impl Default for Requests {
    fn default() -> Requests {
        Requests { input: Vec::new(), left: REQUESTS, head_only: false, keep_alive: false }
    }
}

impl Protocol for Requests {
    type Peer = Peer;
    type Request = Request;

    const BOUNDS: Bounds = Bounds {
        clients: CLIENTS,
        reserved: 0,
        descriptors: 32,
        requests_per_turn: 4,
        stalled: REQUEST,
        progress_counts: false,
        idle: IDLE,
        linger: Some(Duration::from_secs(1)),
        silent_first: false,
    };

    fn peer(_: BorrowedFd<'_>, listener: &Listener) -> io::Result<Peer> {
        Ok(Peer { over_unix: listener.is_unix() })
    }

    fn user(_: &Peer) -> Option<u32> {
        None
    }

    fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    fn next_request(&mut self) -> Framed<Request> {
        match parse(&self.input) {
            Parsed::Incomplete => Framed::Incomplete,
            Parsed::Complete(request, length) => {
                self.input.drain(..length);
                self.left -= 1;
                self.head_only = request.head_only;
                self.keep_alive = request.keep_alive && self.left > 0;
                Framed::Request(request)
            }
            Parsed::Refused(response) => {
                self.input = Vec::new();
                Framed::Refused(response.to_bytes(false, false))
            }
        }
    }

    fn is_between_requests(&self) -> bool {
        self.input.is_empty()
    }
}

impl Server {
    /// Serves these sockets.
    ///
    /// # Errors
    ///
    /// `InvalidInput` with a sentence if one of them is no listening stream socket; else what epoll(7)
    /// objects to.
    pub fn serving(sockets: Vec<Socket>) -> io::Result<Server> {
        Server::on(sockets.into_iter().map(Listener::of).collect::<io::Result<_>>()?)
    }

    /// Accepts new clients, reads, writes, closes those whose time is over. The requests to answer: a
    /// bounded number, one of each client. To be called when the descriptor is readable, and at the
    /// [`deadline`](Server::deadline).
    pub fn turn(&mut self, now: Duration) -> Vec<Call> {
        self.advance(now, &|_| false);
        self.expire(now);
        self.calls(now)
    }

    /// Answers a client's request. The client may be gone.
    pub fn answer(&mut self, id: ClientId, response: &Response, now: Duration) {
        self.send_framed(id, now, |requests| {
            (response.to_bytes(requests.head_only, requests.keep_alive), !requests.keep_alive)
        });
        self.bound_unread();
    }
}

/// The names by which others may know this machine: its host name, with and without its domain, and
/// with the domains that names are completed with (resolv.conf(5)).
pub fn names_of_this_machine() -> Vec<String> {
    let name = nix::sys::utsname::uname()
        .ok()
        .and_then(|system| Some(system.nodename().to_str()?.to_owned()))
        .unwrap_or_default();
    let resolver = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    names(&name, &resolver)
}

fn names(name: &str, resolver: &str) -> Vec<String> {
    let (short, _) = name.split_once('.').unwrap_or((name, ""));
    if short.is_empty() {
        return Vec::new();
    }
    let lines = resolver.lines().map(|line| line.split_ascii_whitespace());
    let searched = lines
        .filter_map(|mut words| matches!(words.next(), Some("search" | "domain")).then_some(words));
    let searched = searched.flatten().map(|domain| domain.trim_matches('.'));
    let complete = searched.filter(|domain| !domain.is_empty());
    let complete = complete.map(|domain| format!("{short}.{domain}"));
    [name.to_owned(), short.to_owned()].into_iter().chain(complete).collect()
}

/// How many clients there may be at the same time.
pub fn places() -> usize {
    Requests::BOUNDS.places()
}

#[cfg(test)]
mod tests;
