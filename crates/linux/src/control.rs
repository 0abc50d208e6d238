//! The control socket: a UNIX stream socket, its clients, their limits. Transport only.
//!
//! Who may do what, and what a message means, is for the caller, who also does the polling. One
//! call at a time is taken from each client, the next when it has been answered: Varlink's replies
//! come in order, and so a client can neither crowd out others nor make herder hoard replies.
//!
//! A call that wants it has several answers, and may have no end: then what is not read is replaced
//! by the newest ([`send_newest`](Server::send_newest)), or kept up to a bound
//! ([`send_each`](Server::send_each)). A message for many is there once.
//!
//! No client can hurt another: each has its own buffers, bounded in bytes and time, and the last
//! [`RESERVED`] places are kept for those the caller trusts. When all are taken, whoever has most of
//! them gives up one: that of its client that has been silent longest, or else has not read longest.

mod client;
mod output;

pub use client::{Interest, Peer};

use super::limits::at_most;
use client::Client;
use nix::sys::socket::{SockType, UnixAddr, getsockname, getsockopt, sockopt};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Clients at the same time, where descriptors allow: they get an eighth of those at most.
pub const CLIENTS: usize = 256;

/// Places among them that only trusted clients get; of fewer clients, a quarter.
pub const RESERVED: usize = 64;

/// The part of the descriptors that clients may take up.
const PART: u64 = 8;

/// The longest message taken, in bytes.
pub const MESSAGE: usize = 64 * 1024;

/// From the first byte of a message to its last, and between two steps of a client that reads its reply.
pub const STALLED: Duration = Duration::from_secs(10);

/// How long a client may be silent that waits for nothing.
pub const IDLE: Duration = Duration::from_secs(60);

/// What may wait for a client that is sent each of many messages, in bytes: as much as a few hundred
/// workers that are all replaced at once make, while the client does not run.
pub const BACKLOG: usize = 512 * 1024;

/// Bytes of answers that nobody has taken yet, of all clients together. Beyond, who has been taking longest
/// is hung up on; the last is served, however long its answer.
pub const UNTAKEN: usize = 8 << 20;

/// Connections taken in a turn, of each listening socket.
const ACCEPTED_PER_TURN: usize = 16;

/// Calls taken in a turn.
const CALLS_PER_TURN: usize = 16;

/// A client's number. Counts up for ever, so an answer that comes too late reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// A message from a client, to be answered with [`send`](Server::send) or [`hang_up`](Server::hang_up).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whom to answer. It may be gone already.
    pub client: ClientId,
    /// Who that is.
    pub peer: Peer,
    /// It was trusted when it connected.
    pub was_trusted: bool,
    /// What it sent, without the NUL.
    pub message: Vec<u8>,
}

/// The listening sockets and their clients. `now` is always the caller's monotonic clock.
#[derive(Debug)]
pub struct Server {
    /// The first is its own, the others are somebody else's.
    listeners: Vec<UnixListener>,
    /// Where its own is, to be removed in the end.
    path: PathBuf,
    clients: BTreeMap<ClientId, Client>,
    /// How many there may be.
    most: usize,
    next: u64,
    /// Whose call was taken last: the others come first.
    last_called: ClientId,
    /// A descriptor to give up when there are no more, so that a connection can be taken and
    /// closed. Left in the queue it would wake the loop again at once, for ever.
    spare: Option<File>,
}

