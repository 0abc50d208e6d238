//! Looks at workers: whether they wait on their sockets.

use super::Children;
use herder_core::WorkerId;
use herder_linux::sight::{self, Observation};
use herder_linux::sockets::Socket;

impl Children {
    /// Looks whether a worker waits on one of its sockets; `sockets` are all that herder has.
    pub fn look(&self, worker: WorkerId, sockets: &[Socket]) -> Option<Observation> {
        let child = self.children.get(&worker)?;
        Some(sight::look(&sight::Worker {
            pid: child.process.pid,
            group: child.group.as_ref(),
            sockets: child.sockets.iter().filter_map(|&index| sockets.get(index)).collect(),
            listen_pid: child.listen_pid,
        }))
    }
}
