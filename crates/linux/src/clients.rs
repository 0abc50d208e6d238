//! A non-blocking server for many clients on any number of listening sockets.
//!
//! [`Server`] owns everything that does not depend on the protocol: accepting, the bound on clients and
//! which client is closed when it is reached, deadlines, output buffers and their bound. A [`Protocol`]
//! supplies the framing (bytes in, requests out) and its [`Bounds`]. What a request means, and which
//! client may send it, is decided by the caller.
//!
//! The caller also does the waiting, in a loop of its own. For that loop the server is one descriptor: it
//! keeps its sockets in an epoll set, and a set can be part of another (epoll(7)).
//!
//! One request at a time is taken from each client, the next when that one has been answered. So replies
//! come in order, and a client can neither crowd out the others nor make the server hoard replies.
//!
//! A request may have several answers, and may have no last one: then what a slow client has not read is
//! replaced by the newest ([`send_newest`](Server::send_newest)), or kept up to a bound
//! ([`send_each`](Server::send_each)). A message for many clients is stored once.

mod connection;
mod listener;
mod output;

pub use listener::Listener;

use super::limits::at_most;
use super::poll::{Interest, Poll};
use connection::Connection;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of answers that clients have not read yet, of all clients of a server together. Beyond this, the
/// client that has stalled longest is closed; the last one is served, however long its answer.
pub const UNREAD: usize = 8 << 20;

/// Bytes that may wait for a client which is sent each of many messages: as much as a few hundred workers
/// that are all replaced at once make, while the client does not run.
pub const BACKLOG: usize = 512 * 1024;

/// Connections accepted in a turn, of each listening socket.
const ACCEPTED_PER_TURN: usize = 16;

/// The framing of a protocol for one client, and what else differs between servers.
pub trait Protocol: Default + fmt::Debug {
    /// What is known of a client from its connection.
    type Peer: Clone + fmt::Debug;

    /// What clients send.
    type Request: fmt::Debug;

    /// The numbers and times by which the clients are served.
    const BOUNDS: Bounds;

    /// What is known of the client at the other end of `stream`, which `listener` has accepted.
    ///
    /// # Errors
    ///
    /// The connection is closed.
    fn peer(stream: BorrowedFd<'_>, listener: &Listener) -> io::Result<Self::Peer>;

    /// The user to which the places of this client are counted, where that is known.
    fn user(peer: &Self::Peer) -> Option<u32>;

    /// Takes in bytes that the client has sent.
    fn push(&mut self, bytes: &[u8]);

    /// Takes the next request out of the bytes so far. Called until it says [`Framed::Incomplete`], but
    /// not before the request before has been answered.
    fn next_request(&mut self) -> Framed<Self::Request>;

    /// Whether no part of a request waits to be completed.
    fn is_between_requests(&self) -> bool;
}

/// What the bytes of a client amount to.
#[derive(Debug)]
pub enum Framed<Request> {
    /// No request yet.
    Incomplete,
    /// A request to be answered.
    Request(Request),
    /// Bytes that cannot be served: this is sent, and the connection closed.
    Refused(Vec<u8>),
}

/// The numbers and times by which the clients of a server are served.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Clients at the same time, where descriptors allow.
    pub clients: usize,
    /// Places among them that only trusted clients get; of fewer clients, a quarter at most.
    pub reserved: usize,
    /// Clients take up at most one in so many of the descriptors that this process may have.
    pub descriptors: u64,
    /// Requests taken in a turn.
    pub requests_per_turn: usize,
    /// The time from the first byte of a request to its last, and for reading an answer.
    pub stalled: Duration,
    /// Whether the time for reading an answer starts again with each part that is read.
    pub progress_counts: bool,
    /// How long a client may be silent that waits for nothing.
    pub idle: Duration,
    /// How long a client is listened to that was told that there is no more. What it sends is thrown
    /// away: if TCP is closed with something unread, it takes back what the client has not read yet
    /// (tcp(7), RST). `None` where closing loses nothing.
    pub linger: Option<Duration>,
    /// Whether silent clients lose their place before those with a request or an answer.
    pub silent_first: bool,
}

