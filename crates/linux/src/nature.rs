//! The properties of a socket that each process with the socket can change for all others: whether it
//! blocks, how many connections may wait on it, and the file of a UNIX socket.
//!
//! Reads, and changes nothing: these belong to the process that made the socket (fcntl(2), “open file
//! description”; listen(2); unix(7)), and herder cannot put back what it does not own.

use super::queue;
use super::sockets::{Kind, Socket};
use herder_wire::address::Address;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A socket as it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nature {
    /// A process that finds nothing to accept or receive does not wait (`O_NONBLOCK`).
    pub nonblocking: bool,
    /// How many connections may wait, if that can be told.
    pub backlog: Option<u64>,
    file: File,
}

/// Where a UNIX socket is in the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum File {
    /// Nowhere, or where herder cannot look.
    #[default]
    Unknown,
    /// Nothing has its name. `certain` if it would be seen if it were there.
    Gone { certain: bool },
    /// Device and inode.
    There(u64, u64),
}

/// What has changed about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// `O_NONBLOCK` was set.
    Nonblocking,
    /// `O_NONBLOCK` was cleared.
    Blocking,
    /// listen(2) was called again.
    Backlog {
        /// How many connections might wait before.
        was: u64,
        /// And now.
        is: u64,
    },
    /// The file of a UNIX socket is gone.
    Unlinked,
    /// It was not there from the beginning.
    Missing,
    /// In its place is another.
    Replaced,
}

/// Sockets as they are now, in their order.
pub fn of<'a>(sockets: impl IntoIterator<Item = &'a Socket>) -> Vec<Nature> {
    let sockets: Vec<&Socket> = sockets.into_iter().collect();
    let queues = queue::of(&sockets);
    let nature = |(socket, queue): (&&Socket, queue::Queue)| Nature {
        nonblocking: is_nonblocking(socket),
        backlog: queue.limit,
        file: match &socket.address {
            Some(Address::Unix(path)) => match fs::symlink_metadata(path) {
                Ok(data) => File::There(data.dev(), data.ino()),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    File::Gone { certain: would_be_seen(path) }
                }
                Err(_) => File::Unknown,
            },
            Some(Address::Inet(_) | Address::Abstract(_)) | None => File::Unknown,
        },
    };
    sockets.iter().zip(queues).map(nature).collect()
}

/// Whether a file of this name would be seen: its directory is, and is not one of which a service has its own
/// (`PrivateTmp=`, systemd.exec(5)).
fn would_be_seen(path: &Path) -> bool {
    let is_private = ["/tmp", "/var/tmp"].iter().any(|private| path.starts_with(private));
    !is_private && path.parent().is_some_and(Path::is_dir)
}

/// Whether `O_NONBLOCK` is set. (systemd opens FIFOs like that, but no process accepts on a FIFO.)
pub fn is_nonblocking(socket: &Socket) -> bool {
    let flags = fcntl(socket, FcntlArg::F_GETFL).map(OFlag::from_bits_retain);
    let is_socket = !matches!(socket.kind, Kind::Fifo | Kind::Special);
    is_socket && flags.is_ok_and(|flags| flags.contains(OFlag::O_NONBLOCK))
}

impl Nature {
    /// What has changed since it was like that. A file that was not there from the beginning may be where this
    /// process cannot see it, in another's `/tmp`, say; or a worker of an earlier run has removed it.
    pub fn since(&self, before: &Nature) -> Vec<Change> {
        let mut changes = Vec::new();
        match (before.nonblocking, self.nonblocking) {
            (false, true) => changes.push(Change::Nonblocking),
            (true, false) => changes.push(Change::Blocking),
            (true, true) | (false, false) => {}
        }
        match (before.backlog, self.backlog) {
            (Some(was), Some(is)) if was != is => changes.push(Change::Backlog { was, is }),
            _ => {}
        }
        match (before.file, self.file) {
            (File::There(..), File::Gone { .. }) => changes.push(Change::Unlinked),
            (File::Gone { certain: true }, File::Gone { .. }) => changes.push(Change::Missing),
            (File::There(..), File::There(..)) if before.file != self.file => {
                changes.push(Change::Replaced);
            }
            (File::Unknown | File::Gone { .. } | File::There(..), _) => {}
        }
        changes
    }
}

#[cfg(test)]
#[path = "nature_tests.rs"]
mod tests;
