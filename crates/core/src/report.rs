//! What the core wants on record: one variant for each kind of thing that happens to workers and to the instance.
//!
//! The text is for people; the shell adds a `MESSAGE_ID` and fields (pid, slot, …) for machines.

use crate::exit::Exit;
use crate::ids::{Generation, SlotId, WorkerId};
use crate::reason::{Evidence, Hang, Manner, Wear};
use crate::time::Span;
use crate::words::{PERHAPS, connections};
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString as _;
use core::fmt;

/// A line for the journal. Numbers of workers are `ready` of `wanted`; spans are how long it `took`,
/// a worker `lived`, or `after` what time it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields bear the names of their types, or of the sentence above"
)]
pub enum Report {
    /// A worker's program runs.
    Started { worker: WorkerId, slot: SlotId, generation: Generation },
    /// A worker serves.
    Ready {
        worker: WorkerId,
        slot: SlotId,
        generation: Generation,
        evidence: Evidence,
        after: Span,
    },
    /// A ready worker said STOPPING=1; its replacement starts.
    Retiring { worker: WorkerId, slot: SlotId, generation: Generation },
    /// A worker's process ended; the mistake it was seen making before it was ready, if it was.
    Ended {
        worker: WorkerId,
        slot: SlotId,
        generation: Generation,
        exit: Exit,
        manner: Manner,
        lived: Span,
        was_ready: bool,
        why: Option<String>,
    },
    /// A worker was not ready in time; what it was seen doing instead, if herder looked.
    TimedOut {
        worker: WorkerId,
        slot: SlotId,
        generation: Generation,
        after: Span,
        why: Option<String>,
    },
    /// A worker runs and does nothing: it is sent SIGABRT.
    Hung { worker: WorkerId, slot: SlotId, generation: Generation, lived: Span, why: Hang },
    /// A worker could not be started.
    NotStarted { worker: WorkerId, slot: SlotId, generation: Generation, why: String },
    /// The next try in a slot has to wait.
    BackingOff { slot: SlotId, failures: u32, delay: Span },
    /// A worker outlived its stop-timeout and is killed.
    Killed { worker: WorkerId, slot: SlotId, generation: Generation, after: Span },
    /// Not even SIGKILL ends a worker.
    Unkillable { worker: WorkerId, slot: SlotId, generation: Generation },
    /// What a dead worker left behind outlived its stop-timeout and is killed.
    RemainderKilled { worker: WorkerId, slot: SlotId, generation: Generation },
    /// The kernel killed processes of a worker for want of memory.
    OutOfMemory { worker: WorkerId, slot: SlotId, generation: Generation, processes: u64 },
    /// A worker is replaced, on request or because it is worn: `by` serves, and the worker is told to stop.
    Recycled { worker: WorkerId, slot: SlotId, generation: Generation, by: WorkerId, why: Wear },
    /// A worker was not replaced, because the new one failed; it serves on.
    NotRecycled { worker: WorkerId, slot: SlotId, generation: Generation, why: String },
    /// A worker is told to stop on request.
    StopRequested { worker: WorkerId, slot: SlotId, generation: Generation },
    /// The service is up.
    Serving { ready: u32, wanted: u32 },
    /// Fewer workers are ready than wanted, because of failures.
    Degraded { ready: u32, wanted: u32, why: String },
    /// As many workers are ready as wanted, again.
    Recovered { wanted: u32, after: Span },
    /// The number of wanted workers was changed at run time.
    Scaled { from: u32, to: u32 },
    /// Connections wait in a socket that all workers have, and none has accepted one for so long.
    Stalled { waiting: u32, after: Span },
    /// One has accepted again, or there is none to do it.
    StallOver { after: Span },
    /// The probe of the instance has failed so often in a row.
    ProbeFails { failures: u32, why: String },
    /// It has succeeded again, or there is no worker to ask.
    ProbeRecovers { after: Span },
    /// More workers are wanted, because connections wait.
    ScaledUp { from: u32, to: u32, waiting: u32 },
    /// Fewer workers are wanted, because fewer would do.
    ScaledDown { from: u32, to: u32 },
    /// More workers are needed than there may be.
    ScaleLimit { most: u32, waiting: u32 },
    /// There has been nothing to do for long: herder leaves until there is.
    LeavingIdle { after: Span },
    /// A reload began.
    ReloadStarted { from: Generation, to: Generation },
    /// The first worker of the new generation proved itself.
    CanaryPassed { worker: WorkerId, slot: SlotId, to: Generation },
    /// A reload succeeded.
    Reloaded { to: Generation, took: Span },
    /// A reload failed; the last good generation is being put back.
    ReloadFailed { to: Generation, reason: String },
    /// A reload is ended on request; the last good generation is being put back.
    ReloadAborted { to: Generation },
    /// The roll-back after a failed reload is over.
    RolledBack { to: Generation, complete: bool },
    /// New settings were not accepted; nothing changed.
    ReloadRefused { reason: String },
    /// A reload ended because a newer one began.
    ReloadSuperseded { old: Generation, new: Generation },
    /// herder gives up, so that the unit's policy decides.
    Escalating { code: u8, reason: String },
    /// herder was asked to stop.
    Stopping { workers: u32 },
    /// herder leaves.
    Stopped { code: u8, took: Span },
}

