//! The part of the cgroup tree that systemd hands over (`Delegate=`, systemd.resource-control(5)), and a
//! [`Group`] in it for each worker.
//!
//! Knows cgroup v2 only. The non-obvious fact: processes may sit only in the
//! leaves once controllers are on for a directory's children (cgroups(7), “no internal
//! processes”), so herder first moves itself out of the directory it was given into one below it.
//! Of the files that systemd manages there, herder writes `cgroup.subtree_control` only. The group `.control`
//! is systemd's as well.

mod find;
mod group;

pub use find::NoTree;
pub use group::{Entrance, Group, Limit, Watch, limit_all};

use find::Place;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where herder itself sits, unless systemd has put it somewhere (`DelegateSubgroup=`).
const SUPERVISOR: &str = "supervisor";

/// Workers' groups are named by this and a number. By their names a new herder finds the groups of an
/// earlier one.
pub const PREFIX: &str = "worker-";

/// The controllers that herder uses. Each costs the kernel something, so no others are switched on.
const CONTROLLERS: [&str; 4] = ["memory", "cpu", "pids", "io"];

/// How long herder waits at its start until the processes that an earlier herder left, and that it has
/// killed, are gone. After that it starts without having removed their groups.
const TIDY_UP: Duration = Duration::from_secs(1);

/// The directory that herder may divide into groups.
#[derive(Debug)]
pub struct Tree {
    directory: PathBuf,
    /// As `/proc/PID/cgroup` says it.
    name: String,
    /// Where the whole tree is mounted.
    mount: PathBuf,
    /// The controllers that are on for workers.
    controllers: Vec<&'static str>,
    /// Those that were offered and cannot be switched on, and why.
    refused: Vec<(&'static str, io::Error)>,
}

impl Tree {
    /// Finds the tree that was handed over to this process, moves this process to its place in
    /// there, ends and removes what an earlier herder left, and switches controllers on. A main process
    /// is one that systemd itself started: it need not be alone where systemd has put it.
    ///
    /// # Errors
    ///
    /// Why there is none. The caller decides whether that matters.
    pub fn claim(is_main_process: bool) -> Result<Tree, NoTree> {
        let Place { directory, name, mount } = find::place(is_main_process)?;
        let mut tree =
            Tree { directory, name, mount, controllers: Vec::new(), refused: Vec::new() };
        tree.tidy_up();
        tree.switch_on();
        Ok(tree)
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Its directory below the mount point, with a slash before it.
    pub fn path_in_mount(&self) -> String {
        self.below_mount(&self.directory)
    }

    /// As [`Tree::path_in_mount`], of a worker's group.
    pub fn group_in_mount(&self, group: &Group) -> String {
        self.below_mount(group.path())
    }

    fn below_mount(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.mount).unwrap_or(path);
        format!("/{}", path.display())
    }

    /// The controllers that are on for workers, by name.
    pub fn controllers(&self) -> &[&'static str] {
        &self.controllers
    }

    /// The controllers that were offered and could not be switched on, each with the kernel's answer.
    pub fn refused(&self) -> &[(&'static str, io::Error)] {
        &self.refused
    }

    /// Makes a new, empty group.
    ///
    /// # Errors
    ///
    /// mkdir(2): too many, too deep, no permission; or one of that name is there and in use.
    pub fn make(&self, name: &str) -> io::Result<Group> {
        let group = self.group(name);
        match fs::create_dir(group.path()) {
            // A group of an earlier herder, which was still ending when this one began. Its counts must not
            // be taken for those of the new worker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                group.remove()?;
                fs::create_dir(group.path())?;
            }
            made => made?,
        }
        Ok(group)
    }

    /// The name of the group in which that process is, or of the one that its own is below.
    pub fn group_of(&self, pid: i32) -> Option<String> {
        let name = find::of_process(&pid.to_string())?;
        let below = name.strip_prefix(self.name.trim_end_matches('/'))?.strip_prefix('/')?;
        below.split('/').next().map(str::to_owned)
    }

    fn group(&self, name: &str) -> Group {
        Group::new(self.directory.join(name), format!("{}/{name}", self.name.trim_end_matches('/')))
    }

    /// `memory.events` of everything together, if memory is accounted for: to be watched for
    /// [`Interest::Change`](super::poll::Interest::Change), and read by [`oom_kills`].
    pub fn memory_events(&self) -> Option<File> {
        let wanted = self.controllers.contains(&"memory");
        wanted.then(|| File::open(self.directory.join("memory.events")).ok()).flatten()
    }

    /// Kills and removes the groups of an earlier herder. What does not go in time is left alone.
    fn tidy_up(&self) {
        let deadline = Instant::now() + TIDY_UP;
        let names = group::directories(&self.directory).into_iter();
        let workers = names.filter(|name| find::is_workers(name)).map(|name| self.group(&name));
        let workers: Vec<Group> = workers.collect();
        for group in &workers {
            let _ = group.kill();
        }
        for group in &workers {
            let left = deadline.saturating_duration_since(Instant::now());
            let _ = group.wait_until_empty(left).and_then(|()| group.remove());
        }
    }

    fn switch_on(&mut self) {
        let list = |file: &str| {
            let text = fs::read_to_string(self.directory.join(file)).unwrap_or_default();
            move |name: &str| text.split_ascii_whitespace().any(|there| there == name)
        };
        let (offered, is_on) = (list("cgroup.controllers"), list("cgroup.subtree_control"));
        for controller in CONTROLLERS.into_iter().filter(|name| offered(name)) {
            // One by one: the kernel refuses a whole list if it refuses one controller of it.
            let file = self.directory.join("cgroup.subtree_control");
            match group::put(&file, &format!("+{controller}")) {
                Err(why) if !is_on(controller) => self.refused.push((controller, why)),
                Ok(()) | Err(_) => self.controllers.push(controller),
            }
        }
    }
}

/// How many processes the kernel has killed for want of memory, from a `memory.events` file
/// (cgroups(7)); those of nested groups count. A reader that watches it is told of changes after this.
pub fn oom_kills(events: &File) -> Option<u64> {
    group::field(&group::read(events).ok()?, "oom_kill")
}

#[cfg(test)]
#[path = "cgroup/tests.rs"]
mod tests;
