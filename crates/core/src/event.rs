//! What the shell tells the core: facts, in the order they happened.

use crate::exit::Exit;
use crate::ids::{Generation, QueueId, RequestId, SlotId, WorkerId};
use crate::load::{Load, Queue, Weight};
use crate::policy::Policy;
use crate::time::Span;
use alloc::string::String;
use core::fmt;

/// Something that happened. An event that comes too late (its worker is gone, its reload is over) is a no-op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time passed; a deadline may be due.
    Tick,
    /// The program of this worker is running: exec succeeded.
    Spawned {
        /// Which worker.
        worker: WorkerId,
    },
    /// There is no such process: it could not be made, or could not exec.
    SpawnFailed {
        /// Which worker.
        worker: WorkerId,
        /// Why.
        failure: SpawnFailure,
    },
    /// The worker sent READY=1.
    Ready {
        /// Which worker.
        worker: WorkerId,
    },
    /// A starting worker was looked at: the outcome of [`Action::Look`](super::Action::Look).
    Seen {
        /// Which worker.
        worker: WorkerId,
        /// What was seen.
        sight: Sight,
    },
    /// The memory of a worker was measured: the outcome of [`Action::Weigh`](super::Action::Weigh).
    Weighed {
        /// Which worker.
        worker: WorkerId,
        /// What it uses.
        weight: Weight,
    },
    /// The worker sent STOPPING=1.
    Stopping {
        /// Which worker.
        worker: WorkerId,
    },
    /// The worker sent EXTEND_TIMEOUT_USEC.
    Extend {
        /// Which worker.
        worker: WorkerId,
        /// From now.
        by: Span,
    },
    /// The worker sent WATCHDOG=1.
    Alive {
        /// Which worker.
        worker: WorkerId,
    },
    /// The worker sent WATCHDOG=trigger: it is to be treated as one that hangs.
    Stuck {
        /// Which worker.
        worker: WorkerId,
    },
    /// The worker sent WATCHDOG_USEC: its WATCHDOG=1 will be that far apart.
    Interval {
        /// Which worker.
        worker: WorkerId,
        /// 0 for no watchdog.
        interval: Span,
    },
    /// Everything that a worker has sent by now has been told: the outcome of
    /// [`Action::Listen`](super::Action::Listen).
    Listened {
        /// Which worker.
        worker: WorkerId,
    },
    /// The worker's process ended. Its number stays taken until [`Action::Sweep`](super::Action::Sweep).
    Exited {
        /// Which worker.
        worker: WorkerId,
        /// How.
        exit: Exit,
    },
    /// Neither the worker nor anything it left behind is alive.
    Gone {
        /// Which worker.
        worker: WorkerId,
    },
    /// The `check` command of a generation has ended.
    Checked {
        /// Whose.
        generation: Generation,
        /// `Err` holds what it printed.
        outcome: Result<(), String>,
    },
    /// The rules of a generation are others from now on; nothing is replaced for that.
    Adjusted {
        /// Whose: one that is in force, or on its way to be.
        generation: Generation,
        /// All of its rules, the new ones among them.
        policy: Policy,
    },
    /// New settings were read and refused; nothing is to change.
    Refused {
        /// One line that says what to change.
        reason: String,
    },
    /// SIGTTIN, SIGTTOU: change the number of wanted workers.
    Scale {
        /// By so many; never below 0.
        by: i32,
    },
    /// An operator wants something done and waits for the outcome. Answered by
    /// [`Action::Answer`](super::Action::Answer), in time.
    Asked {
        /// Counts up for ever.
        request: RequestId,
        /// What is to be done.
        what: Request,
    },
    /// Something waits in a queue that is watched ([`Action::WatchQueues`](super::Action::WatchQueues)).
    QueueWaits {
        /// Which queue.
        queue: QueueId,
    },
    /// The kernel has killed processes of a worker for want of memory. Told before the
    /// [`Exited`](Event::Exited) of the worker if its own was among them, and before its
    /// [`Gone`](Event::Gone) in any case: what is counted is only this.
    OutOfMemory {
        /// Which worker.
        worker: WorkerId,
        /// How many since this was last said.
        processes: u64,
    },
    /// What the sockets and the workers are like: the outcome of [`Action::Sample`](super::Action::Sample).
    Sampled(Load),
    /// Something waits in a socket that workers are given: the watch that
    /// [`Action::Watch`](super::Action::Watch) has set is over.
    Knocked,
    /// What a probe has shown: the outcome of [`Action::Probe`](super::Action::Probe).
    Probed {
        /// Of which worker; `None` is of the instance.
        worker: Option<WorkerId>,
        /// `Err` says what is wrong.
        outcome: Result<(), String>,
    },
    /// herder was stopped, or frozen together with its workers, for an unknown time, and goes on.
    Resumed,
    /// SIGTERM and the like. A second one kills.
    Stop,
}

/// What a look at a starting worker has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It waits on a socket it was given.
    Waiting,
    /// It does not wait yet, and may still be loading: what it has, and what to change if it is not loading.
    NotYet(String),
    /// It does not wait, and does something that never leads to serving: what that is, and what to change.
    Astray(String),
    /// The kernel does not show it, and why.
    Unreadable(String),
}

