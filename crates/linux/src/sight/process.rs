//! One process of a worker: which descriptors it has, and what its threads wait for.

use super::diagnosis::Obstacle;
use herder_wire::proc::{
    POLLFD, SystemCall, Target, is_of_32_bits, polled, ring_waits, selected, watched,
};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSliceMut, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Descriptors in one set of poll(2) or select(2) that are looked at.
const MOST_POLLED: usize = 4_096;

/// What is read of a description of an epoll set or a ring: some thousand entries.
const FDINFO: u64 = 256 * 1024;

/// Bytes that are read in one step.
const PAGE: usize = 4096;

/// What was found out about one process.
#[derive(Debug)]
pub struct Process {
    pub pid: i32,
    /// Its descriptors of given sockets.
    held: Vec<i32>,
    /// The inodes of other sockets it has.
    pub strange: Vec<u64>,
}

impl Process {
    /// Whether it has a given socket.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }
}

/// A look at a worker, process after process.
#[derive(Debug)]
pub struct Look<'a> {
    /// `/proc`.
    proc: &'a Path,
    /// The inodes of what the worker was given.
    pub(super) given: &'a [u64],
    /// How many steps the look may still take.
    left: usize,
    pub processes: Vec<Process>,
    /// The first reason for which something could not be seen.
    pub obstacle: Option<Obstacle>,
}

/// What a thread is blocked on.
pub(super) enum Wait {
    Descriptor(u64),
    Poll { array: u64, length: u64 },
    Select { set: u64, length: u64 },
}

