//! A cgroup for each machine: without one its systemd would put its units into whatever cgroup the tests run in, and leave
//! them there. Killing and removing goes by the cgroup too, so nothing of a machine can outlive its test.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const PREFIX: &str = "herder-system-tests-";
/// Killed processes are gone as soon as the kernel has freed their memory.
const DEATH: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The parent of this run's machines. Removes what runs that were SIGKILLed have left.
    pub fn for_this_run() -> Result<Self, String> {
        let root = unified_root()?;
        for entry in fs::read_dir(&root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                Self { path: entry.path() }.remove();
            }
        }
        Self::make(root.join(format!("{PREFIX}{}", std::process::id())))
    }

    /// What its processes have used so far.
    pub fn cpu_time(&self) -> Option<Duration> {
        let text = fs::read_to_string(self.path.join("cpu.stat")).ok()?;
        let used = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
        Some(Duration::from_micros(used.parse().ok()?))
    }

    pub fn child(&self, name: &str) -> Result<Self, String> {
        Self::make(self.path.join(name))
    }

    fn make(path: PathBuf) -> Result<Self, String> {
        fs::create_dir(&path)
            .map_err(|error| format!("cannot create the cgroup {}: {error}", path.display()))?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Kills every process in it, waits for their end and removes it.
    pub fn remove(&self) {
        self.kill();
        if let Err(error) = self.wait_until_empty().and_then(|()| remove_tree(&self.path)) {
            eprintln!("cannot remove the cgroup {}: {error}, ignoring", self.path.display());
        }
    }

    /// Kills every process in it, whatever namespace it has gone to.
    pub fn kill(&self) {
        if let Err(error) = fs::write(self.path.join("cgroup.kill"), "1") {
            eprintln!("cannot kill the cgroup {}: {error}, ignoring", self.path.display());
        }
    }

    /// cgroup.events is POLLPRI when `populated` changes (cgroups(7)).
    fn wait_until_empty(&self) -> std::io::Result<()> {
        let deadline = Instant::now() + DEATH;
        let path = self.path.join("cgroup.events");
        let events = fs::File::open(&path)?;
        loop {
            // Read through the watched descriptor's path first: a change after this read wakes the poll below.
            if fs::read_to_string(&path)?.contains("populated 0") {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            if poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout)? == 0 {
                return Err(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "its processes do not die",
                ));
            }
        }
    }
}

/// Where the cgroup v2 hierarchy is: alone, or beside version 1.
fn unified_root() -> Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mounts")
        .map_err(|error| format!("/proc/self/mounts: {error}"))?;
    let mut unified = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields.get(2) == Some(&"cgroup2"));
    unified
        .next()
        .map(|fields| PathBuf::from(fields[1]))
        .ok_or_else(|| "no cgroup version 2 hierarchy is mounted".into())
}

/// A cgroup's files cannot be unlinked, only its directories removed, from the leaves up.
fn remove_tree(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}