/// What can be asked for at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are few requests, and each is moved into the core once"
)]
pub enum Request {
    /// New settings, which were read and found valid, in every slot. Done when every wanted slot has a ready worker of
    /// them.
    Reload {
        /// Their number, larger than every one before.
        generation: Generation,
        /// Their rules.
        policy: Policy,
    },
    /// So many workers, until the next reload that succeeds. Done when they are ready and the others
    /// were told to stop. If one of them fails, the request has; so many stay wanted.
    Scale {
        /// At most 10,000.
        workers: u32,
    },
    /// New workers with the same settings, each ready before the old one is told to stop. If a new one
    /// fails, the old one serves on and the rest is left alone. While a reload is under way this
    /// waits: whatever the reload replaces counts, and the rest follows when it is over.
    Recycle {
        /// Only in this slot; none is in every slot, one at a time.
        slot: Option<SlotId>,
    },
    /// That this worker stops; its slot gets another at once. Done when its process has ended.
    StopWorker {
        /// Which worker.
        worker: WorkerId,
    },
    /// That the reload under way is rolled back. Done when it is.
    AbortReload,
}

/// Why a worker could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnFailure {
    /// What has to change before it can work.
    pub cause: Cause,
    /// Stage and errno in words: `cannot execute /srv/app/run: No such file or directory`.
    pub text: String,
}

/// What has to change after a [`SpawnFailure`]: the settings or the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The settings name something that cannot be executed (ENOENT, EACCES, ENOEXEC, ENOTDIR, ELOOP).
    Settings,
    /// The system is short of something (EAGAIN, ENOMEM, EMFILE, ENFILE, ETXTBSY, EIO, …).
    System,
    /// Nothing: herder ends, and the shell has not tried to start what was still queued.
    Withdrawn,
}

/// One line a debug log can be replayed from.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Tick => f.write_str("tick"),
            Event::Spawned { worker } => write!(f, "{worker} spawned"),
            Event::SpawnFailed { worker, failure } => {
                write!(f, "{worker} not spawned ({:?}): {}", failure.cause, failure.text)
            }
            Event::Ready { worker } => write!(f, "{worker} says ready"),
            Event::Seen { worker, sight: Sight::Waiting } => write!(f, "{worker} seen waiting"),
            Event::Seen { worker, sight: Sight::NotYet(why) } => {
                write!(f, "{worker} not seen waiting: {why}")
            }
            Event::Seen { worker, sight: Sight::Astray(why) } => {
                write!(f, "{worker} seen astray: {why}")
            }
            Event::Seen { worker, sight: Sight::Unreadable(why) } => {
                write!(f, "{worker} not to be seen: {why}")
            }
            Event::Weighed { worker, weight: Weight::Is(size) } => {
                write!(f, "{worker} weighs {size}")
            }
            Event::Weighed { worker, weight: Weight::Same } => {
                write!(f, "{worker} weighs the same")
            }
            Event::Weighed { worker, weight: Weight::Unknown } => {
                write!(f, "{worker} is not to be weighed")
            }
            Event::Stopping { worker } => write!(f, "{worker} says stopping"),
            Event::Extend { worker, by } => write!(f, "{worker} asks for {by}"),
            Event::Alive { worker } => write!(f, "{worker} says alive"),
            Event::Stuck { worker } => write!(f, "{worker} says stuck"),
            Event::Interval { worker, interval } => write!(f, "{worker} pings every {interval}"),
            Event::Listened { worker } => write!(f, "{worker} was listened to"),
            Event::Exited { worker, exit } => write!(f, "{worker} {exit}"),
            Event::Gone { worker } => write!(f, "{worker} gone"),
            Event::Checked { generation, outcome: Ok(()) } => write!(f, "{generation} checked"),
            Event::Checked { generation, outcome: Err(why) } => {
                write!(f, "{generation} failed its check: {why}")
            }
            Event::Adjusted { generation, policy } => {
                write!(f, "adjust {generation} workers={}", policy.workers)
            }
            Event::Refused { reason } => write!(f, "reload refused: {reason}"),
            Event::Scale { by } => write!(f, "scale {by:+}"),
            Event::Asked { request, what: Request::Reload { generation, policy } } => {
                write!(f, "{request} asks: reload {generation} workers={}", policy.workers)?;
                policy.scaling.iter().try_for_each(|scaling| write!(f, "..{}", scaling.max))
            }
            Event::Asked { request, what } => write!(f, "{request} asks: {what:?}"),
            Event::OutOfMemory { worker, processes } => {
                write!(f, "{worker} lost {processes} processes for want of memory")
            }
            Event::Sampled(load) => {
                let busy: u32 = load.workers.iter().map(|(_, busy)| busy).sum();
                write!(f, "sampled: {} waiting, {busy} permille busy", load.waiting)?;
                let flags = [(load.memory_pressure, "memory"), (load.cpu_starved, "CPUs")];
                let mut short = flags.into_iter().filter(|(short, _)| *short);
                short.try_for_each(|(_, what)| write!(f, ", short of {what}"))?;
                let mut queues = load.queues.iter().filter(|queue| queue.waiting > 0);
                queues.try_for_each(|Queue { id, waiting, .. }| write!(f, ", {waiting} in {id}"))
            }
            Event::Knocked => f.write_str("knocked"),
            Event::Probed { worker, outcome } => {
                match worker {
                    Some(worker) => write!(f, "{worker} was probed: ")?,
                    None => f.write_str("the instance was probed: ")?,
                }
                f.write_str(outcome.as_ref().err().map_or("well", String::as_str))
            }
            Event::Resumed => f.write_str("resumed"),
            Event::QueueWaits { queue } => write!(f, "something waits in {queue}"),
            Event::Stop => f.write_str("stop"),
        }
    }
}