impl Report {
    /// The worker it is about, if it is about one.
    pub fn worker(&self) -> Option<WorkerId> {
        match self {
            Report::Started { worker, .. }
            | Report::Ready { worker, .. }
            | Report::Retiring { worker, .. }
            | Report::Ended { worker, .. }
            | Report::TimedOut { worker, .. }
            | Report::Hung { worker, .. }
            | Report::NotStarted { worker, .. }
            | Report::Killed { worker, .. }
            | Report::Unkillable { worker, .. }
            | Report::RemainderKilled { worker, .. }
            | Report::OutOfMemory { worker, .. }
            | Report::Recycled { worker, .. }
            | Report::NotRecycled { worker, .. }
            | Report::StopRequested { worker, .. }
            | Report::CanaryPassed { worker, .. } => Some(*worker),
            Report::BackingOff { .. }
            | Report::Serving { .. }
            | Report::Degraded { .. }
            | Report::Recovered { .. }
            | Report::Scaled { .. }
            | Report::Stalled { .. }
            | Report::StallOver { .. }
            | Report::ProbeFails { .. }
            | Report::ProbeRecovers { .. }
            | Report::ScaledUp { .. }
            | Report::ScaledDown { .. }
            | Report::ScaleLimit { .. }
            | Report::LeavingIdle { .. }
            | Report::ReloadStarted { .. }
            | Report::Reloaded { .. }
            | Report::ReloadFailed { .. }
            | Report::ReloadAborted { .. }
            | Report::RolledBack { .. }
            | Report::ReloadRefused { .. }
            | Report::ReloadSuperseded { .. }
            | Report::Escalating { .. }
            | Report::Stopping { .. }
            | Report::Stopped { .. } => None,
        }
    }

