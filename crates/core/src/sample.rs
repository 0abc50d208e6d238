//! Samples of sockets and workers, and the watch that says when there is something to sample: one of each,
//! whoever wants it.
//!
//! `elastic` and `stall` each know when they want the next. A sample answers both, and a watch that goes
//! off is over for both.

use super::{Action, Herd, QueueId, SlotId, Time, WorkerId};
use alloc::vec::Vec;

/// What a sample has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections and datagrams that wait, in all sockets workers are given.
    pub waiting: u32,
    /// How many may wait, before the first is dropped; `None` where nobody can tell.
    pub limit: Option<u32>,
    /// The queues workers are given, as far as anybody can tell what waits in them.
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
    /// Which.
    pub id: QueueId,
    /// The one slot whose workers have it; `None` if several have.
    pub slot: Option<SlotId>,
    /// Connections that wait.
    pub waiting: u32,
    /// No more may wait.
    pub full: bool,
}

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Sampling {
    /// Ordered, and not answered.
    asked: bool,
    /// A watch is set.
    watched: bool,
}

/// What somebody wants to know now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    pub sample: bool,
    /// When something waits.
    pub knock: bool,
}

impl Herd {
    pub(super) fn knocked(&mut self) {
        if core::mem::take(&mut self.sampling.watched) {
            self.scaling_knocked();
            self.stalls_knocked();
        }
    }

    pub(super) fn sampled(&mut self, load: &Load) {
        if core::mem::take(&mut self.sampling.asked) {
            self.scale_by(load);
            self.see_stalls(load);
        }
    }

    /// Step 3, after everything else: orders what is needed to know of load and of stalls.
    pub(super) fn keep_sampling(&mut self) {
        let needs = [self.needs_of_scaling(), self.needs_of_stalls()];
        let Sampling { asked, watched } = self.sampling;
        if !asked && needs.iter().any(|needs| needs.sample) {
            self.sampling.asked = true;
            self.order(Action::Sample);
        }
        if !watched && needs.iter().any(|needs| needs.knock) {
            self.sampling.watched = true;
            self.order(Action::Watch);
        }
    }

    /// Workers are given other sockets now: whatever was watched no longer is.
    pub(super) fn watch_anew(&mut self) {
        self.sampling.watched = false;
    }

    pub(super) fn sampling_deadline(&self) -> Option<Time> {
        self.elastic_deadline().into_iter().chain(self.stalls_deadline()).min()
    }
}
