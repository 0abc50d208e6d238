//! Groups of sockets that share an address (`SO_REUSEPORT`, socket(7)): which ones there are, and which of
//! their queues new connections go to.
//!
//! The selector on a group is the one thing herder changes on a socket it was given. Putting one on, or
//! another in its place, leaves no gap: the kernel uses the old one until it has the new one. What was
//! queued stays where it is.
//!
//! The one non-obvious fact: a selector names sockets by their index in the group, which the kernel does not tell. It
//! is the order of listen(2), for UDP that of bind(2) (net/core/sock_reuseport.c), and so the order in which
//! systemd hands them over: it makes a unit's sockets one after the other. A socket that is closed gives its
//! index to the last one; as long as herder runs none of its own is.

use super::diag::Diag;
use super::sockets::{Kind, Socket};
use super::sys;
use herder_wire::address::Address;
use herder_wire::diag;
use herder_wire::steer::{Choice, program};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::stat::fstat;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

/// Several sockets of one address, each with a queue of its own.
#[derive(Debug)]
pub struct ReuseportGroup {
    /// Its members, as indices into the sockets at hand, in the kernel's order.
    pub members: Vec<usize>,
    choice: Choice,
}

/// Why the kernel's order of a group is not the one herder was given its sockets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disorder {
    /// Others listen on the address, too, and came first or in between.
    Strangers(usize),
    /// herder has them all, in another order.
    Shuffled,
}

impl fmt::Display for Disorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disorder::Strangers(others) => write!(
                f,
                "{others} sockets that herder was not given listen there, too (`ss --listening --processes`)"
            ),
            Disorder::Shuffled => f.write_str(
                "they began to listen in another order than they were handed over in: \
                 have one .socket unit make all of them",
            ),
        }
    }
}

/// The sockets of one address that may share it (`SO_REUSEPORT`), of TCP or UDP. One that is alone there is a
/// group of one.
pub fn groups(sockets: &[Socket]) -> Vec<ReuseportGroup> {
    let mut groups: Vec<(Place<'_>, ReuseportGroup)> = Vec::new();
    for (index, socket) in sockets.iter().enumerate() {
        let Some(place) = Place::of(socket) else { continue };
        match groups.iter_mut().find(|(other, _)| *other == place) {
            Some((_, group)) => group.members.push(index),
            None => {
                let choice = match socket.kind {
                    Kind::Datagram => Choice::Sender(sys::random().unwrap_or_default()),
                    _ => Choice::Random,
                };
                groups.push((place, ReuseportGroup { members: vec![index], choice }));
            }
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// What sockets have in common that the kernel counts as one group.
#[derive(PartialEq)]
struct Place<'a> {
    address: &'a Address,
    datagrams: bool,
    protocol: Option<u32>,
    device: Option<u32>,
}

impl Place<'_> {
    fn of(socket: &Socket) -> Option<Place<'_>> {
        let address = socket.address.as_ref().filter(|a| matches!(a, Address::Inet(_)))?;
        let datagrams = match socket.kind {
            Kind::Listener => false,
            Kind::Datagram => true,
            Kind::Connection | Kind::OtherSocket | Kind::Fifo | Kind::Special => return None,
        };
        if !getsockopt(socket, sockopt::ReusePort).unwrap_or(false) {
            return None;
        }
        let number = |name| {
            let mut value = [0];
            sys::socket_option(socket.as_fd(), libc::SOL_SOCKET, name, &mut value).ok()?;
            Some(value[0])
        };
        let protocol = number(libc::SO_PROTOCOL);
        Some(Place { address, datagrams, protocol, device: number(libc::SO_BINDTOIFINDEX) })
    }
}

impl ReuseportGroup {
    /// Lets new connections go only to the members that are open; if all or none are, the kernel's own
    /// hash decides.
    ///
    /// # Errors
    ///
    /// setsockopt(2): `ENOMEM` if the program is too long (`net.core.optmem_max`), `EINVAL` if the sockets are no
    /// group.
    pub fn open(&self, sockets: &[Socket], open: &[bool]) -> io::Result<()> {
        let Some(first) = self.first(sockets) else { return Ok(()) };
        match program(self.choice, open) {
            Some(program) => sys::steer::attach(first, &program),
            None => self.release(sockets),
        }
    }

    /// Takes any selector off.
    ///
    /// # Errors
    ///
    /// setsockopt(2)
    pub fn release(&self, sockets: &[Socket]) -> io::Result<()> {
        let Some(first) = self.first(sockets) else { return Ok(()) };
        match sys::steer::detach(first) {
            // There was none.
            Err(why) if why.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            result => result,
        }
    }

    fn first<'a>(&self, sockets: &'a [Socket]) -> Option<std::os::fd::BorrowedFd<'a>> {
        Some(sockets.get(*self.members.first()?)?.as_fd())
    }

    /// Whether the kernel's order is this one, as far as the kernel tells. It lists the sockets that listen
    /// on one port in the order in which they began to, of IPv4 the last first.
    pub fn disorder(&self, sockets: &[Socket]) -> Option<Disorder> {
        let mut ours = Vec::new();
        for &member in &self.members {
            let inode = fstat(&sockets.get(member)?.fd).ok()?.st_ino;
            ours.push(u32::try_from(inode).ok()?);
        }
        let first = sockets.get(*self.members.first()?)?;
        let address = first.address.as_ref().filter(|_| first.kind == Kind::Listener)?;
        let Address::Inet(inet) = address else { return None };
        let mut there = Vec::new();
        let collect = |socket: diag::SocketAnswer| {
            if socket.address.as_ref() == Some(address) {
                there.push(socket.inode);
            }
            ControlFlow::Continue(())
        };
        Diag::open().ok()?.ask_for_all(&diag::tcp_listeners(inet.is_ipv6()), collect);
        judge(&ours, &there)
    }
}

fn judge(ours: &[u32], there: &[u32]) -> Option<Disorder> {
    // Another network namespace, or another protocol: the order is unknown.
    if !ours.iter().all(|socket| there.contains(socket)) {
        return None;
    }
    let strangers = there.len() - ours.len();
    let backwards: Vec<u32> = there.iter().rev().copied().collect();
    match there.starts_with(ours) || backwards.starts_with(ours) {
        true => None,
        false if strangers > 0 => Some(Disorder::Strangers(strangers)),
        false => Some(Disorder::Shuffled),
    }
}

#[cfg(test)]
#[path = "steer_tests.rs"]
mod tests;
