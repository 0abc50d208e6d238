//! HTTP clients on any number of listening sockets, TCP and UNIX: transport and limits only.
//!
//! What is answered is for the caller, who also waits, in a loop of its own: the server is one
//! descriptor to it, readable when [`turn`](Server::turn) has something to do, because it keeps its
//! sockets in an epoll set of its own (epoll(7) sets nest).
//!
//! No client can hurt another or whoever serves them: there are so many places and no more, and who
//! wants one when all are taken gets that of the client that has been longest at what it is doing.
//! Each has its own buffers, bounded in bytes, and its time for each step.

mod client;

use super::limits::at_most;
use super::poll::{Interest, Poll};
use super::sockets::{Kind, Socket};
use client::Client;
use herder_wire::address::Address;
use herder_wire::http::{Request, Response};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::ops::Bound;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::Duration;

/// Clients at the same time, where descriptors allow.
pub const CLIENTS: usize = 32;

/// The part of the descriptors that clients may take up.
const PART: u64 = 32;

/// From the first byte of a request to the end of its head, and for taking its answer.
pub const REQUEST: Duration = Duration::from_secs(5);

/// How long a client may be silent between requests, or before its first.
pub const IDLE: Duration = Duration::from_secs(60);

/// Requests of one connection. Then it has to make another, so that nobody keeps a place for good.
pub const REQUESTS: u32 = 100;

/// Bytes of answers that nobody has taken yet, of all clients together. Beyond, who has been taking
/// longest is hung up on; the last is served, however long its answer.
pub const UNTAKEN: usize = 8 << 20;

/// Connections taken, and requests answered, in a turn.
const ACCEPTED_PER_TURN: usize = 16;
const REQUESTS_PER_TURN: usize = 4;

/// A client's number. Counts up for ever, so an answer that comes too late reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(u64);

/// A request to be answered with [`answer`](Server::answer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whom to answer. It may be gone already.
    pub client: ClientId,
    /// Through a UNIX socket, and so from this machine and from no browser.
    pub over_unix: bool,
    /// What it asks for.
    pub request: Request,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The listening sockets and their clients. `now` is always the caller's monotonic clock.
#[derive(Debug)]
pub struct Server {
    poll: Poll,
    listeners: Vec<Listener>,
    clients: BTreeMap<ClientId, Client>,
    /// How many there may be.
    most: usize,
    /// The listeners have the first numbers.
    next: u64,
    /// Who had its turn last.
    last: ClientId,
    /// A descriptor to give up when there are no more, so that a connection can be taken and
    /// closed. Left in the queue it would wake the loop again at once, for ever.
    spare: Option<File>,
}

impl Server {
    /// Serves these listening sockets.
    ///
    /// # Errors
    ///
    /// `InvalidInput` with a sentence if one of them is no listening stream socket; else what
    /// epoll(7) objects to.
    pub fn on(sockets: Vec<Socket>) -> io::Result<Server> {
        let poll = Poll::new()?;
        let listeners: Vec<Listener> =
            sockets.into_iter().map(Listener::of).collect::<io::Result<_>>()?;
        for (number, listener) in (0..).zip(&listeners) {
            poll.add(listener, number, Interest::Read)?;
        }
        let next = listeners.len() as u64;
        let (clients, most, last) = (BTreeMap::new(), places(), ClientId(0));
        Ok(Server { poll, listeners, clients, most, next, last, spare: spare() })
    }

    /// Waits until [`turn`](Server::turn) has something to do, for a loop that has nothing else.
    ///
    /// # Errors
    ///
    /// epoll_wait(2), which fails for nothing that can happen.
    pub fn wait(&self, now: Duration) -> io::Result<()> {
        let timeout = self.deadline().map(|at| at.saturating_sub(now));
        self.poll.wait(&mut Vec::new(), timeout).map(drop)
    }

