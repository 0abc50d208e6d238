//! One worker's group: which processes are in it, how it is emptied, and what the kernel did to it.
//!
//! Holds no descriptor: a group is known by its path, under which no other is made while herder runs.

use super::find;
use crate::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files of the kernel's that are read here are far smaller.
const LONGEST_FILE: usize = 512;

/// What a new process needs to start in a group.
#[derive(Debug)]
pub struct Entrance {
    /// The group's directory, for clone3(2).
    pub(crate) directory: OwnedFd,
    /// The path of its `cgroup.procs`, for a process that has to go there itself.
    pub(crate) procs: CString,
}

/// A limit of a group: a number in one of its files, cgroups(7) and Documentation/admin-guide/cgroup-v2.rst of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Its name in the settings.
    pub name: &'static str,
    /// The name of the file, such as `memory.max`.
    pub file: &'static str,
    /// The text that is written to it.
    pub value: String,
}

impl Limit {
    /// The controller that has to be on for it.
    pub fn controller(&self) -> &'static str {
        self.file.split('.').next().unwrap_or(self.file)
    }
}

/// Sets limits of several groups: all of them, or, if one is refused, none.
///
/// # Errors
///
/// Those of [`Group::limit`], in words that name the limit and the group.
pub fn limit_all(changes: &[(&Group, &Limit)]) -> Result<(), String> {
    let mut before = Vec::new();
    for (group, limit) in changes {
        let set = group.limit_now(limit).and_then(|now| group.limit(limit).map(|()| now));
        match set {
            Ok(now) => before.push((group, now)),
            Err(why) => {
                for (group, limit) in before.iter().rev() {
                    // The limit held a moment ago, so it can be set; and a group that has gone needs none.
                    let _ = group.limit(limit);
                }
                let path = group.path().display();
                return Err(format!("cannot set {} of {path}: {why}", limit.name));
            }
        }
    }
    Ok(())
}

/// A cgroup for one worker and all its processes, however far they went from its session.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    /// As `/proc/PID/cgroup` says it.
    name: String,
}

impl Group {
    pub(super) fn new(path: PathBuf, name: String) -> Group {
        Group { path, name }
    }

    /// Its directory: `cpu.stat`, `memory.current` and the like are in there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The way in for a new process.
    ///
    /// # Errors
    ///
    /// open(2): the group was removed, or there are no descriptors left.
    pub fn entrance(&self) -> io::Result<Entrance> {
        let options = libc::O_PATH | libc::O_DIRECTORY;
        let directory = fs::OpenOptions::new().read(true).custom_flags(options).open(&self.path)?;
        let procs = CString::new(self.path.join("cgroup.procs").as_os_str().as_bytes())?;
        Ok(Entrance { directory: directory.into(), procs })
    }

    /// Sets a limit: of all processes in it together, from now on.
    ///
    /// # Errors
    ///
    /// `NotFound` if the controller is off, or the kernel has no such limit; `InvalidInput` and the like if
    /// it does not take the value.
    pub fn limit(&self, limit: &Limit) -> io::Result<()> {
        put(&self.path.join(limit.file), &limit.value)
    }

    /// What a limit is now, as it would be written.
    fn limit_now(&self, limit: &Limit) -> io::Result<Limit> {
        let value = fs::read_to_string(self.path.join(limit.file))?.trim_end().to_owned();
        Ok(Limit { value, ..limit.clone() })
    }

    /// Whether a process that still runs is in it, or in a group below it.
    ///
    /// # Errors
    ///
    /// The group was removed.
    pub fn is_populated(&self) -> io::Result<bool> {
        Ok(is_populated(&fs::read_to_string(self.path.join("cgroup.events"))?))
    }

    /// Whether that process is in it, or in a group below it. One that has ended is nowhere.
    pub fn has(&self, pid: i32) -> bool {
        find::of_process(&pid.to_string()).is_some_and(|name| {
            let below = name.strip_prefix(&self.name);
            below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
        })
    }

    /// The processes in it and in groups below it, but those that only wait to be reaped.
    ///
    /// # Errors
    ///
    /// The group was removed.
    pub fn members(&self) -> io::Result<Vec<i32>> {
        let mut members = Vec::new();
        // Its own first: whether it is there at all. A group below may go while it is looked for.
        collect(&self.path, &mut members)?;
        Ok(members)
    }

