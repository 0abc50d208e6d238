//! The ends of workers: how each ended, the processes it left behind, and how those are reaped.
//!
//! Decides nothing: when to signal, and when to give up, is up to the daemon. Two facts shape it. A dead
//! worker stays a zombie until [`reap`]. Until then its pid, which is also the number of its session
//! and process group, is not given to another process; so the processes it left behind are signalled
//! *before* it is reaped. And herder is a subreaper (PR_SET_CHILD_SUBREAPER(2const)): processes that a
//! worker leaves behind become herder's own children, and herder reaps them, too.

use super::sys::{self, Wait};
use nix::unistd::{Pid, getsid};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

pub use super::sys::RawExit;

/// The most ancestors that are followed. A tree of processes is as deep as that only on purpose.
const MOST_ANCESTORS: usize = 4096;

/// The most processes of one worker that are looked for.
const LARGEST_FAMILY: usize = 1024;

/// From now on, processes that workers leave behind become herder's children. To be called before the
/// first worker is started.
///
/// # Errors
///
/// prctl(2), which does not fail on any supported kernel.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// How the worker behind `pidfd` ended, if it did; it stays a zombie.
///
/// # Errors
///
/// waitid(2): `ECHILD` if it was reaped before.
pub fn peek(pidfd: BorrowedFd<'_>) -> io::Result<Option<RawExit>> {
    sys::waitid(Wait::Pidfd(pidfd), libc::WNOHANG | libc::WNOWAIT)
}

/// Reaps the worker behind `pidfd` if it has ended. After this its pid may be given to another process.
///
/// # Errors
///
/// waitid(2): `ECHILD` if it was reaped before.
pub fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<RawExit>> {
    sys::waitid(Wait::Pidfd(pidfd), libc::WNOHANG)
}

/// Sends `signal` to the worker behind `pidfd`, and to nothing else. One that has ended needs none.
///
/// # Errors
///
/// pidfd_send_signal(2): `EPERM`, `EINVAL`.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    unless_gone(sys::pidfd_send_signal(pidfd, signal))
}

/// Sends `signal` to every process in the group that the worker with this pid leads, or led; it must
/// not have been reaped.
///
/// # Errors
///
/// kill(2): `EPERM` if it may signal none of them, `EINVAL`, also for a group no worker can lead:
/// to kill(2), 0 and 1 mean other things.
pub fn signal_group(group: i32, signal: i32) -> io::Result<()> {
    if group <= 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    unless_gone(sys::kill_group(group, signal))
}

fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        result => result,
    }
}

/// The session of a running process: a datagram may come from a worker, or from one of its helpers.
/// `None` if there is no such process.
pub fn session_of(pid: i32) -> Option<i32> {
    (pid > 0).then(|| getsid(Some(Pid::from_raw(pid))).ok()).flatten().map(Pid::as_raw)
}

/// Reaps children of herder that are not workers: processes that workers left behind and that have ended.
/// Call it at SIGCHLD. `is_worker` says whether herder knows a pid as a worker that it has not
/// reaped; those are left alone, so no worker's end is ever lost. Returns how many orphans still run.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn reap_orphans(is_worker: impl Fn(i32) -> bool) -> io::Result<usize> {
    let orphans = children()?.into_iter().filter(|pid| !is_worker(*pid));
    // Each is an unreaped child, so its pid is its own, and waiting for just that one is safe.
    Ok(orphans
        .filter(|pid| matches!(sys::waitid(Wait::Pid(*pid), libc::WNOHANG), Ok(None)))
        .count())
}

/// Sends `signal` to everything that runs in the session or process group of the worker with this
/// pid, which must not have been reaped. Returns how many that were; with SIGKILL, call it until there
/// are none, because they may fork meanwhile.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn signal_session(session: i32, signal: i32) -> io::Result<usize> {
    let signalled = members(session)?.into_iter().filter(|pid| {
        // The pidfd stands for one process for good. Only once it is open can it be checked that this is
        // still the process that was meant.
        sys::pidfd_open(*pid).is_ok_and(|pidfd| {
            Process::read(*pid).is_some_and(|process| process.runs_in(session))
                && sys::pidfd_send_signal(pidfd.as_fd(), signal).is_ok()
        })
    });
    Ok(signalled.count())
}

