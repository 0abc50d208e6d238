//! The control socket: a UNIX stream socket on which Varlink messages come, each ended by a NUL.
//!
//! Framing, the peers' credentials, and the limits of this server. The mechanism is that of
//! [`clients`]. Which client may do what, and what a message means, is decided by the
//! caller.
//!
//! No client can hurt another: each has its own buffers, bounded in bytes and time, and the last
//! [`RESERVED`] places are kept for clients that the caller trusts. When all places are taken, the user
//! with most of them loses one: that of its client that has been silent longest, or else that of the one
//! whose answer is unread longest.

mod peer;

pub use crate::clients::ClientId;
pub use peer::Peer;

use crate::clients::{self, Bounds, Framed, Listener, Protocol};
use herder_wire::varlink::{self, Frames, TooLong};
use nix::sys::socket::{SockType, UnixAddr, getsockname, getsockopt, sockopt};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

/// Clients at the same time, where descriptors allow: they get an eighth of those at most.
pub const CLIENTS: usize = 256;

/// Places among them that only trusted clients get; of fewer clients, a quarter.
pub const RESERVED: usize = 64;

/// The longest message taken, in bytes.
pub const MESSAGE: usize = 64 * 1024;

/// From the first byte of a message to its last, and between two parts of a reply that a client reads.
pub const STALLED: Duration = Duration::from_secs(10);

/// How long a client may be silent that waits for nothing.
pub const IDLE: Duration = Duration::from_secs(60);

/// A message from a client, without its NUL, to be answered or hung up on.
pub type Call = clients::Call<Peer, Vec<u8>>;

/// The control socket and its clients.
pub type Server = clients::Server<Messages>;

/// Takes messages out of what one client sends.
#[derive(Debug)]
pub struct Messages(Frames);

impl Default for Messages {
    fn default() -> Messages {
        Messages(Frames::new(MESSAGE))
    }
}

impl Protocol for Messages {
    type Peer = Peer;
    type Request = Vec<u8>;

    const BOUNDS: Bounds = Bounds {
        clients: CLIENTS,
        reserved: RESERVED,
        descriptors: 8,
        requests_per_turn: 16,
        stalled: STALLED,
        progress_counts: true,
        idle: IDLE,
        linger: None,
        silent_first: true,
    };

    fn peer(stream: BorrowedFd<'_>, _: &Listener) -> io::Result<Peer> {
        Peer::of(stream)
    }

    fn user(peer: &Peer) -> Option<u32> {
        Some(peer.uid)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.push(bytes);
    }

    fn next_request(&mut self) -> Framed<Vec<u8>> {
        match self.0.next_message() {
            Ok(Some(message)) => Framed::Request(message),
            Ok(None) => Framed::Incomplete,
            Err(TooLong) => {
                Framed::Refused(varlink::invalid_parameter("message longer than 64 KiB"))
            }
        }
    }

    fn is_between_requests(&self) -> bool {
        self.0.is_empty()
    }
}

impl Server {
    /// Listens at `path`. A socket file left there by a dead herder is removed: the caller holds the lock
    /// on the directory, so no living process owns it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if something else is at `path`; else what the system objects to.
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
        let listener = Listener::unix(UnixListener::bind(path)?)?.with_file(path.to_owned());
        // Every user may connect. What a client may do is decided by its credentials.
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
        Server::on(vec![listener])
    }

    /// Serves a listening UNIX stream socket that another process has made, too. Its file is not removed
    /// in the end.
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
        self.add(Listener::unix(listener.into())?)
    }
}

/// How many clients there may be at the same time.
pub fn places() -> usize {
    Messages::BOUNDS.places()
}

#[cfg(test)]
mod tests;