    /// Sends every process in it `signal`; how many that were.
    ///
    /// # Errors
    ///
    /// The group was removed.
    pub fn signal(&self, signal: i32) -> io::Result<usize> {
        let signalled = self.members()?.into_iter().filter(|pid| {
            // The pidfd stands for one process for good. Only once it is open can it be checked that this is
            // still the process that was meant.
            sys::pidfd_open(*pid).is_ok_and(|pidfd| {
                self.has(*pid) && sys::pidfd_send_signal(pidfd.as_fd(), signal).is_ok()
            })
        });
        Ok(signalled.count())
    }

    /// SIGKILL to every process in it, and to those they fork meanwhile.
    ///
    /// # Errors
    ///
    /// The group was removed.
    pub fn kill(&self) -> io::Result<()> {
        match put(&self.path.join("cgroup.kill"), "1") {
            // Before Linux 5.14.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.kill_one_by_one(),
            result => result,
        }
    }

    /// They may fork while they are counted: so until no new ones turn up, within reason.
    pub(super) fn kill_one_by_one(&self) -> io::Result<()> {
        const ROUNDS: usize = 100;
        let mut before = Vec::new();
        for _ in 0..ROUNDS {
            let members = self.members()?;
            if members.iter().all(|pid| before.contains(pid)) {
                break;
            }
            self.signal(libc::SIGKILL)?;
            before = members;
        }
        Ok(())
    }

    /// A file to be watched for [`Interest::Change`](crate::poll::Interest::Change), which comes
    /// when the last process has gone, and whether there is one now.
    ///
    /// # Errors
    ///
    /// The group was removed, or there are no descriptors left.
    pub fn watch(&self) -> io::Result<(Watch, bool)> {
        let watch = Watch(File::open(self.path.join("cgroup.events"))?);
        let populated = watch.is_populated()?;
        Ok((watch, populated))
    }

    /// Waits for the end of the last process in it: `TimedOut` if there is still one.
    pub(super) fn wait_until_empty(&self, at_most: Duration) -> io::Result<()> {
        let (watch, populated) = self.watch()?;
        let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::ZERO);
        let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLPRI)];
        if populated && poll(&mut fds, timeout)? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// How many of its processes the kernel has killed for want of memory; none if memory is not
    /// accounted for.
    pub fn oom_kills(&self) -> Option<u64> {
        super::oom_kills(&File::open(self.path.join("memory.events")).ok()?)
    }

    /// Removes it, and with it the groups that were made in it.
    ///
    /// # Errors
    ///
    /// rmdir(2): `EBUSY` while a process is in there.
    pub fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

/// A group's `cgroup.events`, watched for the end of its last process.
#[derive(Debug)]
pub struct Watch(File);

impl Watch {
    /// Whether a process still runs there. A later change is reported again.
    ///
    /// # Errors
    ///
    /// The group was removed.
    pub fn is_populated(&self) -> io::Result<bool> {
        read(&self.0).map(|text| is_populated(&text))
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The names of the directories in there: a cgroup's files are the kernel's.
pub fn directories(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Writes to a file of the kernel's; `NotFound` if there is none. (fs::write would try to make it, and
/// be answered that it may not.)
pub fn put(file: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

/// Reads a small file from its beginning. The kernel reports the next change of a watched file only after
/// that.
pub fn read(file: &File) -> io::Result<String> {
    let mut buffer = [0; LONGEST_FILE];
    let length = file.read_at(&mut buffer, 0)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// The number after `name` at the start of a line (cgroups(7), “flat keyed”).
pub fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn is_populated(events: &str) -> bool {
    field(events, "populated") == Some(1)
}

fn collect(path: &Path, members: &mut Vec<i32>) -> io::Result<()> {
    let pids = find::pids(&path.join("cgroup.procs"))?;
    // 0 is a process that this pid namespace cannot name.
    members.extend(pids.into_iter().filter(|pid| *pid != 0).map(|pid| pid as i32));
    for name in directories(path) {
        let _ = collect(&path.join(name), members);
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A group with groups in it, as a rule.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            let inside = directories(path);
            if inside.is_empty() {
                return Err(error);
            }
            for name in inside {
                remove(&path.join(name))?;
            }
            fs::remove_dir(path)
        }
        result => result,
    }
}