    /// Its name for machines, which never changes.
    pub fn kind(&self) -> &'static str {
        match self {
            Report::Started { .. } => "worker_started",
            Report::Ready { .. } => "worker_ready",
            Report::Retiring { .. } => "worker_retiring",
            Report::Ended { .. } => "worker_ended",
            Report::TimedOut { .. } => "worker_timed_out",
            Report::Hung { .. } => "worker_hung",
            Report::NotStarted { .. } => "worker_not_started",
            Report::BackingOff { .. } => "slot_backing_off",
            Report::Killed { .. } => "worker_killed",
            Report::Unkillable { .. } => "worker_unkillable",
            Report::RemainderKilled { .. } => "remainder_killed",
            Report::OutOfMemory { .. } => "worker_out_of_memory",
            Report::Recycled { .. } => "worker_recycled",
            Report::NotRecycled { .. } => "worker_not_recycled",
            Report::StopRequested { .. } => "worker_stop_requested",
            Report::Serving { .. } => "serving",
            Report::Degraded { .. } => "degraded",
            Report::Recovered { .. } => "recovered",
            Report::Scaled { .. } => "scaled",
            Report::Stalled { .. } => "stalled",
            Report::StallOver { .. } => "stall_over",
            Report::ProbeFails { .. } => "probe_failing",
            Report::ProbeRecovers { .. } => "probe_recovered",
            Report::ScaledUp { .. } => "scaled_up",
            Report::ScaledDown { .. } => "scaled_down",
            Report::ScaleLimit { .. } => "scale_limit",
            Report::LeavingIdle { .. } => "leaving_idle",
            Report::ReloadStarted { .. } => "reload_started",
            Report::CanaryPassed { .. } => "reload_canary_passed",
            Report::Reloaded { .. } => "reload_done",
            Report::ReloadFailed { .. } => "reload_failed",
            Report::ReloadAborted { .. } => "reload_aborted",
            Report::RolledBack { .. } => "reload_rolled_back",
            Report::ReloadRefused { .. } => "reload_refused",
            Report::ReloadSuperseded { .. } => "reload_superseded",
            Report::Escalating { .. } => "giving_up",
            Report::Stopping { .. } => "stopping",
            Report::Stopped { .. } => "stopped",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Started { worker, slot, generation } => {
                write!(f, "{worker} ({slot}, {generation}) started")
            }
            Report::Ready { worker, slot, generation: _, evidence, after } => {
                write!(f, "{worker} ({slot}) is ready after {after} ({evidence})")
            }
            Report::Retiring { worker, slot, .. } => {
                write!(f, "{worker} ({slot}) is retiring, starting its replacement")
            }
            Report::Ended { worker, slot, exit, manner, lived, why, .. } => {
                write!(f, "{worker} ({slot}) {exit} {manner}, {lived} old")?;
                why.iter().try_for_each(|why| write!(f, "{PERHAPS}{why}"))
            }
            Report::TimedOut { worker, slot, after, why, .. } => {
                write!(f, "{worker} ({slot}) was not ready within {after}, stopping it")?;
                why.iter().try_for_each(|why| write!(f, ": {why}"))
            }
            Report::Hung { worker, slot, lived, why, .. } => {
                write!(f, "{worker} ({slot}) hangs, {lived} old, aborting it: {why}")
            }
            Report::NotStarted { worker, slot, why, .. } => write!(f, "{worker} ({slot}): {why}"),
            Report::BackingOff { slot, failures, delay } => {
                let times = match failures {
                    1 => "once".to_owned(),
                    _ => format!("{failures} times in a row"),
                };
                write!(f, "{slot} failed {times}, next try in {delay}")
            }
            Report::Killed { worker, slot, after, .. } => {
                write!(f, "{worker} ({slot}) did not stop within {after}, killing it")
            }
            Report::Unkillable { worker, slot, .. } => {
                write!(
                    f,
                    "{worker} ({slot}), or what it left behind, is not ended by SIGKILL, no longer waiting for it"
                )
            }
            Report::RemainderKilled { worker, slot, .. } => {
                write!(f, "killing processes that {worker} ({slot}) left behind")
            }
            Report::OutOfMemory { worker, slot, processes: 1, .. } => {
                write!(f, "the kernel killed a process of {worker} ({slot}) for want of memory")
            }
            Report::OutOfMemory { worker, slot, processes, .. } => {
                write!(
                    f,
                    "the kernel killed {processes} processes of {worker} ({slot}) for want of memory"
                )
            }
            Report::Recycled { worker, slot, by, why, .. } => {
                write!(f, "{worker} ({slot}) {why}, {by} serves in its place")?;
                match why {
                    Wear::Memory { soon: soon @ 2.., .. } => write!(
                        f,
                        "; {soon} workers there in a row have needed less than a minute for that: \
                         is max-memory too low?"
                    ),
                    Wear::Asked | Wear::Age { .. } | Wear::Memory { .. } => Ok(()),
                }
            }
            Report::NotRecycled { worker, slot, why, .. } => {
                write!(f, "{worker} ({slot}) is not recycled and serves on: {why}")
            }
            Report::StopRequested { worker, slot, .. } => {
                write!(f, "{worker} ({slot}) is told to stop, as asked")
            }
            Report::Serving { ready, wanted } => write!(f, "serving with {ready}/{wanted} workers"),
            Report::Degraded { ready, wanted, why } => {
                write!(f, "degraded {ready}/{wanted}: {why}")
            }
            Report::Recovered { wanted, after } => {
                write!(f, "recovered: {wanted}/{wanted} workers ready again after {after}")
            }
            Report::Scaled { from, to } => write!(f, "scaling {from} → {to} workers"),
            Report::Stalled { waiting, after } => write!(
                f,
                "stalled: {}, and no worker has accepted one for {after}; see what the workers do: \
                 they hang, or each is busy for longer than that",
                connections(*waiting)
            ),
            Report::StallOver { after } => write!(f, "no longer stalled, after {after}"),
            Report::ProbeFails { failures, why } => {
                let times = if *failures == 1 { "" } else { " times in a row" };
                let often = if *failures == 1 { "once".to_owned() } else { failures.to_string() };
                write!(f, "the probe has failed {often}{times}: {why}")
            }
            Report::ProbeRecovers { after } => {
                write!(f, "the probe fails no longer, after {after}")
            }
            Report::ScaledUp { from, to, waiting } => {
                write!(f, "scaling up {from} → {to} workers: {}", connections(*waiting))
            }
            Report::ScaledDown { from, to } => {
                write!(f, "scaling down {from} → {to} workers: fewer would have done for a while")
            }
            Report::ScaleLimit { most, waiting } => {
                let waits = connections(*waiting);
                write!(f, "{most} workers are busy and there may be no more: {waits}")
            }
            Report::LeavingIdle { after } => {
                write!(f, "nothing to do for {after}, leaving until the next connection")
            }
            Report::ReloadStarted { from, to } => write!(f, "reloading: {from} → {to}"),
            Report::CanaryPassed { worker, to, .. } => {
                write!(f, "{worker} is the first good worker of {to}, replacing the others")
            }
            Report::Reloaded { to, took } => write!(f, "reloaded: {to} is in service after {took}"),
            Report::ReloadFailed { to, reason } => write!(f, "reload to {to} failed: {reason}"),
            Report::ReloadAborted { to } => {
                write!(f, "reload to {to} is ended on request, rolling back")
            }
            Report::RolledBack { to, complete: true } => write!(f, "rolled back to {to}"),
            Report::RolledBack { to, complete: false } => {
                write!(
                    f,
                    "rolled back to {to}, but its files have changed: not every worker starts again"
                )
            }
            Report::ReloadRefused { reason } => {
                write!(f, "reload refused, nothing changed: {reason}")
            }
            Report::ReloadSuperseded { old, new } => write!(f, "reload to {old} gave way to {new}"),
            Report::Escalating { code, reason } => {
                write!(f, "giving up with status {code}: {reason}")
            }
            Report::Stopping { workers: 1 } => f.write_str("stopping, draining 1 worker"),
            Report::Stopping { workers } => write!(f, "stopping, draining {workers} workers"),
            Report::Stopped { code, took } => write!(f, "stopped with status {code} after {took}"),
        }
    }
}
