//! Questions to the kernel about sockets, and its answers (sock_diag(7)): queues, names and inodes of
//! sockets that need not be one's own.
//!
//! Bytes only; `linux::diag` sends and receives them. Everything is in the machine's own byte order, but
//! for ports and addresses.

use super::address::Address;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// linux/netlink.h, linux/sock_diag.h
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// Families and protocols (socket.h, in.h).
const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;

/// States of sockets (tcp_states.h); UNIX sockets have the same. A connection that a server may have
/// accepted and not closed yet is in one of the others.
const ESTABLISHED: u8 = 1;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;
const ACCEPTED: u32 = 1 << ESTABLISHED | 1 << FIN_WAIT1 | 1 << FIN_WAIT2 | 1 << CLOSE_WAIT;

/// linux/unix_diag.h: what is to be told, and as what it comes.
const UDIAG_SHOW_NAME: u32 = 0x1;
const UDIAG_SHOW_VFS: u32 = 0x2;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_VFS: u16 = 1;
const UNIX_DIAG_RQLEN: u16 = 4;

/// `struct nlmsghdr` (netlink(7)); `struct unix_diag_msg` and `struct inet_diag_msg` after it.
const HEADER: usize = 16;
const UNIX_MESSAGE: usize = 16;
const INET_MESSAGE: usize = 72;

/// A question about the UNIX socket with this inode, whatever its state.
pub fn unix_socket(inode: u32) -> Vec<u8> {
    unix(NLM_F_REQUEST, u32::MAX, inode, UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_RQLEN)
}

/// A question about every UNIX socket that listens.
pub fn unix_listeners() -> Vec<u8> {
    unix(NLM_F_REQUEST | NLM_F_DUMP, 1 << LISTEN, 0, UDIAG_SHOW_NAME)
}

/// A question about every TCP socket that listens, of IPv6 or of IPv4.
pub fn tcp_listeners(ipv6: bool) -> Vec<u8> {
    tcp(ipv6, 1 << LISTEN, 0)
}

/// A question about every TCP connection to this port here, of IPv6 or of IPv4.
pub fn tcp_connections(ipv6: bool, port: u16) -> Vec<u8> {
    tcp(ipv6, ACCEPTED, port)
}

fn header(length: usize, flags: u16) -> Vec<u8> {
    let length = u32::try_from(HEADER + length).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]); // nlmsg_seq, nlmsg_pid
    bytes
}

/// `struct unix_diag_req`
fn unix(flags: u16, states: u32, inode: u32, show: u32) -> Vec<u8> {
    let mut bytes = header(24, flags);
    bytes.extend([AF_UNIX, 0, 0, 0]); // sdiag_family, sdiag_protocol, pad
    bytes.extend(states.to_ne_bytes());
    bytes.extend(inode.to_ne_bytes());
    bytes.extend(show.to_ne_bytes());
    bytes.extend([0xff; 8]); // udiag_cookie: of whatever socket has the inode
    bytes
}

/// `struct inet_diag_req_v2`, with `struct inet_diag_sockid` at its end
fn tcp(ipv6: bool, states: u32, port: u16) -> Vec<u8> {
    let mut bytes = header(56, NLM_F_REQUEST | NLM_F_DUMP);
    bytes.extend([if ipv6 { AF_INET6 } else { AF_INET }, IPPROTO_TCP, 0, 0]);
    bytes.extend(states.to_ne_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.extend([0; 46]);
    bytes
}

/// A socket, as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketAnswer {
    /// 0 for a connection that was not accepted yet.
    pub inode: u32,
    /// It listens.
    pub listens: bool,
    /// Its own address; of a connection, the one that was connected to.
    pub address: Option<Address>,
    /// Of one that listens: how many connections wait, and how many may.
    pub queue: Option<(u32, u32)>,
    /// Of a UNIX socket in the file system: the inode of its file there.
    pub file: Option<u32>,
}

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// One of the sockets that were asked about.
    Socket(SocketAnswer),
    /// There are no more.
    End,
    /// An error, or an answer to no request of ours: nothing else follows.
    Refused,
}

/// The parts of an answer, as they come in one datagram.
pub fn parts(datagram: &[u8]) -> impl Iterator<Item = Part> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = long(rest, 0)? as usize;
        if length < HEADER {
            return None;
        }
        let message = rest.get(..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(match short(message, 4)? {
            SOCK_DIAG_BY_FAMILY => socket(message).map_or(Part::Refused, Part::Socket),
            NLMSG_DONE => Part::End,
            _ => Part::Refused,
        })
    })
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn socket(message: &[u8]) -> Option<SocketAnswer> {
    let body = message.get(HEADER..)?;
    match *body.first()? {
        AF_UNIX => unix_answer(body),
        AF_INET | AF_INET6 => inet_answer(body),
        _ => None,
    }
}

fn unix_answer(body: &[u8]) -> Option<SocketAnswer> {
    let mut socket = SocketAnswer {
        inode: long(body, 4)?,
        listens: *body.get(2)? == LISTEN,
        address: None,
        queue: None,
        file: None,
    };
    let mut rest = body.get(UNIX_MESSAGE..)?;
    // rtnetlink(7): its length, its type, its contents, up to a multiple of four.
    while let (Some(length), Some(kind)) = (short(rest, 0), short(rest, 2)) {
        let Some(contents) = rest.get(4..usize::from(length)) else { break };
        match kind {
            UNIX_DIAG_NAME => socket.address = Some(unix_name(contents)),
            UNIX_DIAG_VFS => socket.file = long(contents, 0),
            UNIX_DIAG_RQLEN if socket.listens => {
                socket.queue = long(contents, 0).zip(long(contents, 4));
            }
            _ => {}
        }
        rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    Some(socket)
}

fn unix_name(name: &[u8]) -> Address {
    match name {
        [0, name @ ..] => Address::Abstract(name.to_vec()),
        path => {
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            Address::Unix(PathBuf::from(String::from_utf8_lossy(path).into_owned()))
        }
    }
}

fn inet_answer(body: &[u8]) -> Option<SocketAnswer> {
    let port = u16::from_be_bytes(body.get(4..6)?.try_into().ok()?);
    let ip: IpAddr = match *body.first()? {
        AF_INET => IpAddr::from(<[u8; 4]>::try_from(body.get(8..12)?).ok()?),
        _ => Ipv6Addr::from(<[u8; 16]>::try_from(body.get(8..24)?).ok()?).into(),
    };
    Some(SocketAnswer {
        inode: long(body, INET_MESSAGE - 4)?,
        listens: *body.get(1)? == LISTEN,
        address: Some(Address::Inet(SocketAddr::new(ip, port))),
        // Of a socket that listens, idiag_rqueue and idiag_wqueue.
        queue: long(body, INET_MESSAGE - 16).zip(long(body, INET_MESSAGE - 12)),
        file: None,
    })
    .map(|socket| if socket.listens { socket } else { SocketAnswer { queue: None, ..socket } })
}

#[cfg(test)]
#[path = "diag_tests.rs"]
mod tests;
