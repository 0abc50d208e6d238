//! What the core orders. The outcome of an order always comes back as an [`Event`](super::Event).

use crate::ids::{Generation, QueueId, RequestId, SlotId, WorkerId};
use crate::report::Report;
use crate::time::Time;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// An order to the shell, to be carried out in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a worker. Answered by `Spawned` or `SpawnFailed`.
    Spawn {
        /// The new worker's id.
        worker: WorkerId,
        /// Its place.
        slot: SlotId,
        /// The settings to start it with.
        generation: Generation,
        /// The queues it is given, of those that workers do not share.
        queues: Vec<QueueId>,
    },
    /// From now on new connections go only to queues that are not listed here.
    Steer {
        /// The queues that get nothing new; every other queue does.
        closed: Vec<QueueId>,
    },
    /// Tell once for each of these queues, and for no other, when something waits in it:
    /// [`QueueWaits`](super::Event::QueueWaits).
    WatchQueues {
        /// All that are to be watched now.
        queues: Vec<QueueId>,
    },
    /// See whether a starting worker waits on a socket it was given. Answered by `Seen`.
    Look {
        /// Which worker.
        worker: WorkerId,
    },
    /// See what memory a worker uses. Answered by `Weighed`.
    Weigh {
        /// Which worker.
        worker: WorkerId,
    },
    /// See what waits in the sockets, and what the workers use. Answered by `Sampled`.
    Sample,
    /// Tell once when something waits in a socket that workers are given, at once if something does already. Answered by
    /// `Knocked`, whenever that is. Replaces the watch before.
    Watch,
    /// Ask a worker, or the instance, whether it is well. Answered by `Probed`, within the probe's time-out.
    Probe {
        /// Which worker.
        worker: Option<WorkerId>,
    },
    /// Read all that a worker has sent by now, however much that is, and tell it as events. Answered by `Listened`, after
    /// those.
    Listen {
        /// Which worker.
        worker: WorkerId,
    },
    /// Send the worker's process its `stop-signal`. Answered by `Exited`, in time.
    Drain {
        /// Which worker.
        worker: WorkerId,
    },
    /// Send the worker's process SIGABRT, and SIGCONT, in case it was stopped. Answered by `Exited`, in time.
    Abort {
        /// Which worker.
        worker: WorkerId,
    },
    /// Send SIGKILL to the whole worker: its process, process group and session. If the worker was swept, to what it has
    /// left behind; answered by `Gone` if that is nothing.
    Kill {
        /// Which worker.
        worker: WorkerId,
    },
    /// The process has ended: tell what it has left behind to stop, then reap it. Answered by `Gone`, at once if nothing is
    /// left.
    Sweep {
        /// Which worker.
        worker: WorkerId,
        /// With SIGKILL, because the worker itself was killed, and not with its `stop-signal`.
        kill: bool,
    },
    /// SIGKILL does not end this worker: herder no longer waits for it, and wants to hear nothing more of it.
    Abandon {
        /// Which worker.
        worker: WorkerId,
    },
    /// Run the generation's `check` command. Answered by `Checked`.
    Check {
        /// Which one.
        generation: Generation,
    },
    /// No worker of this generation will ever be started again.
    Forget {
        /// Which one.
        generation: Generation,
    },
    /// Tell systemd.
    Notify(Notice),
    /// Write to the log.
    Report(Report),
    /// A request is done, or has failed: tell the operator that asked.
    Answer {
        /// Which [`Event::Asked`](super::Event::Asked) it was.
        request: RequestId,
        /// How it went.
        outcome: RequestOutcome,
    },
    /// End herder with this exit status. No order follows.
    Exit {
        /// 0, 69, 70, 71, 75 or 78.
        code: u8,
    },
}

/// What systemd is told (sd_notify(3)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// READY=1
    Ready,
    /// RELOADING=1 with MONOTONIC_USEC in the same datagram
    Reloading(Time),
    /// STOPPING=1
    Stopping,
    /// STATUS=
    Status(String),
    /// EXTEND_TIMEOUT_USEC=, 15 s
    Extend,
    /// WATCHDOG=1
    Watchdog,
}

/// What came of a [`Request`](super::Request).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It is done: how things stand now.
    Done(String),
    /// It has failed.
    Failed {
        /// What failed, and where things stand now.
        reason: String,
        /// The worker whose failure it was, if it was a worker's.
        worker: Option<WorkerId>,
    },
    /// There is no such slot or worker: what there is.
    NotFound(String),
    /// It was a reload, and a newer one took over.
    Superseded {
        /// The generation that the newer one is to bring.
        by: Generation,
    },
    /// herder is stopping.
    Stopped,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Spawn { worker, slot, generation, queues } => {
                write!(f, "spawn {worker} {slot} {generation}")?;
                queues.iter().try_for_each(|queue| write!(f, " {queue}"))
            }
            Action::Steer { closed } => write!(f, "steer away from {closed:?}"),
            Action::WatchQueues { queues } => write!(f, "watch {queues:?}"),
            Action::Look { worker } => write!(f, "look at {worker}"),
            Action::Weigh { worker } => write!(f, "weigh {worker}"),
            Action::Sample => f.write_str("sample"),
            Action::Watch => f.write_str("watch"),
            Action::Probe { worker: Some(worker) } => write!(f, "probe {worker}"),
            Action::Probe { worker: None } => f.write_str("probe the instance"),
            Action::Listen { worker } => write!(f, "listen to {worker}"),
            Action::Drain { worker } => write!(f, "drain {worker}"),
            Action::Abort { worker } => write!(f, "abort {worker}"),
            Action::Kill { worker } => write!(f, "kill {worker}"),
            Action::Sweep { worker, kill: false } => write!(f, "sweep {worker}"),
            Action::Sweep { worker, kill: true } => write!(f, "sweep {worker} with SIGKILL"),
            Action::Abandon { worker } => write!(f, "abandon {worker}"),
            Action::Check { generation } => write!(f, "check {generation}"),
            Action::Forget { generation } => write!(f, "forget {generation}"),
            Action::Notify(notice) => write!(f, "notify {notice:?}"),
            Action::Report(report) => write!(f, "report {report}"),
            Action::Answer { request, outcome } => write!(f, "answer {request} {outcome:?}"),
            Action::Exit { code } => write!(f, "exit {code}"),
        }
    }
}
