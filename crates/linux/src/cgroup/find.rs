//! Where the tree is that was handed over to this process, and whether it was.
//!
//! systemd shows it in three ways. Its mark, the attribute `user.delegate`, is on this process's own
//! directory (252, or without `DelegateSubgroup=`); or on the directory above (`DelegateSubgroup=`);
//! or this process's directory is the root of all it can see (a cgroup namespace), and writable.

use super::{PREFIX, SUPERVISOR, group};
use crate::sys;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::{AccessFlags, access};
use std::ffi::CStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where cgroup v2 is: alone, or beside version 1.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Set to 1 where a tree is handed over (systemd 251 and later).
const DELEGATE: &CStr = c"user.delegate";
/// Set on the directory of every unit, by systemd and by a user's (251 and later); not on a subgroup.
const INVOCATION: &CStr = c"user.invocation_id";

/// Why there is no tree to divide.
#[derive(Debug)]
pub enum NoTree {
    /// No cgroup v2 here, or not one that fits.
    Unsupported(&'static str),
    /// The service manager handed none over.
    NotDelegated,
    /// Another process divides it already.
    Taken,
    /// One was handed over, and cannot be used.
    Unusable {
        /// Its directory.
        directory: PathBuf,
        /// What the kernel answered.
        why: io::Error,
    },
}

impl fmt::Display for NoTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoTree::Unsupported(why) => f.write_str(why),
            NoTree::NotDelegated => f.write_str("no part of the cgroup tree was handed over"),
            NoTree::Taken => f.write_str("another herder divides this part of the cgroup tree"),
            NoTree::Unusable { directory, why } => {
                write!(f, "cannot use {}: {why}", directory.display())
            }
        }
    }
}

/// A tree that this process may divide.
pub struct Place {
    pub directory: PathBuf,
    pub name: String,
    pub mount: PathBuf,
}

/// Finds the tree, and moves this process out of its topmost directory. systemd itself started a main
/// process.
pub fn place(is_main_process: bool) -> Result<Place, NoTree> {
    let is_unified =
        |path: &&Path| statfs(*path).is_ok_and(|fs| fs.filesystem_type() == CGROUP2_SUPER_MAGIC);
    let mount = MOUNTS.map(Path::new).into_iter().find(is_unified);
    let mount = mount.ok_or(NoTree::Unsupported("no cgroup version 2 hierarchy is mounted"))?;
    let name = of_process("self").ok_or(NoTree::Unsupported("there is no cgroup version 2"))?;
    let own = mount.join(name.trim_start_matches('/'));
    // What is mounted there may be another part of the tree, and a threaded group cannot be read.
    let me = std::process::id();
    let others = match pids(&own.join("cgroup.procs")) {
        Ok(pids) if pids.contains(&me) => pids.len() - 1,
        _ => return Err(NoTree::Unsupported("this process's cgroup is not to be seen")),
    };
    let place = |directory: &Path, name: &str| Place {
        directory: directory.to_owned(),
        name: name.to_owned(),
        mount: mount.to_owned(),
    };

    if is_delegated(&own) {
        usable(&own)?;
        return move_down(place(&own, &name));
    }
    let above = name.rsplit_once('/').map(|(above, last)| (above, last, own.parent()));
    let above = above.and_then(|(above, last, directory)| Some((above, last, directory?)));
    let delegated = above.filter(|(_, _, directory)| {
        // The cgroup of a unit has an invocation id. Above a unit that lies directly in a user
        // manager's cgroup, the cgroup is the manager's.
        name != "/" && is_delegated(directory) && attribute(&own, INVOCATION).is_none()
    });
    if let Some((above, last, directory)) = delegated {
        // A worker of another herder, or one of several beside each other.
        if is_workers(last) || (others > 0 && !is_main_process) {
            return Err(NoTree::Taken);
        }
        usable(directory)?;
        return Ok(place(directory, if above.is_empty() { "/" } else { above }));
    }
    // The machine's own root has no such file, and herder may not divide it.
    if name == "/" && own.join("cgroup.events").exists() && usable(&own).is_ok() {
        return move_down(place(&own, &name));
    }
    Err(NoTree::NotDelegated)
}

/// The process's cgroup, as seen from this process's cgroup namespace: the line of version 2, `0::PATH`
/// (cgroups(7)).
pub fn of_process(pid: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.strip_suffix(" (deleted)").unwrap_or(path).to_owned())
}

/// Whether herder gave this name to a worker's group.
pub fn is_workers(name: &str) -> bool {
    let id = name.strip_prefix(PREFIX).unwrap_or_default();
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

pub fn pids(procs: &Path) -> io::Result<Vec<u32>> {
    let text = fs::read_to_string(procs)?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

fn is_delegated(directory: &Path) -> bool {
    attribute(directory, DELEGATE).as_deref() == Some("1")
}

fn attribute(directory: &Path, name: &CStr) -> Option<String> {
    let directory = File::open(directory).ok()?;
    let mut buffer = [0; 64]; // the longer of the two has 32
    let value = sys::attribute(directory.as_fd(), name, &mut buffer).ok()?;
    String::from_utf8(value.to_owned()).ok()
}

/// Whether groups can be made there, and processes put into them.
fn usable(directory: &Path) -> Result<(), NoTree> {
    let writable = |path: &Path| access(path, AccessFlags::W_OK);
    writable(directory)
        .and_then(|()| writable(&directory.join("cgroup.procs")))
        .map_err(|errno| NoTree::Unusable { directory: directory.to_owned(), why: errno.into() })
}

/// Moves this process into a directory of its own below the tree's, where no other process may be.
fn move_down(place: Place) -> Result<Place, NoTree> {
    let directory = place.directory.join(SUPERVISOR);
    let procs = directory.join("cgroup.procs");
    let unusable = |why| NoTree::Unusable { directory: directory.clone(), why };
    match fs::create_dir(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unusable(error))?,
        Ok(()) | Err(_) => {}
    }
    if !pids(&procs).map_err(unusable)?.is_empty() {
        return Err(NoTree::Taken);
    }
    group::put(&procs, "0").map_err(unusable)?;
    // Of two that begin at the same time, at least one sees the other here.
    match pids(&procs).map_err(unusable)?.as_slice() {
        [_] => Ok(place),
        _ => Err(NoTree::Taken),
    }
}
