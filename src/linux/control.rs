//! The control socket: a UNIX stream socket, its clients, their limits. Transport only.
//!
//! Who may do what, and what a message means, is for the caller, who also does the polling. One
//! call at a time is taken from each client, the next when it has been answered: Varlink's replies
//! come in order, and so a client can neither crowd out others nor make herder hoard replies.
//!
//! No client can hurt another: each has its own buffers, bounded in bytes and time, and the last
//! [`RESERVED`] places are kept for those the caller trusts. When all are taken, the client that
//! has been silent longest gives up its own.

mod client;

pub use client::{Interest, Peer};

use client::Client;
use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Clients at the same time.
pub const CLIENTS: usize = 64;

/// Places among them that only trusted clients get.
pub const RESERVED: usize = 16;

/// The longest message taken, in bytes.
pub const MESSAGE: usize = 64 * 1024;

/// From the first byte of a message to its last, and between two steps of a client that reads its reply.
pub const STALLED: Duration = Duration::from_secs(10);

/// How long a client may be silent that waits for nothing.
pub const IDLE: Duration = Duration::from_secs(60);

/// Connections taken in a turn.
const ACCEPTED_PER_TURN: usize = 16;

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
    /// What it sent, without the NUL.
    pub message: Vec<u8>,
}

/// The listening socket and its clients. `now` is always the caller's monotonic clock.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    /// To be removed in the end; none when the socket is somebody else's.
    path: Option<PathBuf>,
    clients: BTreeMap<ClientId, Client>,
    next: u64,
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
        let mut server = Server::on(listener)?;
        server.path = Some(path.to_owned());
        Ok(server)
    }

    /// Serves a listening socket that somebody else made, and does not remove it in the end.
    pub fn on(listener: UnixListener) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        let clients = BTreeMap::new();
        Ok(Server { listener, path: None, clients, next: 0, spare: spare() })
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
        let mut taken = Vec::new();
        for _ in 0..ACCEPTED_PER_TURN {
            match self.listener.accept() {
                Ok((stream, _)) => taken.extend(self.admit(stream, now, trusted)),
                Err(error) if is_out_of_descriptors(&error) => {
                    self.spare = None;
                    let refused = self.listener.accept();
                    drop(refused);
                    self.spare = spare();
                    break;
                }
                // ECONNABORTED: this one is gone, the next may be fine.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => break,
            }
        }
        taken
    }

    fn admit(
        &mut self,
        stream: UnixStream,
        now: Duration,
        trusted: &dyn Fn(&Peer) -> bool,
    ) -> Option<ClientId> {
        let mut client = Client::new(stream, now).ok()?;
        client.trusted = trusted(&client.peer());
        if !self.has_place(client.trusted) {
            let longest = self.longest_idle(client.trusted)?;
            self.clients.remove(&longest);
        }
        let id = ClientId(self.next);
        self.next += 1;
        self.clients.insert(id, client);
        Some(id)
    }

    fn has_place(&self, trusted: bool) -> bool {
        let strangers = self.clients.values().filter(|client| !client.trusted).count();
        self.clients.len() < CLIENTS && (trusted || strangers < CLIENTS - RESERVED)
    }

    /// Who gives up its place to a newcomer: a stranger if there is one, and to a stranger only that.
    fn longest_idle(&self, for_trusted: bool) -> Option<ClientId> {
        let idle = self.clients.iter().filter(|(_, client)| client.is_idle());
        let candidates = idle.filter(|(_, client)| for_trusted || !client.trusted);
        candidates.min_by_key(|(_, client)| (client.trusted, client.since)).map(|(&id, _)| id)
    }

    /// Something can be read from the client, or it has hung up.
    pub fn readable(&mut self, id: ClientId, now: Duration) {
        self.step(id, |client| client.read(now));
    }

    /// The client takes more of its reply.
    pub fn writable(&mut self, id: ClientId, now: Duration) {
        self.step(id, |client| client.write(now));
    }

    /// The calls to answer: at most one of each client, and none of a client that waits for an
    /// answer. Ask in every turn; [`deadline`](Server::deadline) sees to it that one comes.
    pub fn calls(&mut self, now: Duration) -> Vec<Call> {
        let mut calls = Vec::new();
        for (&client, connection) in &mut self.clients {
            let peer = connection.peer();
            calls.extend(connection.take_call(now).map(|message| Call { client, peer, message }));
        }
        self.clients.retain(|_, client| client.is_alive());
        calls
    }

    /// Answers the client's call; with no bytes if the call wanted none. The client may be gone.
    pub fn send(&mut self, id: ClientId, reply: &[u8], now: Duration) {
        self.step(id, |client| client.answer(reply, now));
    }

    /// Closes the connection once what was sent is read.
    pub fn hang_up(&mut self, id: ClientId, now: Duration) {
        self.step(id, |client| client.hang_up(now));
    }

    /// Drops the clients whose time is over.
    pub fn expire(&mut self, now: Duration) {
        self.clients.retain(|_, client| client.expires().is_none_or(|then| now < then));
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

/// The listening socket, to be polled for reading.
impl AsFd for Server {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // If it cannot be removed, the next herder does that.
            let _ = fs::remove_file(path);
        }
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(nix::libc::EMFILE | nix::libc::ENFILE))
}

#[cfg(test)]
mod tests;
