//! Whether a worker waits for connections on a socket it was given: seen from outside, in `/proc`, so
//! that a program needs to know nothing of herder to be known to serve.
//!
//! What counts is an epoll set of one of its processes that watches the socket, a thread that is
//! blocked in accept(2), poll(2), select(2) or a read from it, or a connection that was accepted from
//! it (a worker that serves without a break is never seen waiting). Looks once and keeps nothing. What it cannot
//! see: io_uring, which does not tell what it waits for; and what the kernel does not show herder, such as
//! other users' processes (ptrace(2), “access mode checking”; `ProtectProc=` of systemd.exec(5)).

mod diagnosis;
mod occupation;
mod process;

pub use diagnosis::{Diagnosis, Obstacle};
pub use occupation::{Occupation, occupation};

use super::cgroup::Group;
use super::child;
use super::diag::Diag;
use super::sockets::{Kind, Socket};
use herder_wire::address::Address;
use herder_wire::diag;
use nix::sys::stat::fstat;
use process::{Look, Process};
use std::ops::ControlFlow;
use std::path::Path;

/// Links, threads and pages that one look reads at most: some milliseconds' worth.
const MOST_STEPS: usize = 2_000;

/// Connections that are looked through for one the worker has accepted, at most.
const MOST_CONNECTIONS: usize = 10_000;

/// A worker to be looked at.
#[derive(Debug)]
pub struct Worker<'a> {
    /// Its process, not reaped yet, and so its session.
    pub pid: i32,
    /// Its cgroup, if it has one.
    pub group: Option<&'a Group>,
    /// What it was given, from descriptor 3 on.
    pub sockets: Vec<&'a Socket>,
    /// It was given LISTEN_PID.
    pub listen_pid: bool,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It waits on a socket it was given, or has accepted a connection from one.
    Waiting,
    /// It does not.
    NotYet(Diagnosis),
    /// It cannot be told.
    Unreadable(Obstacle),
}

/// Whether a process can be seen waiting on this: it is a socket that others connect or send to.
pub fn can_be_seen(kind: Kind) -> bool {
    match kind {
        Kind::Listener | Kind::Datagram | Kind::OtherSocket => true,
        Kind::Connection | Kind::Fifo | Kind::Special => false,
    }
}

/// A socket the worker was given.
#[derive(Clone, Copy, Debug)]
struct Given<'a> {
    inode: u64,
    /// Its descriptor in the worker, as it was when the worker began.
    number: usize,
    socket: &'a Socket,
}

/// Looks at a worker.
pub fn look(worker: &Worker<'_>) -> Observation {
    let given: Vec<Given<'_>> = (3..)
        .zip(&worker.sockets)
        .filter(|(_, socket)| can_be_seen(socket.kind))
        .filter_map(|(number, socket)| {
            let inode = fstat(socket).ok()?.st_ino;
            Some(Given { inode, number, socket })
        })
        .collect();
    let inodes: Vec<u64> = given.iter().map(|given| given.inode).collect();
    let mut look = Look::new(Path::new("/proc"), &inodes, MOST_STEPS);
    // The process itself first: as a rule it is the one that waits, and then the others need no look.
    if look.at(worker.pid) {
        return Observation::Waiting;
    }
    let family = match worker.group.and_then(|group| group.members().ok()) {
        Some(members) => members,
        None => child::family(worker.pid).unwrap_or_default(),
    };
    let others = family.into_iter().filter(|pid| *pid != worker.pid);
    for pid in others {
        if look.at(pid) {
            return Observation::Waiting;
        }
        if look.is_exhausted() {
            break;
        }
    }
    if has_accepted(&given, &look.processes) {
        return Observation::Waiting;
    }
    match look.obstacle {
        Some(obstacle @ (Obstacle::Ring { .. } | Obstacle::Narrow { .. })) => {
            // What it does instead can be seen all the same.
            diagnosis::elsewhere(&given, &look.processes)
                .map_or(Observation::Unreadable(obstacle), |(_, diagnosis)| {
                    Observation::NotYet(diagnosis)
                })
        }
        Some(obstacle) => Observation::Unreadable(obstacle),
        None => Observation::NotYet(diagnosis::of(worker, &given, &look.processes)),
    }
}

/// Whether one of the processes has a connection that came in through a socket the worker was given.
fn has_accepted(given: &[Given<'_>], processes: &[Process]) -> bool {
    let holders = processes.iter().filter(|process| process.holds());
    let strange: Vec<u64> = holders.flat_map(|process| process.strange.iter().copied()).collect();
    let listeners = given.iter().filter(|given| given.socket.kind == Kind::Listener);
    let mut addresses = listeners.filter_map(|given| given.socket.address.as_ref());
    !strange.is_empty() && addresses.any(|address| is_connected_to(&strange, address))
}

fn is_connected_to(inodes: &[u64], address: &Address) -> bool {
    let Ok(diag) = Diag::open() else { return false };
    let Address::Inet(inet) = address else {
        let mut sockets = inodes
            .iter()
            .filter_map(|inode| diag.ask(&diag::unix_socket(u32::try_from(*inode).ok()?)));
        return sockets.any(|socket| !socket.listens && socket.address.as_ref() == Some(address));
    };
    let (mut found, mut seen) = (false, 0);
    diag.ask_for_all(&diag::tcp_connections(inet.is_ipv6(), inet.port()), |socket| {
        seen += 1;
        found = inodes.contains(&socket.inode.into());
        if found || seen == MOST_CONNECTIONS {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    found
}

#[cfg(test)]
#[path = "sight_tests.rs"]
mod tests;