impl<'a> Look<'a> {
    /// `proc` is `/proc`, but in tests.
    pub fn new(proc: &'a Path, given: &'a [u64], steps: usize) -> Look<'a> {
        Look { proc, given, left: steps, processes: Vec::new(), obstacle: None }
    }

    /// Whether nothing more may be read.
    pub fn is_exhausted(&self) -> bool {
        self.left == 0
    }

    /// Looks at a process: whether it waits on a given socket.
    pub fn at(&mut self, pid: i32) -> bool {
        match self.look_at(pid) {
            Ok(waits) => waits,
            Err(error) => {
                self.note_failure(pid, &error);
                false
            }
        }
    }

    fn look_at(&mut self, pid: i32) -> io::Result<bool> {
        let mut process = Process { pid, held: Vec::new(), strange: Vec::new() };
        let (mut sets, mut rings) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(self.of(pid, "fd"))? {
            if !self.step(1) {
                break;
            }
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            // One that was closed just now has no link any more.
            let (Some(number), Ok(link)) = (number, fs::read_link(entry.path())) else { continue };
            match Target::of(link.as_os_str().as_bytes()) {
                Target::Socket(inode) if self.given.contains(&inode) => process.held.push(number),
                Target::Socket(inode) => process.strange.push(inode),
                Target::Epoll => sets.push(number),
                Target::Ring => rings.push(number),
                Target::Other => {}
            }
        }
        let waits = match self.any_watches(pid, &sets) {
            Ok(false) if process.holds() => self.any_thread_waits(&process),
            watches => watches,
        };
        self.processes.push(process);
        if !waits? {
            self.note_what_is_hidden(&rings);
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn of(&self, pid: i32, what: &str) -> PathBuf {
        self.proc.join(pid.to_string()).join(what)
    }

    fn any_watches(&mut self, pid: i32, sets: &[i32]) -> io::Result<bool> {
        for number in sets {
            let info = self.info(pid, *number)?;
            if watched(&info).any(|inode| self.given.contains(&inode)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `/proc/PID/fdinfo/FD`; empty if the descriptor was closed just now.
    fn info(&mut self, pid: i32, number: i32) -> io::Result<String> {
        let mut text = String::new();
        match File::open(self.of(pid, &format!("fdinfo/{number}"))) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(file) if self.step(1) => {
                file.take(FDINFO).read_to_string(&mut text)?;
                self.step(text.len() / PAGE);
                // What was left unread may be what matters.
                if text.len() as u64 == FDINFO {
                    self.obstacle.get_or_insert(Obstacle::TooMuch);
                }
            }
            Ok(_) => {}
        }
        Ok(text)
    }

    fn any_thread_waits(&mut self, process: &Process) -> io::Result<bool> {
        let pid = process.pid;
        for entry in fs::read_dir(self.of(pid, "task"))? {
            if !self.step(1) {
                break;
            }
            let thread = entry?.path();
            let text = match fs::read_to_string(thread.join("syscall")) {
                Ok(text) => text,
                // The thread is there, and this is a kernel that does not tell, such as gVisor's.
                Err(error) if error.kind() == ErrorKind::NotFound && thread.exists() => {
                    self.obstacle.get_or_insert(Obstacle::Unsaid);
                    return Ok(false);
                }
                // The thread has ended. (proc_pid_syscall(5): ESRCH once it is being reaped.)
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            let wait = SystemCall::parse(&text).and_then(wait_of);
            if wait.is_some_and(|wait| self.is_for_given(process, &wait)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_for_given(&mut self, process: &Process, wait: &Wait) -> bool {
        let holds = |number: i32| process.held.contains(&number);
        match *wait {
            // The upper half of the register may be anything: it is an int.
            Wait::Descriptor(number) => holds(number as i32),
            Wait::Poll { array, length } => {
                let length = usize::try_from(length).unwrap_or(MOST_POLLED).min(MOST_POLLED);
                let memory = self.memory(process.pid, array, length * POLLFD);
                polled(&memory).any(holds)
            }
            Wait::Select { set, length } => {
                let length = usize::try_from(length).unwrap_or(MOST_POLLED).min(MOST_POLLED);
                let memory = self.memory(process.pid, set, length.next_multiple_of(64) / 8);
                selected(&memory).any(|number| (number as usize) < length && holds(number))
            }
        }
    }

    /// What the process has in its memory there; as much of it as can be read.
    ///
    /// The one step that can wait: for a page that has to be fetched, or for the lock of an address space. The
    /// thread's own call has just read the same bytes, so it takes a worker that has them in a file of a hung FUSE,
    /// or another of its threads stuck in mmap(2), which ps(1) would wait for, too. The service's watchdog answers.
    pub(super) fn memory(&mut self, pid: i32, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let Ok(base) = usize::try_from(address) else { return Vec::new() };
        if base == 0 || length == 0 || !self.step(1 + length / PAGE) {
            return Vec::new();
        }
        let remote = [RemoteIoVec { base, len: length }];
        let read =
            process_vm_readv(Pid::from_raw(pid), &mut [IoSliceMut::new(&mut bytes)], &remote);
        bytes.truncate(match read {
            Ok(read) => read,
            Err(errno) => {
                self.note_failure(pid, &errno.into());
                0
            }
        });
        bytes
    }

    /// Of the last process, if it has a given socket and was not seen waiting: whether that means anything.
    fn note_what_is_hidden(&mut self, rings: &[i32]) {
        let Some(process) = self.processes.last() else { return };
        let pid = process.pid;
        if !process.holds() || self.obstacle.is_some() {
            return;
        }
        let mut waits = |number: &i32| self.info(pid, *number).is_ok_and(|info| ring_waits(&info));
        if rings.iter().any(&mut waits) {
            self.obstacle = Some(Obstacle::Ring { pid });
        } else if cfg!(target_pointer_width = "64") && is_narrow(&self.of(pid, "exe")) {
            self.obstacle = Some(Obstacle::Narrow { pid });
        }
    }

    /// A process that has ended hides nothing. Nor does one that is about to end: its files belong to root by then.
    fn note_failure(&mut self, pid: i32, error: &io::Error) {
        let gone = is_gone(error) && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH);
        if !gone && !has_no_memory(&self.of(pid, "statm")) {
            let why = error.kind();
            self.obstacle.get_or_insert(Obstacle::Denied { pid, why });
        }
    }

    /// Takes so many steps. `false` if the look may not take as many.
    fn step(&mut self, steps: usize) -> bool {
        match self.left.checked_sub(steps) {
            Some(left) => self.left = left,
            None => {
                self.left = 0;
                self.obstacle.get_or_insert(Obstacle::TooMuch);
                return false;
            }
        }
        true
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// A process gives its memory back before it can be reaped; in `statm` it has no pages then
/// (proc_pid_statm(5)).
fn has_no_memory(statm: &Path) -> bool {
    fs::read_to_string(statm).is_ok_and(|text| text.starts_with("0 "))
}

/// The calls that wait for a connection or a datagram, and where they say on what.
pub(super) fn wait_of(call: SystemCall) -> Option<Wait> {
    let [first, second, ..] = call.arguments;
    #[allow(clippy::useless_conversion, reason = "on other architectures a long is shorter")]
    let is = |number: libc::c_long| call.number == i64::from(number);
    let reads = [
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_recvmmsg,
    ];
    if reads.into_iter().any(is) {
        return Some(Wait::Descriptor(first));
    }
    if is(libc::SYS_ppoll) {
        return Some(Wait::Poll { array: first, length: second });
    }
    if is(libc::SYS_pselect6) {
        return Some(Wait::Select { set: second, length: first });
    }
    // Newer architectures do without these.
    #[cfg(target_arch = "x86_64")]
    if is(libc::SYS_poll) {
        return Some(Wait::Poll { array: first, length: second });
    } else if is(libc::SYS_select) {
        return Some(Wait::Select { set: second, length: first });
    }
    None
}

fn is_narrow(program: &Path) -> bool {
    let mut head = [0; 5];
    let program = File::open(program);
    program.and_then(|mut file| file.read_exact(&mut head)).is_ok() && is_of_32_bits(&head)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

    use super::super::super::testing::until;
    use super::*;

    #[test]
    fn who_has_ended_has_no_memory() {
        let statm = |pid: u32| PathBuf::from(format!("/proc/{pid}/statm"));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        until("it has ended", || has_no_memory(&statm(child.id())));
        assert!(!has_no_memory(&statm(std::process::id())));
        child.wait().unwrap();
    }

    #[test]
    fn who_is_about_to_end_is_no_obstacle_and_who_hides_is() {
        // What cannot be read is what there is not, of a process that lives: this one.
        let me = nix::unistd::getpid().as_raw();
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join(me.to_string())).unwrap();
        for (statm, is_obstacle) in [("0 0 0 0 0 0 0\n", false), ("700 30 20 5 0 90 0\n", true)] {
            fs::write(proc.path().join(format!("{me}/statm")), statm).unwrap();
            let mut look = Look::new(proc.path(), &[], 100);
            assert!(!look.at(me));
            assert_eq!(look.obstacle.is_some(), is_obstacle, "{statm}");
        }
    }
}