    /// Takes new clients, reads, writes, drops those whose time is over; the requests to answer: a
    /// bounded number, one of each client. To be called when the descriptor is readable, and at
    /// the [`deadline`](Server::deadline).
    pub fn turn(&mut self, now: Duration) -> Vec<Call> {
        let mut ready = Vec::new();
        // Fails for nothing that can happen to a valid set.
        let _ = self.poll.wait(&mut ready, Some(Duration::ZERO));
        for event in ready {
            match usize::try_from(event.token).ok().filter(|&index| index < self.listeners.len()) {
                Some(index) => self.accept(index, now),
                None => self.step(ClientId(event.token), |client| client.ready(event, now)),
            }
        }
        self.clients.retain(|_, client| client.expires().is_none_or(|then| now < then));
        // In turns, or those who came first could keep the others waiting.
        let after = self.clients.range((Bound::Excluded(self.last), Bound::Unbounded));
        let before = self.clients.range(..=self.last);
        let asking = after.chain(before).filter(|(_, client)| client.has_request());
        let asking: Vec<ClientId> = asking.take(REQUESTS_PER_TURN).map(|(&id, _)| id).collect();
        let calls = asking.into_iter().filter_map(|id| {
            self.last = id;
            let client = self.clients.get_mut(&id)?;
            let request = client.take_request(now)?;
            Some(Call { client: id, over_unix: client.over_unix, request })
        });
        calls.collect()
    }

    /// Answers a client's request. The client may be gone.
    pub fn answer(&mut self, id: ClientId, response: &Response, now: Duration) {
        self.step(id, |client| client.answer(response, now));
        while self.clients.values().map(Client::untaken).sum::<usize>() > UNTAKEN {
            let others = self.clients.iter().filter(|(other, _)| **other != id);
            let slow = others.filter(|(_, client)| client.untaken() > 0);
            let Some(slowest) = slow.min_by_key(|(_, client)| client.since).map(|(&id, _)| id)
            else {
                return;
            };
            self.clients.remove(&slowest);
        }
    }

    /// When to call [`turn`](Server::turn), even if the descriptor is not readable.
    pub fn deadline(&self) -> Option<Duration> {
        if self.clients.values().any(Client::has_request) {
            return Some(Duration::ZERO);
        }
        self.clients.values().filter_map(Client::expires).min()
    }

    fn accept(&mut self, index: usize, now: Duration) {
        for _ in 0..ACCEPTED_PER_TURN {
            match self.listeners[index].accept() {
                Ok(stream) => self.admit(stream, index, now),
                Err(error) if is_out_of_descriptors(&error) => {
                    self.spare = None;
                    drop(self.listeners[index].accept());
                    self.spare = spare();
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What was wrong with this connection (accept(2)); the next may be fine.
                Err(_) => {}
            }
        }
    }

    fn admit(&mut self, stream: OwnedFd, index: usize, now: Duration) {
        if self.clients.len() >= self.most {
            let longest = self.clients.iter().min_by_key(|(_, client)| client.since);
            if let Some(&longest) = longest.map(|(id, _)| id) {
                self.clients.remove(&longest);
            }
        }
        let id = ClientId(self.next);
        self.next += 1;
        if self.poll.add(&stream, id.0, Interest::Read).is_ok() {
            let over_unix = matches!(self.listeners[index], Listener::Unix(_));
            self.clients.insert(id, Client::new(stream, over_unix, now));
        }
    }

    /// Lets a client do something, and watches it for what is next.
    fn step(&mut self, id: ClientId, step: impl FnOnce(&mut Client)) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        step(client);
        match client.interest() {
            Some(interest) => {
                // Fails only for a descriptor that is not watched, and these are.
                let _ = self.poll.modify(&*client, id.0, interest);
            }
            // With the only copy of its descriptor, it leaves the set.
            None => drop(self.clients.remove(&id)),
        }
    }
}

/// Readable when there is something to do.
impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

impl Listener {
    fn of(socket: Socket) -> io::Result<Listener> {
        let is_unix = matches!(socket.address, Some(Address::Unix(_) | Address::Abstract(_)));
        let is_inet = matches!(socket.address, Some(Address::Inet(_)));
        if socket.kind != Kind::Listener || !(is_unix || is_inet) {
            let text = format!("{socket} is no TCP or UNIX socket that listens: use ListenStream=");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if is_unix {
            let listener = UnixListener::from(socket.fd);
            listener.set_nonblocking(true)?;
            return Ok(Listener::Unix(listener));
        }
        let listener = TcpListener::from(socket.fd);
        listener.set_nonblocking(true)?;
        Ok(Listener::Tcp(listener))
    }

    fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Listener::Tcp(listener) => listener.accept().map(|(stream, _)| stream.into()),
            Listener::Unix(listener) => listener.accept().map(|(stream, _)| stream.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
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
    at_most(CLIENTS, PART)
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests;
