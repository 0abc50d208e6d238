//! The workers' cgroups: made before they are needed, and removed when no replacement waits.
//!
//! A worker is worth more than its cgroup: what cannot be made is said once, and workers go without. Unless
//! the settings limit what is in it: then there is no worker without.

use herder_core::WorkerId;
use herder_linux::cgroup::{Entrance, Group, Limit, PREFIX, Tree};
use herder_linux::spawn::SpawnError;
use std::fmt::Display;
use std::io;

/// Groups that cannot be removed yet, because something in them does not die. Those beyond are left
/// to the unit's own clean-up.
const MOST_LEFT: usize = 64;

/// Where a new worker goes.
#[derive(Debug)]
pub struct Home {
    pub group: Group,
    pub entrance: Entrance,
}

/// The cgroups of workers to come and of workers that were.
#[derive(Debug)]
pub struct Groups {
    tree: Option<Tree>,
    /// Made in advance: with controllers on, to make one costs more than to start a process in it.
    spare: Option<(WorkerId, Home)>,
    left: Vec<Group>,
    warning: Option<String>,
    has_warned: bool,
}

impl Groups {
    pub fn new(tree: Option<Tree>) -> Groups {
        Groups { tree, spare: None, left: Vec::new(), warning: None, has_warned: false }
    }

    pub fn tree(&self) -> Option<&Tree> {
        self.tree.as_ref()
    }

    /// The worker in whose cgroup this process is.
    pub fn worker_of(&self, pid: i32) -> Option<WorkerId> {
        let name = self.tree.as_ref()?.group_of(pid)?;
        Some(WorkerId(name.strip_prefix(PREFIX)?.parse().ok()?))
    }

    /// One for this worker, if there can be one, with these limits.
    ///
    /// # Errors
    ///
    /// That it cannot be limited so, and the kernel's answer.
    pub fn take(
        &mut self,
        worker: WorkerId,
        limits: &[Limit],
    ) -> Result<Option<Home>, (String, io::Error)> {
        let home = match self.unlimited(worker) {
            Ok(home) => home,
            Err(why) if limits.is_empty() => {
                self.warn(format_args!("cannot make a cgroup for {worker}: {why}"));
                return Ok(None);
            }
            Err(why) => {
                return Err((format!("make its cgroup, which {} needs", limits[0].name), why));
            }
        };
        let Some(home) = home else {
            // Refused where settings are accepted; here only so that nothing is silently without limits.
            return match limits.first() {
                None => Ok(None),
                Some(limit) => {
                    Err((format!("set {}", limit.name), io::ErrorKind::Unsupported.into()))
                }
            };
        };
        let refused = limits.iter().find_map(|limit| Some((limit, home.group.limit(limit).err()?)));
        match refused {
            None => Ok(Some(home)),
            Some((limit, why)) => {
                self.leave(home.group);
                Err((format!("set {} of its cgroup to {}", limit.name, limit.value), why))
            }
        }
    }

    fn unlimited(&mut self, worker: WorkerId) -> io::Result<Option<Home>> {
        if let Some((id, home)) = self.spare.take() {
            if id == worker {
                return Ok(Some(home));
            }
            self.leave(home.group);
        }
        self.tree.as_ref().map(|tree| make(tree, worker)).transpose()
    }

    /// Makes the one that will be asked for next, and removes what is empty.
    pub fn prepare(&mut self, next: WorkerId) {
        if let (None, Some(tree)) = (&self.spare, &self.tree) {
            // If that fails it is tried again, and complained of, when it is needed.
            self.spare = make(tree, next).ok().map(|home| (next, home));
        }
        self.left.retain(|group| group.remove().is_err());
        let too_many = self.left.len().saturating_sub(MOST_LEFT);
        self.left.drain(..too_many);
    }

    /// Of a worker that is gone, or never came.
    pub fn leave(&mut self, group: Group) {
        self.left.push(group);
    }

    /// A worker was started beside its cgroup, not in it.
    pub fn refused(&mut self, worker: WorkerId, why: SpawnError) {
        self.warn(format_args!("cannot start {worker} in a cgroup of its own: {why}"));
    }

    /// What is to be said, once.
    pub fn warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    fn warn(&mut self, what: impl Display) {
        if !std::mem::replace(&mut self.has_warned, true) {
            self.warning = Some(format!(
                "{what}; it runs without one, and so will others if that goes on (this is said once)"
            ));
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in self.left.iter().chain(self.spare.iter().map(|(_, home)| &home.group)) {
            // systemd removes the rest, with the unit's own.
            let _ = group.remove();
        }
    }
}

/// Named by the worker's id, which is never used again: what is meant for one group cannot hit
/// another.
fn make(tree: &Tree, worker: WorkerId) -> io::Result<Home> {
    let group = tree.make(&format!("{PREFIX}{}", worker.0))?;
    let entrance = group.entrance()?;
    Ok(Home { group, entrance })
}
