//! What the shell measures: the load of sockets and workers, and the memory of a worker.

use crate::ids::{QueueId, SlotId, WorkerId};
use crate::size::Size;
use alloc::vec::Vec;

/// What a sample has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections and datagrams that wait, in all sockets that workers are given.
    pub waiting: u32,
    /// How many may wait before the first is dropped; `None` where the kernel does not tell.
    pub limit: Option<u32>,
    /// The queues that workers are given, as far as the kernel tells what waits in them.
    pub queues: Vec<Queue>,
    /// What share of its time each worker is busy, in permille, as far as that is known.
    pub workers: Vec<(WorkerId, u32)>,
    /// CPU time of each worker so far, in microseconds, as far as that is known.
    pub cpu: Vec<(WorkerId, u64)>,
    /// Processes wait for memory: more of them would make it worse.
    pub memory_pressure: bool,
    /// Workers wait for a CPU more than they run: more of them would make it worse.
    pub cpu_starved: bool,
}

/// A queue when it was sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Which one.
    pub id: QueueId,
    /// The one slot whose workers have it; `None` if several have.
    pub slot: Option<SlotId>,
    /// Connections that wait.
    pub waiting: u32,
    /// No more may wait.
    pub full: bool,
}

/// The memory that a worker uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// This much.
    Is(Size),
    /// It has used no CPU time since it was weighed, so what it was then.
    Same,
    /// The kernel does not tell.
    Unknown,
}
