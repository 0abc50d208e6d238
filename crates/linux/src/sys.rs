//! Every `unsafe` line of herder: one wrapper for one system call that nix and the standard library
//! do not offer, or not soundly enough.
//!
//! Decides nothing. The calls that make a new process, and those it makes before it executes its
//! program, are in [`vfork`]; [`steer`] is about groups of sockets, [`code`] gives memory back. Nothing
//! else has `unsafe` in it.

use std::ffi::{CStr, c_int, c_long, c_uint};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

pub mod code;
pub mod steer;
pub mod vfork;

/// Signals are numbered from 1 to this (signal(7)).
pub const LAST_SIGNAL: i32 = 64;

/// The size of the kernel's signal set in bytes; glibc's `sigset_t` is larger.
const SIGSET_SIZE: usize = LAST_SIGNAL as usize / 8;

fn checked(result: c_long) -> io::Result<i32> {
    match i32::try_from(result) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}

// ---- descriptors ----

/// Takes ownership of a descriptor that herder was started with, and sets its `FD_CLOEXEC`: `EBADF`
/// when there is none of that number.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes an integer and touches no memory; a wrong number is answered with EBADF.
    checked(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: the descriptor is open, and the caller hands over each inherited number once
    // (`sockets::receive`), before anything else of herder knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The value of an extended attribute (fgetxattr(2)), as far as it fits into `buffer`: `ENODATA` if
/// there is no such attribute.
pub fn attribute<'b>(
    fd: BorrowedFd<'_>,
    name: &CStr,
    buffer: &'b mut [u8],
) -> io::Result<&'b [u8]> {
    let (name, value) = (name.as_ptr(), buffer.as_mut_ptr().cast());
    // SAFETY: `name` is a C string, and the kernel writes at most as many bytes as the buffer has.
    let got = unsafe { libc::fgetxattr(fd.as_raw_fd(), name, value, buffer.len()) };
    let length = checked(got as c_long)?.unsigned_abs() as usize;
    Ok(buffer.get(..length).unwrap_or_default())
}

/// Gives a file an extended attribute (setxattr(2)), as systemd does it.
#[cfg(test)]
pub fn set_attribute(path: &CStr, name: &CStr, value: &[u8]) -> io::Result<()> {
    let (path, name, bytes) = (path.as_ptr(), name.as_ptr(), value.as_ptr().cast());
    // SAFETY: two C strings, and as many bytes as there are.
    checked(unsafe { libc::setxattr(path, name, bytes, value.len(), 0) }.into()).map(drop)
}

/// Eight bytes that cannot be guessed (getrandom(2)).
pub fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the kernel writes at most as many bytes as the buffer has.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    // Requests of up to 256 bytes are never cut short once the pool is initialised.
    checked(got as c_long).map(|_| u64::from_ne_bytes(bytes))
}

/// A datagram as [`receive`] found it.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedBytes {
    /// Bytes in the buffer.
    pub length: usize,
    /// Whether the datagram was longer than the buffer.
    pub truncated: bool,
    /// Pid and uid of the sender, as the kernel says; pid 0 is one that this pid namespace cannot name.
    pub sender: Option<(i32, u32)>,
}

/// recvmsg(2) from a socket with `SO_PASSCRED`; `None` when there is nothing to read.
///
/// The control buffer has room for the sender's credentials, which come first, and for nothing else:
/// descriptors that were sent along are closed by the kernel without ever getting a number here
/// (`scm_detach_fds()`), so no sender can fill herder's descriptor table. nix wants room for them.
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<ReceivedBytes>> {
    // SAFETY: computes a size.
    const ROOM: usize = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;
    #[repr(align(8))]
    struct Control([u8; ROOM]);

    let mut control = Control([0; ROOM]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeroes is a valid msghdr: no address wanted, no buffers.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = ROOM as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: both buffers are as large as the header says, and outlive the call.
    let length = match unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) } {
        length @ 0.. => length as usize,
        _ => {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
    };
    let truncated = message.msg_flags & libc::MSG_TRUNC != 0;
    // SAFETY: the header is as the kernel left it; the result is null or points into `control`.
    let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    // SAFETY: as above, and it is not written to any more.
    let first = unsafe { first.as_ref() };
    let sender = first
        .filter(|header| header.cmsg_level == libc::SOL_SOCKET)
        .filter(|header| header.cmsg_type == libc::SCM_CREDENTIALS)
        .map(|header| {
            // SAFETY: a message of this type carries a ucred, and `control` has room for it.
            let ucred = unsafe { libc::CMSG_DATA(header).cast::<libc::ucred>() };
            // SAFETY: as above; the kernel does not promise its alignment.
            let ucred = unsafe { ucred.read_unaligned() };
            (ucred.pid, ucred.uid)
        });
    Ok(Some(ReceivedBytes { length, truncated, sender }))
}

/// getsockopt(2) of an option that is a row of numbers; how many there are, of those asked for.
pub fn socket_option(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    numbers: &mut [u32],
) -> io::Result<usize> {
    let mut size = size_of_val(numbers) as libc::socklen_t;
    let room = numbers.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `size` bytes, which is what there is room for, and any bytes
    // are valid numbers.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, room, &raw mut size) };
    checked(result.into())?;
    Ok(size as usize / size_of::<u32>())
}