impl Server {
    /// Listens at `path`. A socket file left there by a dead herder is removed: the caller holds
    /// the lock on the directory, so nobody alive owns it.
    pub fn listen(path: &Path) -> io::Result<Server> {
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => {
                let text = format!("{} is in the way and is not a socket", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        // Everybody may connect; what they may do is decided by their credentials.
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
        listener.set_nonblocking(true)?;
        Ok(Server {
            listeners: vec![listener],
            path: path.to_owned(),
            clients: BTreeMap::new(),
            most: places(),
            next: 0,
            last_called: ClientId(0),
            spare: open_spare(),
        })
    }

    /// Serves a listening UNIX stream socket that somebody else made, too, and does not remove it in
    /// the end.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it is something else.
    pub fn also(&mut self, listener: OwnedFd) -> io::Result<()> {
        let is_unix = getsockname::<UnixAddr>(listener.as_raw_fd()).is_ok();
        let is_stream = getsockopt(&listener, sockopt::SockType) == Ok(SockType::Stream);
        if !(is_unix && is_stream && getsockopt(&listener, sockopt::AcceptConn) == Ok(true)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let listener = UnixListener::from(listener);
        listener.set_nonblocking(true)?;
        self.listeners.push(listener);
        Ok(())
    }

    /// All listening sockets, to be polled for reading.
    pub fn listeners(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners.iter().map(AsFd::as_fd)
    }

    /// Takes the connections that wait, a bounded number in a turn. Poll the new clients by their
    /// [`fd`](Server::fd) and [`interest`](Server::interest).
    pub fn accept(&mut self, now: Duration) -> Vec<ClientId> {
        self.accept_trusting(now, &Peer::is_root_or_self)
    }

    /// The same; who is `trusted` gets the places kept for the operator.
    pub fn accept_trusting(
        &mut self,
        now: Duration,
        trusted: &dyn Fn(&Peer) -> bool,
    ) -> Vec<ClientId> {
        let taken: Vec<UnixStream> =
            self.listeners.iter().flat_map(|listener| take(listener, &mut self.spare)).collect();
        taken.into_iter().filter_map(|stream| self.admit(stream, now, trusted)).collect()
    }

    fn admit(
        &mut self,
        stream: UnixStream,
        now: Duration,
        trusted: &dyn Fn(&Peer) -> bool,
    ) -> Option<ClientId> {
        let mut client = Client::new(stream, now).ok()?;
        client.trusted = trusted(client.peer());
        if !self.has_place(client.trusted) {
            let other = self.dispensable(client.trusted)?;
            self.clients.remove(&other);
        }
        let id = ClientId(self.next);
        self.next += 1;
        self.clients.insert(id, client);
        Some(id)
    }

    fn has_place(&self, trusted: bool) -> bool {
        let strangers = self.clients.values().filter(|client| !client.trusted).count();
        let reserved = RESERVED.min(self.most / 4);
        self.clients.len() < self.most && (trusted || strangers < self.most - reserved)
    }

    /// Who gives up its place to a newcomer: a stranger if there is one, and to a stranger only that.
    /// So whoever takes many places takes them from nobody but himself in the end.
    fn dispensable(&self, for_trusted: bool) -> Option<ClientId> {
        let whose = |client: &Client| (client.trusted, client.peer().uid);
        let mut places = BTreeMap::new();
        for client in self.clients.values() {
            *places.entry(whose(client)).or_insert(0) += 1;
        }
        let candidates = self.clients.iter().filter(|(_, client)| for_trusted || !client.trusted);
        let rank = |client: &Client| {
            let about = client.dispensable()?;
            Some((client.trusted, Reverse(places[&whose(client)]), about, client.since))
        };
        let ranked = candidates.filter_map(|(&id, client)| Some((rank(client)?, id)));
        ranked.min().map(|(_, id)| id)
    }

    /// Something can be read from the client, or it has hung up.
    pub fn readable(&mut self, id: ClientId, now: Duration) {
        self.step(id, |client| client.read(now));
    }

    /// The client takes more of its reply.
    pub fn writable(&mut self, id: ClientId, now: Duration) {
        self.step(id, |client| client.write(now));
    }

    /// The calls to answer: a bounded number in a turn, at most one of each client, and none of a
    /// client that waits for an answer. Ask in every turn; [`deadline`](Server::deadline) sees to it
    /// that one comes.
    pub fn calls(&mut self, now: Duration) -> Vec<Call> {
        let calling = |(id, client): (&ClientId, &Client)| client.has_call().then_some(*id);
        let mut ids: Vec<ClientId> = self.clients.iter().filter_map(calling).collect();
        let first = ids.partition_point(|id| *id <= self.last_called);
        ids.rotate_left(first);
        ids.truncate(CALLS_PER_TURN);
        self.last_called = ids.last().copied().unwrap_or(self.last_called);
        let mut calls = Vec::new();
        for client in ids {
            let Some(connection) = self.clients.get_mut(&client) else { continue };
            let message = connection.take_call(now);
            let (peer, was_trusted) = (connection.peer().clone(), connection.trusted);
            calls.extend(message.map(|message| Call { client, peer, was_trusted, message }));
        }
        self.clients.retain(|_, client| client.is_alive());
        calls
    }

    /// The client's call has no last answer. It may be hung up on if its place is needed.
    pub fn make_endless(&mut self, id: ClientId) {
        self.step(id, |client| client.endless = true);
    }

    /// Sends the client an answer with others to follow, in place of those it has not begun to read:
    /// one that is slow, or does not read at all, costs no more than this.
    pub fn send_newest(&mut self, id: ClientId, reply: &Arc<[u8]>, now: Duration) {
        self.step(id, |client| client.answer_newest(reply, now));
    }

    /// Sends the client an answer with others to follow, after those before; if more than [`BACKLOG`]
    /// waits for it already, it is hung up on.
    pub fn send_each(&mut self, id: ClientId, reply: &Arc<[u8]>, now: Duration) {
        self.step(id, |client| client.answer_each(reply, now));
    }

    /// Answers the client's call, for the last time; with no bytes if the call wanted none. The client
    /// may be gone.
    pub fn send(&mut self, id: ClientId, reply: &[u8], now: Duration) {
        self.send_shared(id, &Arc::from(reply), now);
    }

    /// The same, with an answer that others get, too.
    pub fn send_shared(&mut self, id: ClientId, reply: &Arc<[u8]>, now: Duration) {
        self.step(id, |client| client.answer(reply, now));
    }

    /// Closes the connection once what was sent is read.
    pub fn hang_up(&mut self, id: ClientId, now: Duration) {
        self.step(id, |client| client.hang_up(now));
    }

    /// Drops the clients whose time is over, and those who let more than [`UNTAKEN`] come together.
    pub fn expire(&mut self, now: Duration) {
        self.clients.retain(|_, client| client.expires().is_none_or(|then| now < then));
        while self.untaken() > UNTAKEN {
            let taking = || self.clients.iter().filter(|(_, client)| !client.output().is_empty());
            // Strangers first: they must not cost the operator anything.
            let slowest = taking().min_by_key(|(_, client)| (client.trusted, client.since));
            let Some((&slowest, _)) = slowest.filter(|_| taking().count() > 1) else { return };
            self.clients.remove(&slowest);
        }
    }

    /// How many bytes clients have still to take; a message for many is there once.
    fn untaken(&self) -> usize {
        let messages = self.clients.values().flat_map(|client| client.output().messages());
        let each: BTreeMap<*const u8, usize> =
            messages.map(|message| (message.as_ptr(), message.len())).collect();
        each.values().sum()
    }

    /// When to call [`calls`](Server::calls) and [`expire`](Server::expire), even if nothing happens.
    pub fn deadline(&self) -> Option<Duration> {
        if self.clients.values().any(Client::has_call) {
            return Some(Duration::ZERO);
        }
        self.clients.values().filter_map(Client::expires).min()
    }

    /// What to poll the client for, beside its hanging up. `None` if it is gone.
    pub fn interest(&self, id: ClientId) -> Option<Interest> {
        self.clients.get(&id).map(Client::interest)
    }

    /// What to poll for the client. `None` if it is gone; its descriptor is closed then, and with
    /// that no longer polled (epoll(7)).
    pub fn fd(&self, id: ClientId) -> Option<BorrowedFd<'_>> {
        self.clients.get(&id).map(Client::as_fd)
    }

    fn step(&mut self, id: ClientId, step: impl FnOnce(&mut Client)) {
        if let Some(client) = self.clients.get_mut(&id) {
            step(client);
            if !client.is_alive() {
                self.clients.remove(&id);
            }
        }
    }
}

/// Its own listening socket.
impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listeners[0].as_fd()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If it cannot be removed, the next herder does that.
        let _ = fs::remove_file(&self.path);
    }
}

/// How many clients there may be at the same time.
pub fn places() -> usize {
    at_most(CLIENTS, PART)
}

/// Takes connections that wait, a bounded number.
fn take(listener: &UnixListener, spare: &mut Option<File>) -> Vec<UnixStream> {
    let mut taken = Vec::new();
    for _ in 0..ACCEPTED_PER_TURN {
        match listener.accept() {
            Ok((stream, _)) => taken.push(stream),
            Err(error) if is_out_of_descriptors(&error) => {
                *spare = None;
                let refused = listener.accept();
                drop(refused);
                *spare = open_spare();
                break;
            }
            // ECONNABORTED: this one is gone, the next may be fine.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => break,
        }
    }
    taken
}

fn open_spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::EMFILE | nix::libc::ENFILE))
}

#[cfg(test)]
mod tests;
