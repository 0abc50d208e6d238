//! Whether a worker is busy at this moment, as far as that can be seen without asking it.
//!
//! A process that waits for its next connection is in accept(2), or in poll(2) or select(2) with the socket;
//! one of a single thread that is blocked anywhere else is busy with the last one (it waits for a database, say).
//! One that runs may be busy, or have been woken by a connection that another has taken; and event loops and
//! threads are where they always are. How busy those are only the CPU time tells.

use super::process::{Look, Wait, wait_of};
use herder_wire::proc::{POLLFD, SystemCall, Target, polled, selected};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A moment of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupation {
    /// It waits for the next connection.
    Idle,
    /// It is blocked in something else.
    Busy,
    /// It is of one thread, which is on a CPU or waits for one.
    Running,
    /// Only its CPU time can tell.
    Unsure,
}

/// Processes of one worker that are looked at, and links and pages that are read of them, at most.
const MOST_PROCESSES: usize = 8;
const MOST_STEPS: usize = 200;

/// Descriptors in one set of poll(2) or select(2) that are looked at.
const MOST_POLLED: usize = 256;

/// What the process `pid` and those it has started are doing; `inodes` are of the sockets it was given.
pub fn occupation(pid: i32, inodes: &[u64]) -> Occupation {
    let mut look = Look::new(Path::new("/proc"), inodes, MOST_STEPS);
    let (mut left, mut seen, mut sure, mut runs) = (vec![pid], 0, true, false);
    while let Some(pid) = left.pop() {
        seen += 1;
        if seen > MOST_PROCESSES {
            return Occupation::Unsure;
        }
        match look.occupation(pid) {
            Occupation::Idle => return Occupation::Idle,
            Occupation::Busy => {}
            Occupation::Running => runs = true,
            Occupation::Unsure => sure = false,
        }
        // Empty on a kernel that does not tell: then only the worker itself is looked at.
        let children = look.of(pid, &format!("task/{pid}/children"));
        let children = fs::read_to_string(children).unwrap_or_default();
        left.extend(children.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    match (sure, runs) {
        (true, false) => Occupation::Busy,
        (true, true) if seen == 1 => Occupation::Running,
        (true | false, _) => Occupation::Unsure,
    }
}

impl Look<'_> {
    /// What one process is doing, by its first thread.
    fn occupation(&mut self, pid: i32) -> Occupation {
        let Ok(text) = fs::read_to_string(self.of(pid, "syscall")) else {
            return Occupation::Unsure;
        };
        let call = SystemCall::parse(&text);
        if call.and_then(wait_of).is_some_and(|wait| self.is_for_next(pid, &wait)) {
            return Occupation::Idle;
        }
        // A directory's links are those in it and above it, so two more than threads.
        let threads = fs::metadata(self.of(pid, "task")).map_or(0, |tasks| tasks.nlink());
        match call {
            Some(call) if threads == 3 && !is_loop(call) => Occupation::Busy,
            None if threads == 3 => Occupation::Running,
            Some(_) | None => Occupation::Unsure,
        }
    }

    fn is_for_next(&mut self, pid: i32, wait: &Wait) -> bool {
        let numbers: Vec<i32> = match *wait {
            // The upper half of the register may be anything: it is an int.
            Wait::Descriptor(number) => vec![number as i32],
            Wait::Poll { array, length } => {
                let length = usize::try_from(length).unwrap_or(MOST_POLLED).min(MOST_POLLED);
                polled(&self.memory(pid, array, length * POLLFD)).collect()
            }
            Wait::Select { set, length } => {
                let length = usize::try_from(length).unwrap_or(MOST_POLLED).min(MOST_POLLED);
                let memory = self.memory(pid, set, length.next_multiple_of(64) / 8);
                selected(&memory).filter(|number| (*number as usize) < length).collect()
            }
        };
        numbers.into_iter().any(|number| {
            let link = fs::read_link(self.of(pid, &format!("fd/{number}")));
            let target = link.map(|link| Target::of(link.as_os_str().as_bytes()));
            matches!(target, Ok(Target::Socket(inode)) if self.given.contains(&inode))
        })
    }
}

/// Where an event loop waits for whatever comes next.
fn is_loop(call: SystemCall) -> bool {
    #[allow(clippy::useless_conversion, reason = "on other architectures a long is shorter")]
    let is = |number: libc::c_long| call.number == i64::from(number);
    #[cfg(target_arch = "x86_64")]
    if is(libc::SYS_epoll_wait) {
        return true;
    }
    is(libc::SYS_epoll_pwait) || is(libc::SYS_epoll_pwait2) || is(libc::SYS_io_uring_enter)
}