/// `DeferAcceptSec=` of systemd.socket(5): `TCP_DEFER_ACCEPT` (tcp(7)), in seconds.
#[cfg(test)]
pub fn defer_accept(fd: BorrowedFd<'_>, seconds: c_int) -> io::Result<()> {
    let (name, value) = (libc::TCP_DEFER_ACCEPT, (&raw const seconds).cast());
    let size = size_of_val(&seconds) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes, which is the number.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, name, value, size) };
    checked(result.into()).map(drop)
}

// ---- processes ----

/// How a process ended, as the kernel says it (waitid(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawExit {
    /// `CLD_EXITED`, `CLD_KILLED` or `CLD_DUMPED`.
    pub code: i32,
    /// The exit status after `CLD_EXITED`, else the number of the signal, real-time ones included.
    pub status: i32,
}

/// The child waitid(2) is asked about.
#[derive(Clone, Copy, Debug)]
pub enum Wait<'fd> {
    /// The one behind a pidfd.
    Pidfd(BorrowedFd<'fd>),
    /// The one with this pid, which must not have been reaped: else it may be another's by now.
    Pid(i32),
}

/// waitid(2) with `WEXITED` and `flags`; `None` if the child still runs (with `WNOHANG`).
///
/// Not nix's: that one refuses real-time signals *after* it has reaped the child, whose end is then
/// lost.
pub fn waitid(child: Wait<'_>, flags: c_int) -> io::Result<Option<RawExit>> {
    let (kind, id) = match child {
        Wait::Pidfd(fd) => (libc::P_PIDFD, fd.as_raw_fd()),
        Wait::Pid(pid) => (libc::P_PID, pid),
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: `info` is a siginfo_t that outlives the call.
        let result =
            unsafe { libc::waitid(kind, id as c_uint, info.as_mut_ptr(), libc::WEXITED | flags) };
        match checked(result.into()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => break,
        };
    }
    // SAFETY: all zeroes is a valid siginfo_t, and the kernel has written over it.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid(2) fills in the fields of SIGCHLD, or leaves them zero.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok((pid != 0).then_some(RawExit { code: info.si_code, status }))
}

/// The CPUs this thread may run on (sched_getaffinity(2)), by number.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let mut mask: CpuMask = [0; CPU_WORDS];
    let room = mask.as_mut_ptr();
    // SAFETY: the kernel writes at most as many bytes as the mask has. Not glibc's call: its mask ends
    // at CPU 1023.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of::<CpuMask>(), room) };
    checked(result)?;
    let is_set = |cpu: &usize| mask[cpu / 64] & 1 << (cpu % 64) != 0;
    Ok((0..CPU_WORDS * 64).filter(is_set).collect())
}

/// As many CPUs as any kernel can be built for (`CONFIG_NR_CPUS`).
const CPU_WORDS: usize = 8192 / 64;

type CpuMask = [u64; CPU_WORDS];

/// A descriptor for a running process (pidfd_open(2)); close-on-exec, as all pidfds are.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes two integers.
    let fd = checked(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to the process behind a pidfd (pidfd_send_signal(2)).
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means what kill(2) sends.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0)
    };
    checked(result).map(drop)
}

/// kill(2) of a whole process group. nix's takes no real-time signals.
pub fn kill_group(group: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes two integers.
    checked(unsafe { libc::killpg(group, signal) }.into()).map(drop)
}

// ---- signals ----

static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// Runs before Rust's own start-up code, which ignores SIGPIPE in every Rust program and with that
/// hides how herder was started.
extern "C" fn look_at_sigpipe() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a null new action only reads; `action` outlives the call.
    unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zeroes is a valid sigaction (SIG_DFL), should the call have failed.
    let action = unsafe { action.assume_init() };
    SIGPIPE_WAS_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Ordering::Relaxed);
}

// SAFETY: the C start-up code calls each pointer of this section once, as a C function, before main
// (ELF gABI, DT_INIT_ARRAY); what it calls uses nothing that would need Rust's start-up code first.
#[unsafe(link_section = ".init_array")]
#[used]
static LOOK_AT_SIGPIPE: extern "C" fn() = look_at_sigpipe;

/// Whether herder itself was started with SIGPIPE ignored (`IgnoreSIGPIPE=`, systemd.exec(5)).
pub fn sigpipe_was_ignored() -> bool {
    SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed)
}

/// Gives SIGCHLD its default effect. If it is ignored, which is inherited over execve(2), the kernel reaps
/// every child by itself (sigaction(2)), and how it ended is lost. nix's needs `unsafe` to call it.
pub fn restore_sigchld() -> io::Result<()> {
    // SAFETY: takes a number and the constant for no handler; herder installs none anywhere.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sets this thread's mask of blocked signals and returns the one before.
///
/// The system call itself, because glibc keeps 32 and 33 for its threads and leaves them out.
fn set_signal_mask(blocked: u64) -> u64 {
    let mut before = 0_u64;
    // SAFETY: both sets are as large as their size says, and outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const blocked,
            &raw mut before,
            SIGSET_SIZE,
        )
    };
    before
}
