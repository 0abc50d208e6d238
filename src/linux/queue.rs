//! Accept queues: how many connections wait on a listening socket, how many may, how many were
//! dropped. The kernel knows that of any socket one holds, without the help of those that accept.
//!
//! Reads, and changes nothing. The one non-obvious fact: TCP tells by getsockopt(2), UNIX sockets
//! only through a netlink socket (sock_diag(7)), and only in the network namespace they are of.

use super::sockets::{Kind, Socket};
use super::sys;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike, SockaddrStorage,
    getsockname, getsockopt, recv, send, socket, sockopt,
};
use nix::sys::stat::fstat;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The state of a socket that listens (tcp_states.h), which UNIX sockets have, too.
const LISTEN: u8 = 10;

/// A queue, as of now. What does not apply, or cannot be told, is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Connections that wait to be accepted.
    pub waiting: Option<u64>,
    /// How many may wait. TCP lets in one more.
    pub limit: Option<u64>,
    /// Connections (TCP) or datagrams (UDP) dropped because the queue was full, since the socket was
    /// made. UNIX sockets drop nothing: who connects or sends has to wait.
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
fn dropped(fd: BorrowedFd<'_>) -> Option<u64> {
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
    diag.as_ref()?.ask(u32::try_from(inode).ok()?)
}

/// A conversation with the kernel about UNIX sockets (sock_diag(7)).
struct Diag(OwnedFd);

/// linux/sock_diag.h, linux/unix_diag.h
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
const UNIX_DIAG_RQLEN: u16 = 4;

/// `struct nlmsghdr` (netlink(7)), and `struct unix_diag_msg` after it.
const HEADER: usize = 16;
const MESSAGE: usize = 16;

impl Diag {
    fn open() -> Result<Diag, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = Some(SockProtocol::NetlinkSockDiag);
        socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol).map(Diag)
    }

    /// How many wait and how many may, on the listening socket with this inode.
    fn ask(&self, inode: u32) -> Option<(u64, u64)> {
        let fd = self.0.as_raw_fd();
        send(fd, &request(inode), MsgFlags::MSG_DONTWAIT).ok()?;
        // The kernel has answered by the time send(2) returns.
        let mut buffer = [0; 512];
        let length = recv(fd, &mut buffer, MsgFlags::MSG_DONTWAIT).ok()?;
        queue_of(buffer.get(..length)?, inode)
    }
}

/// A question about one socket: `struct nlmsghdr` and `struct unix_diag_req`.
fn request(inode: u32) -> Vec<u8> {
    const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
    const LENGTH: u32 = HEADER as u32 + 24;
    let mut bytes = LENGTH.to_ne_bytes().to_vec();
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // nlmsg_seq, nlmsg_pid
    bytes.extend([libc::AF_UNIX as u8, 0, 0, 0]); // sdiag_family, sdiag_protocol, pad
    bytes.extend((1_u32 << LISTEN).to_ne_bytes()); // udiag_states
    bytes.extend(inode.to_ne_bytes());
    bytes.extend(UDIAG_SHOW_RQLEN.to_ne_bytes());
    bytes.extend([0xff; 8]); // udiag_cookie: of whatever socket has the inode
    bytes
}

/// The two numbers of the answer, if it is about this socket, and that listens.
fn queue_of(answer: &[u8], inode: u32) -> Option<(u64, u64)> {
    let short = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    // Else it says that there is no such socket, or none of this namespace.
    if short(4)? != SOCK_DIAG_BY_FAMILY
        || answer.get(HEADER + 2) != Some(&LISTEN)
        || long(HEADER + 4)? != inode
    {
        return None;
    }
    let mut at = HEADER + MESSAGE;
    loop {
        // rtnetlink(7): its length, its type, its contents, up to a multiple of four.
        let length = usize::from(short(at)?);
        if short(at + 2)? == UNIX_DIAG_RQLEN {
            return Some((long(at + 4)?.into(), long(at + 8)?.into()));
        }
        at += length.max(4).next_multiple_of(4);
    }
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
