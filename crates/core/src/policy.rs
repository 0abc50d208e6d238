//! What the settings file says about *when* things happen: the part of a generation's
//! settings the core decides by. Values are final: defaults are filled in, `auto` is a number.

use crate::exit::ExitSet;
use crate::ids::{Generation, QueueId};
use crate::size::Size;
use crate::time::Span;
use alloc::vec::Vec;

/// systemd's `DefaultTimeoutAbortSec=`.
const LONGEST_ABORT: Span = Span::secs(90);

/// One generation's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `workers`, or its `min`: how many slots are wanted at least.
    pub workers: u32,
    /// More are wanted as the load asks for them; `None` is a fixed number.
    pub scaling: Option<Scaling>,
    /// `ready`: what counts as evidence that a worker serves.
    pub ready: Ready,
    /// `ready-after`: how long a worker has to live to be assumed ready (`alive`, and `auto` of one
    /// that cannot be seen waiting).
    pub ready_after: Span,
    /// Workers are given a socket: they can be seen waiting on it (`auto`, `accepting`).
    pub has_socket: bool,
    /// `ready-when`: when systemd is told READY=1.
    pub ready_when: ReadyWhen,
    /// `start-timeout`: from exec to ready; at most ten times this with EXTEND_TIMEOUT_USEC.
    pub start_timeout: Span,
    /// `min-ready-time`: how long a canary has to stay ready; `None` lets `ready` decide.
    pub min_ready_time: Option<Span>,
    /// `min-lifetime`: a worker ready for this long is *proved*.
    pub min_lifetime: Span,
    /// `max-starting`: workers between exec and ready at the same time.
    pub max_starting: Option<u32>,
    /// `crash-limit.burst`: failures of every wanted slot before herder escalates.
    pub crash_burst: u32,
    /// `crash-limit.after`: time without a ready worker before herder escalates.
    pub crash_after: Span,
    /// `max-surge`: workers more than wanted during a reload (rounded up).
    pub max_surge: Amount,
    /// `max-unavailable`: ready workers fewer than wanted during a reload (rounded down).
    pub max_unavailable: Amount,
    /// `max-draining`: draining workers a reload may leave behind; `None` means as many as wanted.
    pub max_draining: Option<u32>,
    /// `max-age`: a worker that has been ready for so long is replaced.
    pub max_age: Option<Span>,
    /// `max-memory`: one that uses more is replaced.
    pub max_memory: Option<Size>,
    /// `stop-timeout`: from the stop signal to SIGKILL.
    pub stop_timeout: Span,
    /// `stop-delay`: from SIGTERM to the first stop signal.
    pub stop_delay: Span,
    /// `success-exit-status`: endings that are normal for this server.
    pub success: ExitSet,
    /// `service-watchdog`: what a WATCHDOG=1 to systemd vouches for.
    pub service_watchdog: ServiceWatchdog,
    /// `watchdog`: how far apart a ready worker's WATCHDOG=1 may be.
    pub watchdog: Option<Span>,
    /// `stall-timeout`: how long connections may wait without one being accepted.
    pub stall_timeout: Option<Span>,
    /// `probe`: what is asked of workers, and how often.
    pub probe: Option<Probe>,
    /// `queues`: the groups of which each worker gets its own share; none if workers share every socket.
    pub queues: Vec<Vec<QueueId>>,
    /// `check` is set: a command has to succeed before a canary is started.
    pub check: bool,
}

/// `probe`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `probe.interval`: the time from an answer, or from ready, to the next question.
    pub interval: Span,
    /// `probe.timeout`: how long an answer may take; the shell sees to that.
    pub timeout: Span,
    /// `probe.failures`: this many failures in a row mean that something is wrong.
    pub failures: u32,
    /// It asks one certain worker, and not whichever answers.
    pub of_worker: bool,
}

/// An accepted set of settings: its number and its rules.
#[derive(Debug)]
pub(crate) struct Spec {
    pub generation: Generation,
    pub policy: Policy,
}

/// `workers = { min, max }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// `workers.max`: how many slots are wanted at most.
    pub max: u32,
    /// `idle-timeout`: how long a worker must not have been needed before it leaves.
    pub idle_timeout: Span,
    /// `exit-idle-time`: after what time without any worker herder itself leaves.
    pub exit_idle_time: Option<Span>,
}

/// `ready`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// READY=1, or seen waiting on its socket. A worker that has no socket, or that cannot be looked at, counts as ready
    /// once it has been alive for `ready-after` (which is only *assumed*).
    Auto,
    /// Only READY=1.
    Notify,
    /// Only seen waiting on its socket.
    Accepting,
    /// The successful exec.
    Exec,
    /// Alive for `ready-after`.
    Alive,
}

/// `ready-when`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyWhen {
    /// Every wanted slot is ready, or has had one complete attempt while one at least is ready.
    All,
    /// One worker is ready.
    Any,
}

