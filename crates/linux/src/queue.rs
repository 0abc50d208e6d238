//! Accept queues: how many connections wait on a listening socket, how many may, how many were
//! dropped. The kernel tells that of any socket that herder has, without help from the processes
//! that accept on it.
//!
//! Reads, and changes nothing. The one non-obvious fact: TCP tells by getsockopt(2), UNIX sockets
//! only through a netlink socket (sock_diag(7)), and only in the network namespace they are of.

use super::diag::Diag;
use super::sockets::{Kind, Socket};
use super::sys;
use herder_wire::diag;
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};
use nix::sys::stat::fstat;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The state of a socket that listens (tcp_states.h).
const LISTEN: u8 = 10;

/// A queue, as of now. What does not apply, or cannot be told, is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Connections that wait to be accepted.
    pub waiting: Option<u64>,
    /// How many may wait. TCP lets in one more.
    pub limit: Option<u64>,
    /// Connections (TCP) or datagrams (UDP) dropped because the queue was full, since the socket was
    /// made. UNIX sockets drop nothing: a process that connects or sends has to wait. Unknown with
    /// `TCP_DEFER_ACCEPT`.
    pub dropped: Option<u64>,
}

/// The queues of sockets, in their order.
pub fn of(sockets: &[&Socket]) -> Vec<Queue> {
    let mut diag = None;
    sockets.iter().map(|socket| look(socket, &mut diag)).collect()
}

fn look(socket: &Socket, diag: &mut Option<Diag>) -> Queue {
    let fd = socket.as_fd();
    let family = getsockname::<SockaddrStorage>(fd.as_raw_fd()).ok();
    let family = family.and_then(|address| address.family());
    let inet = matches!(family, Some(AddressFamily::Inet | AddressFamily::Inet6));
    let (waiting, limit) = match (socket.kind, family) {
        (Kind::Listener, _) if inet => tcp(fd),
        (Kind::Listener, Some(AddressFamily::Unix)) => unix(fd, diag),
        _ => None,
    }
    .unzip();
    let drops = inet && matches!(socket.kind, Kind::Listener | Kind::Datagram);
    Queue { waiting, limit, dropped: if drops { dropped(fd) } else { None } }
}

/// `struct tcp_info` (tcp(7)), as far as the two numbers that mean something else in a listening
/// socket: `tcpi_unacked` and `tcpi_sacked`, behind eight bytes and four numbers.
fn tcp(fd: BorrowedFd<'_>) -> Option<(u64, u64)> {
    let mut info = [0; 8];
    let length = sys::socket_option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, &mut info).ok()?;
    let [state, ..] = info[0].to_ne_bytes();
    (length == info.len() && state == LISTEN).then(|| (info[6].into(), info[7].into()))
}

/// `SO_MEMINFO`, of which the last number is `sk_drops` (linux/sock_diag.h).
///
/// Where accepting is deferred (tcp(7), `DeferAcceptSec=`), the kernel drops the bare acknowledgement at the end of
/// every handshake, and counts that too: the number is that of all connections there were.
fn dropped(fd: BorrowedFd<'_>) -> Option<u64> {
    let mut seconds = [0];
    let _ = sys::socket_option(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &mut seconds);
    if seconds != [0] {
        return None;
    }
    const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;
    let mut info = [0; DROPS + 1];
    let length = sys::socket_option(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, &mut info).ok()?;
    (length > DROPS).then(|| info[DROPS].into())
}

fn unix(fd: BorrowedFd<'_>, diag: &mut Option<Diag>) -> Option<(u64, u64)> {
    if diag.is_none() {
        *diag = Diag::open().ok();
    }
    let inode = fstat(fd).ok()?.st_ino;
    let socket = diag.as_ref()?.ask(&diag::unix_socket(u32::try_from(inode).ok()?))?;
    socket.queue.map(|(waiting, limit)| (waiting.into(), limit.into()))
}

/// What kind of socket or file it is, in one word of socket(2) or inode(7): `stream`, `datagram`,
/// `seqpacket`, `fifo`, else `socket` or `special`.
pub fn kind(socket: &Socket) -> &'static str {
    match socket.kind {
        Kind::Listener | Kind::Connection => match getsockopt(socket, sockopt::SockType) {
            Ok(SockType::SeqPacket) => "seqpacket",
            _ => "stream",
        },
        Kind::Datagram => "datagram",
        Kind::Fifo => "fifo",
        Kind::OtherSocket => "socket",
        Kind::Special => "special",
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
