//! The sockets of an instance: taken from systemd, or bound by herder itself.
//!
//! Never closes, unlinks, re-listens or changes a socket it was given; only the descriptor's
//! `FD_CLOEXEC`, which is herder's own, is set. `O_NONBLOCK` and the backlog belong to the socket and
//! so to every process that has it: a change by one process is seen by all, so herder makes none.

use super::sys;
use crate::error::Error;
use herder_wire::address::Address;
use herder_wire::listen::Handover;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr,
    bind as bind_to, connect, getpeername, getsockname, getsockopt, listen, setsockopt, socket,
    sockopt,
};
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The number of the first descriptor handed over (`SD_LISTEN_FDS_START`, sd_listen_fds(3)).
const FIRST: RawFd = 3;

/// Connections that may wait: what systemd asks for, as far as the kernel's own limit,
/// `net.core.somaxconn`, goes by default (listen(2)).
const BACKLOG: i32 = 4096;

/// Something an instance serves on: almost always a listening socket.
#[derive(Debug)]
pub struct Socket {
    /// The descriptor, close-on-exec.
    pub fd: OwnedFd,
    /// Its name; names may repeat.
    pub name: String,
    /// What it listens on, if it is TCP or UNIX.
    pub address: Option<Address>,
    /// What it is.
    pub kind: Kind,
}

/// What a descriptor is. All but [`Kind::Connection`] are handed to workers as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A socket that accepts connections.
    Listener,
    /// A socket of datagrams: UDP, UNIX.
    Datagram,
    /// One connection, the product of `Accept=yes`.
    Connection,
    /// Any other socket: netlink, raw, …
    OtherSocket,
    /// A FIFO.
    Fifo,
    /// A device, a file, a POSIX message queue, …
    Special,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Listener => "listening socket",
            Kind::Datagram => "datagram socket",
            Kind::Connection => "connection",
            Kind::OtherSocket => "socket",
            Kind::Fifo => "FIFO",
            Kind::Special => "special file",
        })
    }
}

/// For messages: `web (127.0.0.1:8000)`, `log (FIFO)`.
impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) if self.kind == Kind::Listener => write!(f, "{} ({address})", self.name),
            Some(address) => write!(f, "{} ({} {address})", self.name, self.kind),
            None => write!(f, "{} ({})", self.name, self.kind),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Takes what systemd hands over, in its order; nothing if herder was not started with sockets. To be