/// `service-watchdog`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceWatchdog {
    /// herder's loop is on time.
    Loop,
    /// … and some worker is ready or within its limits on the way there.
    Workers,
}

/// A number of workers, or a share of those wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many workers.
    Number(u32),
    /// So many per cent of the wanted workers.
    Percent(u32),
}

impl Amount {
    /// The number for `wanted` workers, rounded up (`max-surge`).
    pub fn up(self, wanted: u32) -> u32 {
        self.of(wanted, 99)
    }

    /// The number for `wanted` workers, rounded down (`max-unavailable`).
    pub fn down(self, wanted: u32) -> u32 {
        self.of(wanted, 0)
    }

    fn of(self, wanted: u32, round: u64) -> u32 {
        match self {
            Amount::Number(number) => number,
            Amount::Percent(percent) => {
                let exact = u64::from(wanted) * u64::from(percent);
                u32::try_from((exact + round) / 100).unwrap_or(u32::MAX)
            }
        }
    }
}

/// The defaults that herder.toml(5) documents, for one worker.
impl Default for Policy {
    fn default() -> Policy {
        Policy {
            workers: 1,
            scaling: None,
            ready: Ready::Auto,
            ready_after: Span::secs(1),
            has_socket: false,
            ready_when: ReadyWhen::All,
            start_timeout: Span::secs(60),
            min_ready_time: None,
            min_lifetime: Span::secs(10),
            max_starting: None,
            crash_burst: 5,
            crash_after: Span::secs(90),
            max_surge: Amount::Number(1),
            max_unavailable: Amount::Number(0),
            max_draining: None,
            max_age: None,
            max_memory: None,
            stop_timeout: Span::secs(30),
            stop_delay: Span::ZERO,
            success: ExitSet::default(),
            service_watchdog: ServiceWatchdog::Loop,
            watchdog: None,
            stall_timeout: None,
            probe: None,
            queues: Vec::new(),
            check: false,
        }
    }
}

impl Policy {
    /// How many slots are wanted at most.
    pub fn most_workers(&self) -> u32 {
        self.scaling.map_or(self.workers, |scaling| scaling.max.max(self.workers))
    }

    /// The largest number of worker processes that may exist for `wanted` slots:
    /// wanted + `max-surge` + `max-draining`, and never so few that a canary cannot start.
    pub fn most_processes(&self, wanted: u32) -> u32 {
        self.most_processes_since(wanted, wanted)
    }

    /// The same while workers are left from a time when `peak` slots were wanted.
    pub fn most_processes_since(&self, wanted: u32, peak: u32) -> u32 {
        let peak = peak.max(wanted);
        peak.saturating_add(self.surge(wanted))
            .saturating_add(self.max_draining.unwrap_or(peak))
            .max(1)
    }

    /// Workers more than `wanted` that a reload may run. At least 1 if no worker can be missing
    /// either (none is wanted, or `max-unavailable = "10%"` of 4), because a reload has to be able to move.
    pub fn surge(&self, wanted: u32) -> u32 {
        let surge = self.max_surge.up(wanted);
        let stuck = surge == 0 && self.unavailable(wanted).min(wanted) == 0;
        if stuck { 1 } else { surge }
    }

    /// Ready workers fewer than `wanted` that a reload may leave.
    pub fn unavailable(&self, wanted: u32) -> u32 {
        self.max_unavailable.down(wanted)
    }

    /// How long a canary has to stay ready: not at all, unless told so, where it says itself when it is.
    pub fn soak(&self) -> Span {
        self.min_ready_time.unwrap_or(match self.ready {
            Ready::Notify => Span::ZERO,
            Ready::Auto | Ready::Accepting | Ready::Exec | Ready::Alive => Span::secs(1),
        })
    }

    /// From SIGABRT to SIGKILL: as long as any other end may take, but never for ever. (A worker that hangs finishes no
    /// request.)
    pub fn abort_timeout(&self) -> Span {
        self.stop_timeout.min(LONGEST_ABORT)
    }

    /// Whether a starting worker is looked at.
    pub(crate) fn looks(&self) -> bool {
        self.has_socket && matches!(self.ready, Ready::Auto | Ready::Accepting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_towards_progress() {
        assert_eq!(Amount::Percent(25).up(5), 2);
        assert_eq!(Amount::Percent(25).down(5), 1);
        assert_eq!(Amount::Percent(100).up(4), 4);
        assert_eq!(Amount::Percent(1).up(0), 0);
        assert_eq!(Amount::Number(3).up(1), 3);
    }

    #[test]
    fn the_bound_leaves_room_for_a_canary() {
        assert_eq!(Policy::default().most_processes(4), 9);
        let frugal = Policy {
            max_surge: Amount::Number(0),
            max_unavailable: Amount::Number(1),
            max_draining: Some(0),
            ..Policy::default()
        };
        assert_eq!(frugal.most_processes(0), 1);
        assert_eq!(frugal.most_processes(4), 4);
    }
}
