//! What is known of a process that has connected to the control socket.

use crate::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Pid, Uid, getsid};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The most groups a process can be in (`NGROUPS_MAX`, sysconf(3)).
const MOST_GROUPS: usize = 65_536;

/// The process that is a client, as of when it connected (unix(7), SO_PEERCRED).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process; 0 if that lives in another pid namespace.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
    /// Its other groups.
    pub groups: Vec<u32>,
    /// Its session (setsid(2)); `None` if the process cannot be seen, or has ended meanwhile.
    pub session: Option<i32>,
}

impl Peer {
    pub(super) fn of(stream: BorrowedFd<'_>) -> io::Result<Peer> {
        let credentials = getsockopt(&stream, sockopt::PeerCredentials)?;
        let session = session(stream, credentials.pid());
        Ok(Peer {
            pid: credentials.pid(),
            uid: credentials.uid(),
            gid: credentials.gid(),
            groups: groups(stream).unwrap_or_default(),
            session,
        })
    }

    /// Whether it runs as root or as herder's own user. A worker may do so, too: look at its ancestors.
    pub fn is_root_or_self(&self) -> bool {
        self.uid == 0 || self.uid == Uid::effective().as_raw()
    }

    /// Whether it is in this group.
    pub fn is_in(&self, group: u32) -> bool {
        self.gid == group || self.groups.contains(&group)
    }
}

/// SO_PEERGROUPS, since Linux 4.13 (unix(7) does not have it): `ERANGE` for more than there is room.
fn groups(stream: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let read = |room: usize| {
        let mut groups = vec![0; room];
        let option = libc::SO_PEERGROUPS;
        let count = sys::socket_option(stream, libc::SOL_SOCKET, option, &mut groups)?;
        groups.truncate(count);
        Ok(groups)
    };
    match read(64) {
        Err(error) if is_too_short(&error) => read(MOST_GROUPS),
        groups => groups,
    }
}

fn is_too_short(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ERANGE)
}

fn session(stream: BorrowedFd<'_>, pid: i32) -> Option<i32> {
    // getsid(0) would be herder's own session.
    let pid = (pid > 0).then(|| Pid::from_raw(pid))?;
    let session = getsid(Some(pid)).ok()?;
    // The number may have been given to another process since. A pidfd tells: it is readable once
    // its process has ended (pidfd_open(2)). Kernels before 6.5 have no SO_PEERPIDFD.
    if let Ok(pidfd) = getsockopt(&stream, sockopt::PeerPidfd) {
        let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ended, PollTimeout::ZERO) != Ok(0) {
            return None;
        }
    }
    Some(session.as_raw())
}