impl Bounds {
    /// How many clients there may be at the same time.
    pub fn places(&self) -> usize {
        at_most(self.clients, self.descriptors)
    }
}

/// A client's number. Numbers count up and are never used again, so a late answer reaches no other client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// A request from a client, to be answered or hung up on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<Peer, Request> {
    /// The client to answer. It may be gone already.
    pub client: ClientId,
    /// What is known of it.
    pub peer: Peer,
    /// Whether it was trusted when it connected.
    pub was_trusted: bool,
    /// What it has sent.
    pub request: Request,
}

/// The listening sockets and their clients. `now` is always the caller's monotonic clock.
#[derive(Debug)]
pub struct Server<P: Protocol> {
    poll: Poll,
    listeners: Vec<Listener>,
    clients: BTreeMap<ClientId, Connection<P>>,
    /// How many clients there may be.
    places: usize,
    next: u64,
    /// The client whose request was taken last. The next turn begins with the one after it.
    last_called: ClientId,
    /// A descriptor to give up when there are no more, so that a connection can be accepted and closed.
    /// Left in the queue, the connection would wake the loop again at once, without end.
    spare: Option<File>,
}

impl<P: Protocol> Server<P> {
    /// Serves these listening sockets.
    ///
    /// # Errors
    ///
    /// epoll_create(2) and epoll_ctl(2): no descriptors or memory left.
    pub fn on(listeners: Vec<Listener>) -> io::Result<Server<P>> {
        let mut server = Server {
            poll: Poll::new()?,
            listeners: Vec::new(),
            clients: BTreeMap::new(),
            places: P::BOUNDS.places(),
            next: 0,
            last_called: ClientId(0),
            spare: open_spare(),
        };
        for listener in listeners {
            server.add(listener)?;
        }
        Ok(server)
    }