/// The sessions and process groups in which anything still runs, each number once: one look at all of
/// `/proc` says of any number of dead workers whether they left anything there. Needed only while orphans
/// run ([`reap_orphans`]): what a dead worker left has an ancestor among them.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn running_sessions() -> io::Result<BTreeSet<i32>> {
    let running = processes()?.filter_map(Process::read).filter(Process::runs);
    Ok(running.flat_map(|process| [process.session, process.group]).collect())
}

/// Whether `ancestor` is among the processes that lead to `pid`, from parent to parent; `None` if
/// there is no process `pid` to be seen. One hidden from herder (`hidepid=`, proc(5)) ends the search.
pub fn descends_from(pid: i32, ancestor: i32) -> Option<bool> {
    let mut process = Process::read(pid)?;
    for _ in 0..MOST_ANCESTORS {
        process = match process.parent {
            parent if parent == ancestor => return Some(true),
            0 | 1 => return Some(false),
            parent => match Process::read(parent) {
                Some(parent) => parent,
                None if session_of(parent).is_some() => return Some(false),
                // It has just ended, and its child has another parent: begin again.
                None => Process::read(pid)?,
            },
        };
    }
    // Only a process that hides on purpose is that far down.
    Some(true)
}

/// The processes of a worker that has no cgroup, but those that wait to be reaped: what it started,
/// and what those did, wherever they went, and what is still in its session. The worker's is the first.
///
/// # Errors
///
/// `/proc` cannot be read.
pub fn family(worker: i32) -> io::Result<Vec<i32>> {
    // A process whose parent has ended is herder's own child.
    let adopted = children()?.into_iter().filter(|pid| *pid != worker);
    let adopted = adopted.filter(|pid| session_of(*pid) == Some(worker));
    let mut family: Vec<i32> = [worker].into_iter().chain(adopted).collect();
    let mut next = 0;
    while let Some(&pid) = family.get(next).filter(|_| family.len() < LARGEST_FAMILY) {
        next += 1;
        // One that has just ended has none.
        match children_of(&pid.to_string()) {
            Ok(Some(pids)) => family.extend(pids),
            Ok(None) => return members(worker),
            Err(_) => {}
        }
    }
    family.retain(|pid| Process::read(*pid).is_some_and(|process| process.runs()));
    Ok(family)
}

fn members(session: i32) -> io::Result<Vec<i32>> {
    let running = |pid: &i32| Process::read(*pid).is_some_and(|process| process.runs_in(session));
    Ok(processes()?.filter(running).collect())
}

/// Pids of herder's children, zombies too. Reliable, which proc_tid_children(5) does not promise in
/// general, because a child leaves the list only when herder reaps it.
fn children() -> io::Result<Vec<i32>> {
    match children_of("self")? {
        Some(pids) => Ok(pids),
        None => children_by_search(),
    }
}

/// The children of any process; complete only if it reaps none meanwhile. `None` on a kernel without
/// CONFIG_PROC_CHILDREN.
fn children_of(process: &str) -> io::Result<Option<Vec<i32>>> {
    let mut pids = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let path = thread?.path();
        match fs::read_to_string(path.join("children")) {
            Ok(list) => {
                pids.extend(
                    list.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()),
                );
            }
            // Else it is the thread that has gone.
            Err(_) if path.exists() => return Ok(None),
            Err(_) => {}
        }
    }
    Ok(Some(pids))
}

fn children_by_search() -> io::Result<Vec<i32>> {
    let me = nix::unistd::getpid().as_raw();
    let mine = |pid: &i32| Process::read(*pid).is_some_and(|process| process.parent == me);
    Ok(processes()?.filter(mine).collect())
}

fn processes() -> io::Result<impl Iterator<Item = i32>> {
    let names =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()))
}

/// The parts of `/proc/PID/stat` that matter here (proc_pid_stat(5)).
struct Process {
    state: char,
    parent: i32,
    group: i32,
    session: i32,
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        // Bytes: a program may call itself anything.
        Process::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &[u8]) -> Option<Process> {
        // The second field is the program's name in parentheses; it may hold spaces and parentheses.
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = || fields.next()?.parse().ok();
        Some(Process { state, parent: number()?, group: number()?, session: number()? })
    }

    fn runs_in(&self, session: i32) -> bool {
        (self.session == session || self.group == session) && self.runs()
    }

    fn runs(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
#[path = "child_tests.rs"]
mod tests;
