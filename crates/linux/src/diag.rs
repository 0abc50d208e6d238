//! Asks the kernel about sockets (sock_diag(7)), also about those of other processes in the same network
//! namespace. [`wire::diag`](herder_wire::diag) has the format of requests and answers.

use herder_wire::diag::{Part, SocketAnswer, parts};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};

/// The most bytes that the kernel puts into one datagram of a long answer.
const DATAGRAM: usize = 32 * 1024;

/// A netlink socket, by which the kernel is asked.
#[derive(Debug)]
pub struct Diag(OwnedFd);

impl Diag {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// socket(2): `EAFNOSUPPORT` where `RestrictAddressFamilies=` forbids AF_NETLINK.
    pub fn open() -> Result<Diag, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = Some(SockProtocol::NetlinkSockDiag);
        socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol).map(Diag)
    }

    /// Asks about one socket; `None` if there is no such socket in this namespace.
    pub fn ask(&self, request: &[u8]) -> Option<SocketAnswer> {
        let mut buffer = [0; 512];
        let answer = self.exchange(Some(request), &mut buffer)?;
        match parts(answer).next()? {
            Part::Socket(socket) => Some(socket),
            Part::End | Part::Refused => None,
        }
    }

    /// Asks about many sockets and hands each to `each`, until there are no more or `each` breaks off. Takes
    /// the socket: the rest of the answer would be taken for the answer to the next request.
    pub fn ask_for_all(
        self,
        request: &[u8],
        mut each: impl FnMut(SocketAnswer) -> ControlFlow<()>,
    ) {
        let mut buffer = vec![0; DATAGRAM];
        let mut request = Some(request);
        while let Some(answer) = self.exchange(request.take(), &mut buffer) {
            for part in parts(answer) {
                let Part::Socket(socket) = part else { return };
                if each(socket).is_break() {
                    return;
                }
            }
        }
    }

    fn exchange<'b>(&self, request: Option<&[u8]>, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let fd = self.0.as_raw_fd();
        if let Some(request) = request {
            send(fd, request, MsgFlags::MSG_DONTWAIT).ok()?;
        }
        // The kernel has answered by the time send(2) returns, and goes on at each recv(2).
        let length = recv(fd, buffer, MsgFlags::MSG_DONTWAIT).ok()?;
        buffer.get(..length).filter(|answer| !answer.is_empty())
    }
}
