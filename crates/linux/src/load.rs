//! The figures of load, read when they are asked for: whether connections wait, how much CPU time
//! processes have had and for how much they had to wait, and whether memory is short.

use super::poll::{Interest, Poll};
use super::queue;
use super::sockets::Socket;
use super::usage::{self, Subject};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::fstat;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// What waits in sockets, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Connections, and one for each socket of another kind that has something.
    pub count: u64,
    /// How many connections may wait in the socket that is fullest, as far as that is known.
    pub limit: Option<u64>,
}

/// Looks into these sockets. (A plain file can always be read, and no client waits there.)
pub fn waiting(sockets: &[&Socket]) -> Waiting {
    let is_file = |socket: &Socket| {
        fstat(socket).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG)
    };
    let sockets: Vec<&Socket> = sockets.iter().copied().filter(|socket| !is_file(socket)).collect();
    let mut fds: Vec<PollFd<'_>> =
        sockets.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
    // What fails here is told by each socket's events.
    let _ = poll(&mut fds, PollTimeout::ZERO);
    let readable = |fd: &PollFd<'_>| fd.revents().is_some_and(|e| e.contains(PollFlags::POLLIN));
    let full: Vec<&Socket> = sockets
        .iter()
        .zip(&fds)
        .filter(|(_, fd)| readable(fd))
        .map(|(socket, _)| *socket)
        .collect();
    let mut waiting = Waiting::default();
    let mut fullest = 0;
    for queue in queue::of(&full) {
        // A worker may have been quicker. And what cannot be counted is at least one.
        let count = queue.waiting.unwrap_or(1);
        waiting.count += count;
        if count > fullest {
            fullest = count;
            waiting.limit = queue.limit;
        }
    }
    waiting
}

/// A set that is ready when something waits in one of these sockets. What cannot be watched, such as a plain
/// file, comes with the reason.
///
/// # Errors
///
/// epoll_create(2), epoll_ctl(2): no descriptors, memory or watches (`fs.epoll.max_user_watches`) left.
pub fn watch<'a>(
    sockets: impl IntoIterator<Item = &'a Socket>,
) -> io::Result<(Poll, Vec<(&'a Socket, io::Error)>)> {
    let watch = Poll::new()?;
    let mut unseen = Vec::new();
    for socket in sockets {
        match watch.add(socket, 0, Interest::Read) {
            Ok(()) => {}
            Err(why) if why.raw_os_error() == Some(libc::EPERM) => unseen.push((socket, why)),
            Err(why) => return Err(why),
        }
    }
    Ok((watch, unseen))
}

/// CPU time so far, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// The CPU time of a worker: of all its processes where it has a cgroup, else of the worker alone.
    pub used: u64,
    /// The CPU time of its first thread.
    pub ran: u64,
    /// How long its first thread was ready to run and had to wait for a CPU.
    pub delayed: u64,
}

/// The CPU time of a worker; `None` if it is gone.
pub fn cpu(worker: &Subject) -> Option<Cpu> {
    let path = format!("/proc/{}/schedstat", worker.pid);
    let (ran, delayed) = schedstat(&fs::read_to_string(path).ok()?)?;
    let used = usage::cpu(worker)?;
    Some(Cpu { used, ran, delayed })
}

/// `/proc/PID/schedstat`: nanoseconds on a CPU and waiting for one (proc(5) has it not; it is in the
/// kernel's Documentation/scheduler/sched-stats.rst).
fn schedstat(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    Some((numbers.next()?? / 1000, numbers.next()?? / 1000))
}

/// A tenth of the time some process waits for memory.
const PRESSURE: f64 = 10.0;

/// Whether processes of the cgroup, or of the machine where that does not tell, have been waiting for memory
/// in the last ten seconds (the kernel's Documentation/accounting/psi.rst).
pub fn memory_is_short(cgroup: Option<&Path>) -> bool {
    let of_group = cgroup.and_then(|path| fs::read_to_string(path.join("memory.pressure")).ok());
    let text = of_group.or_else(|| fs::read_to_string("/proc/pressure/memory").ok());
    text.as_deref().and_then(some_average).is_some_and(|average| average >= PRESSURE)
}

/// The first average of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, in per cent.
fn some_average(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10=")?.parse().ok())
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
