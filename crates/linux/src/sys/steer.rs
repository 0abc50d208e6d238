//! Selectors of groups of sockets (`SO_ATTACH_REUSEPORT_CBPF`, socket(7)).

use super::checked;
use herder_wire::steer::Instruction;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Puts this program on the socket's group, in the place of any other.
pub fn attach(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|step| libc::sock_filter { code: step.code, jt: step.jt, jf: step.jf, k: step.k })
        .collect();
    let too_long = || io::Error::from_raw_os_error(libc::E2BIG);
    let len = u16::try_from(filter.len()).map_err(|_| too_long())?;
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    set(socket, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
}

/// Takes whatever program there is off the socket's group: `ENOENT` if there is none.
pub fn detach(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::SO_DETACH_REUSEPORT_BPF, &0_i32)
}

fn set<T>(socket: BorrowedFd<'_>, name: i32, value: &T) -> io::Result<()> {
    let size = size_of::<T>() as libc::socklen_t;
    let value = (&raw const *value).cast();
    // SAFETY: the kernel reads `size` bytes, which are there; the instructions that a program points to
    // are as many as it says and outlive the call.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, value, size) };
    checked(result.into()).map(drop)
}