/// called once, before anything else is opened: it takes ownership of descriptors by their numbers.
///
/// # Errors
///
/// [`Error::Config`] if `LISTEN_*` promises what is not there, or hands over a connection.
pub fn receive(env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Socket>, Error> {
    match Handover::parse(env, std::process::id()).map_err(Error::Config)? {
        Some(handover) => receive_from(FIRST, handover),
        None => Ok(Vec::new()),
    }
}

fn receive_from(first: RawFd, handover: Handover) -> Result<Vec<Socket>, Error> {
    let count = handover.fds;
    let take = |(number, name): (RawFd, String)| {
        let fd = sys::adopt(number).map_err(|_| {
            Error::Config(format!(
                "LISTEN_FDS={count} promises descriptors {first} to {}, but {number} ({name}) is not open: \
                 whatever started herder must pass them on",
                first + count as i32 - 1
            ))
        })?;
        describe(fd, name).map_err(|(name, why)| {
            Error::system(format!("find out what descriptor {number} ({name}) is"), why)
        })
    };
    let sockets: Vec<Socket> = (first..).zip(handover.names).map(take).collect::<Result<_, _>>()?;
    match sockets.iter().find(|socket| socket.kind == Kind::Connection) {
        None => Ok(sockets),
        Some(connection) => Err(Error::Config(format!(
            "descriptor {} ({}) is one connection, not a listening socket: set Accept=no in the .socket unit, \
             so that the workers accept connections themselves",
            connection.fd.as_raw_fd(),
            connection.name
        ))),
    }
}

fn describe(fd: OwnedFd, name: String) -> Result<Socket, (String, Errno)> {
    match examine(&fd, &name) {
        Ok((kind, address)) => Ok(Socket { fd, name, address, kind }),
        Err(why) => Err((name, why)),
    }
}

fn examine(fd: &OwnedFd, name: &str) -> Result<(Kind, Option<Address>), Errno> {
    let kind = match getsockopt(fd, sockopt::SockType) {
        Ok(kind) => kind,
        Err(Errno::ENOTSOCK) => {
            let mode = nix::sys::stat::fstat(fd)?.st_mode & libc::S_IFMT;
            let kind = if mode == libc::S_IFIFO { Kind::Fifo } else { Kind::Special };
            return Ok((kind, None));
        }
        // A type nix has no name for.
        Err(Errno::EINVAL) => return Ok((Kind::OtherSocket, None)),
        Err(why) => return Err(why),
    };
    let connected = || getpeername::<SockaddrStorage>(fd.as_raw_fd()).is_ok();
    let kind = match kind {
        SockType::Stream | SockType::SeqPacket if getsockopt(fd, sockopt::AcceptConn)? => {
            Kind::Listener
        }
        // systemd's name for the one descriptor of `Accept=yes`; its client may have hung up already.
        SockType::Stream | SockType::SeqPacket if connected() || name == "connection" => {
            Kind::Connection
        }
        SockType::Datagram => Kind::Datagram,
        _ => Kind::OtherSocket,
    };
    Ok((kind, local_address(fd.as_raw_fd())))
}

/// The address a socket has; `None` for families that [`Address`] has no words for.
pub fn local_address(fd: RawFd) -> Option<Address> {
    let address = getsockname::<SockaddrStorage>(fd).ok()?;
    match address.family()? {
        AddressFamily::Inet => {
            address.as_sockaddr_in().map(|a| Address::Inet(SocketAddr::V4((*a).into())))
        }
        AddressFamily::Inet6 => {
            address.as_sockaddr_in6().map(|a| Address::Inet(SocketAddr::V6((*a).into())))
        }
        AddressFamily::Unix => {
            let address = address.as_unix_addr()?;
            let path = || address.path().map(|path| Address::Unix(path.to_owned()));
            address.as_abstract().map(|name| Address::Abstract(name.to_owned())).or_else(path)
        }
        _ => None,
    }
}

/// Binds a listening stream socket of herder's own and listens.
///
/// A UNIX socket that a dead process left behind is replaced; one on which a process listens is not.
///
/// # Errors
///
/// [`Error::System`], with what to change.
pub fn bind(name: &str, address: &Address) -> Result<Socket, Error> {
    bind_one(name, address, Sharing::Alone)
}

/// Binds so many stream sockets at one address, each with an accept queue of its own (`SO_REUSEPORT`,
/// socket(7)). Only processes of the same user can join them.
///
/// # Errors
///
/// As [`bind`].
pub fn bind_group(name: &str, address: &Address, members: u32) -> Result<Vec<Socket>, Error> {
    // The group of another process of the same user would take this socket in without a word.
    drop(bind_one(name, address, Sharing::Probe)?);
    let first = bind_one(name, address, Sharing::Group)?;
    // Port 0 has become a real one.
    let address = first.address.clone().unwrap_or_else(|| address.clone());
    let others = (1..members).map(|_| bind_one(name, &address, Sharing::Group));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// Whether others may have the same address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    Group,
    /// Only to see whether the address is free: no client is to connect.
    Probe,
}

fn bind_one(name: &str, address: &Address, sharing: Sharing) -> Result<Socket, Error> {
    let fd = match address {
        Address::Inet(inet) => bind_inet(*inet, sharing),
        Address::Unix(path) => bind_path(path),
        Address::Abstract(name) => UnixAddr::new_abstract(name)
            .and_then(|unix| bind_any(AddressFamily::Unix, &unix, Sharing::Alone)),
    };
    let fd = fd.map_err(|errno| refused(address, errno))?;
    // Port 0 has become a real one.
    let address = local_address(fd.as_raw_fd()).unwrap_or_else(|| address.clone());
    Ok(Socket { fd, name: name.to_owned(), address: Some(address), kind: Kind::Listener })
}

fn bind_any(
    family: AddressFamily,
    address: &dyn SockaddrLike,
    sharing: Sharing,
) -> Result<OwnedFd, Errno> {
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if family != AddressFamily::Unix {
        // Or connections that have ended but wait out their time keep the port for a minute (socket(7)).
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    if sharing == Sharing::Group {
        setsockopt(&fd, sockopt::ReusePort, &true)?;
    }
    bind_to(fd.as_raw_fd(), address)?;
    if sharing != Sharing::Probe {
        listen(&fd, Backlog::new(BACKLOG)?)?;
    }
    Ok(fd)
}

fn bind_inet(address: SocketAddr, sharing: Sharing) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    match bind_any(family, &SockaddrStorage::from(address), sharing) {
        // “All addresses” on a machine without IPv6, as `ListenStream=PORT` means it.
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL)
            if address.ip() == Ipv6Addr::UNSPECIFIED =>
        {
            bind_inet(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())), sharing)
        }
        result => result,
    }
}

fn bind_path(path: &Path) -> Result<OwnedFd, Errno> {
    let address = UnixAddr::new(path)?;
    match bind_any(AddressFamily::Unix, &address, Sharing::Alone) {
        Err(Errno::EADDRINUSE) if is_stale(path) => {
            fs::remove_file(path).map_err(|error| errno_of(&error))?;
            bind_any(AddressFamily::Unix, &address, Sharing::Alone)
        }
        result => result,
    }
}

/// Whether `path` is a socket on which no process listens: a connection is refused. The attempt does not
/// wait, because a process may listen with a full queue.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    is_socket
        && UnixAddr::new(path).is_ok_and(|address| {
            socket(AddressFamily::Unix, SockType::Stream, flags, None)
                .and_then(|probe| connect(probe.as_raw_fd(), &address))
                == Err(Errno::ECONNREFUSED)
        })
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

fn refused(address: &Address, errno: Errno) -> Error {
    let advice = match (errno, address) {
        (Errno::EADDRINUSE, Address::Unix(_)) => {
            "; something is there that is no abandoned socket: stop what listens on it, remove the file, \
             or choose another address with --listen or `listen`"
        }
        (Errno::EADDRINUSE, _) => {
            "; choose another address with --listen or `listen`, or stop what listens there \
             (`ss --listening --processes` names it)"
        }
        (Errno::EACCES | Errno::EPERM, Address::Inet(_)) => {
            "; ports below 1024 are for root: choose a higher one, or let systemd bind it with a .socket unit"
        }
        (Errno::EACCES | Errno::EPERM, _) => {
            "; herder's user must be allowed to write to its directory"
        }
        (Errno::EADDRNOTAVAIL, _) => "; this machine has no such address",
        (Errno::ENOENT, _) => "; its directory does not exist",
        _ => "",
    };
    let why = io::Error::from(errno);
    let why = io::Error::new(why.kind(), format!("{}{advice}", errno.desc()));
    Error::system(format!("listen on {address}"), why)
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;