    /// Serves this listening socket, too.
    ///
    /// # Errors
    ///
    /// epoll_ctl(2): no memory left.
    pub fn add(&mut self, listener: Listener) -> io::Result<()> {
        self.poll.add(&listener, token_of(self.listeners.len()), Interest::Read)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// Waits until [`advance`](Server::advance) has something to do, for a loop that has nothing else.
    ///
    /// # Errors
    ///
    /// epoll_wait(2), which fails for nothing that can happen to a valid set.
    pub fn wait(&self, now: Duration) -> io::Result<()> {
        let timeout = self.deadline().map(|at| at.saturating_sub(now));
        self.poll.wait(&mut Vec::new(), timeout).map(drop)
    }

    /// Reads and writes what is ready, and accepts new clients. To be called when the descriptor is
    /// readable. Clients that are `trusted` get the reserved places.
    pub fn advance(&mut self, now: Duration, trusted: &dyn Fn(&P::Peer) -> bool) {
        let mut ready = Vec::new();
        // Fails for nothing that can happen to a valid set.
        let _ = self.poll.wait(&mut ready, Some(Duration::ZERO));
        // Clients first: one that has just sent a request does not lose its place as a silent one.
        ready.sort_by_key(|event| self.listener_of(event.token));
        for event in ready {
            match self.listener_of(event.token) {
                None => self.step(ClientId(event.token), |client| client.ready(event, now)),
                Some(index) => self.accept(index, now, trusted),
            }
        }
    }

    fn listener_of(&self, token: u64) -> Option<usize> {
        let index = usize::try_from(u64::MAX - token).ok()?;
        (index < self.listeners.len()).then_some(index)
    }

    fn accept(&mut self, index: usize, now: Duration, trusted: &dyn Fn(&P::Peer) -> bool) {
        for _ in 0..ACCEPTED_PER_TURN {
            let listener = &self.listeners[index];
            match listener.accept() {
                Ok(stream) => {
                    // A connection that has no peer any more is dropped.
                    if let Ok(peer) = P::peer(stream.as_fd(), listener) {
                        let trusted = trusted(&peer);
                        self.admit(stream, peer, trusted, now);
                    }
                }
                Err(error) if is_out_of_descriptors(&error) => {
                    self.spare = None;
                    drop(listener.accept());
                    self.spare = open_spare();
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What was wrong with this connection (accept(2)); the next may be fine.
                Err(_) => {}
            }
        }
    }

    fn admit(&mut self, stream: OwnedFd, peer: P::Peer, trusted: bool, now: Duration) {
        if !self.has_place(trusted) {
            let Some(other) = self.dispensable(trusted) else { return };
            self.clients.remove(&other);
        }
        let id = ClientId(self.next);
        self.next += 1;
        let client = Connection::new(stream, peer, trusted, now);
        if self.poll.add(&client, id.0, client.interest()).is_ok() {
            self.clients.insert(id, client);
        }
    }

    fn has_place(&self, trusted: bool) -> bool {
        let strangers = self.clients.values().filter(|client| !client.trusted).count();
        let reserved = P::BOUNDS.reserved.min(self.places / 4);
        self.clients.len() < self.places && (trusted || strangers < self.places - reserved)
    }

    /// The client that loses its place to a newcomer. Strangers lose theirs first, and a stranger gets
    /// only a stranger's. The user with most places loses one, so a user that takes many places takes
    /// them from itself in the end.
    fn dispensable(&self, for_trusted: bool) -> Option<ClientId> {
        let holder = |client: &Connection<P>| (client.trusted, P::user(client.peer()));
        let mut places = BTreeMap::new();
        for client in self.clients.values() {
            *places.entry(holder(client)).or_insert(0) += 1;
        }
        let candidates = self.clients.iter().filter(|(_, client)| for_trusted || !client.trusted);
        let rank = |client: &Connection<P>| {
            let activity = client.activity()?;
            let activity = P::BOUNDS.silent_first.then_some(activity);
            Some((client.trusted, Reverse(places[&holder(client)]), activity, client.since))
        };
        let ranked = candidates.filter_map(|(&id, client)| Some((rank(client)?, id)));
        ranked.min().map(|(_, id)| id)
    }

    /// The requests to answer: a bounded number in a turn, at most one of each client, and none of a
    /// client that waits for an answer. To be called in every turn; [`deadline`](Server::deadline) sees
    /// to it that one comes.
    pub fn calls(&mut self, now: Duration) -> Vec<Call<P::Peer, P::Request>> {
        let calling =
            |(id, client): (&ClientId, &Connection<P>)| client.has_request().then_some(*id);
        let mut ids: Vec<ClientId> = self.clients.iter().filter_map(calling).collect();
        let first = ids.partition_point(|id| *id <= self.last_called);
        ids.rotate_left(first);
        ids.truncate(P::BOUNDS.requests_per_turn);
        self.last_called = ids.last().copied().unwrap_or(self.last_called);
        let mut calls = Vec::new();
        for id in ids {
            self.step(id, |client| {
                let request = client.take_request(now);
                let (peer, was_trusted) = (client.peer().clone(), client.trusted);
                let call = |request| Call { client: id, peer, was_trusted, request };
                calls.extend(request.map(call));
            });
        }
        calls
    }

    /// The client's request has no last answer. The client may be closed if its place is needed.
    pub fn make_endless(&mut self, id: ClientId) {
        self.step(id, Connection::make_endless);
    }

    /// Sends the client an answer with others to follow, in place of those it has not begun to read. A
    /// client that is slow, or does not read at all, costs no more than this.
    pub fn send_newest(&mut self, id: ClientId, answer: &Arc<[u8]>, now: Duration) {
        self.step(id, |client| client.answer_newest(answer, now));
    }

    /// Sends the client an answer with others to follow, after those before. If more than [`BACKLOG`]
    /// waits for the client already, it is closed.
    pub fn send_each(&mut self, id: ClientId, answer: &Arc<[u8]>, now: Duration) {
        self.step(id, |client| client.answer_each(answer, now));
    }

    /// Answers the client's request, for the last time; with no bytes if the request wanted none. The
    /// client may be gone.
    pub fn send(&mut self, id: ClientId, answer: &[u8], now: Duration) {
        self.send_shared(id, &Arc::from(answer), now);
    }

    /// The same, with an answer that other clients get, too.
    pub fn send_shared(&mut self, id: ClientId, answer: &Arc<[u8]>, now: Duration) {
        self.step(id, |client| client.answer(answer, false, now));
    }

    /// The same, with an answer that depends on what the client has asked for, and whether the connection
    /// is closed after it.
    pub(super) fn send_framed(
        &mut self,
        id: ClientId,
        now: Duration,
        answer: impl FnOnce(&P) -> (Vec<u8>, bool),
    ) {
        self.step(id, |client| {
            let (answer, closes) = answer(client.protocol());
            client.answer(&answer.into(), closes, now);
        });
    }

    /// Closes the connection once the client has read what was sent.
    pub fn hang_up(&mut self, id: ClientId, now: Duration) {
        self.step(id, |client| client.hang_up(now));
    }

    /// Closes the clients whose time is over, and the slowest of those that together have left more than
    /// [`UNREAD`] unread.
    pub fn expire(&mut self, now: Duration) {
        self.clients.retain(|_, client| client.expires().is_none_or(|then| now < then));
        self.bound_unread();
    }

    pub(super) fn bound_unread(&mut self) {
        while self.unread() > UNREAD {
            let reading = || self.clients.iter().filter(|(_, client)| !client.output().is_empty());
            // Strangers first: they must not cost the operator anything.
            let slowest = reading().min_by_key(|(_, client)| (client.trusted, client.since));
            let Some((&slowest, _)) = slowest.filter(|_| reading().count() > 1) else { return };
            self.clients.remove(&slowest);
        }
    }

    /// How many bytes clients have not read yet. A message for many clients is stored once, and counted once.
    fn unread(&self) -> usize {
        let messages = self.clients.values().flat_map(|client| client.output().messages());
        let each: BTreeMap<*const u8, usize> =
            messages.map(|message| (message.as_ptr(), message.len())).collect();
        each.values().sum()
    }

    /// When to call [`calls`](Server::calls) and [`expire`](Server::expire), even if nothing is ready.
    pub fn deadline(&self) -> Option<Duration> {
        if self.clients.values().any(Connection::has_request) {
            return Some(Duration::ZERO);
        }
        self.clients.values().filter_map(Connection::expires).min()
    }

    /// Whether the client is still connected.
    pub fn has(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    /// How many clients are connected.
    #[cfg(test)]
    pub(super) fn connected(&self) -> usize {
        self.clients.len()
    }

    /// The newest client that was accepted and is still connected.
    #[cfg(test)]
    pub(super) fn newest(&self) -> Option<ClientId> {
        self.clients.keys().next_back().copied()
    }

    /// Lets a client do something, and watches it for what can happen next.
    fn step(&mut self, id: ClientId, step: impl FnOnce(&mut Connection<P>)) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let before = client.interest();
        step(client);
        if !client.is_alive() {
            // With the only copy of its descriptor, it leaves the set (epoll(7)).
            self.clients.remove(&id);
        } else if client.interest() != before {
            // Fails only for a descriptor that is not watched, and these are.
            let _ = self.poll.modify(&*client, id.0, client.interest());
        }
    }
}

/// Readable when there is something to do.
impl<P: Protocol> AsFd for Server<P> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

/// Clients' tokens are their numbers, which begin at 0; those of listening sockets end at the top.
fn token_of(listener: usize) -> u64 {
    u64::MAX - listener as u64
}

fn open_spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests;
