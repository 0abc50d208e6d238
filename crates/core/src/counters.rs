//! What happened so far, in numbers.
//!
//! Almost every number follows from a [`Report`], so that what is counted and what is logged cannot differ: a new counter
//! is a field here and an arm in [`Counters::note`].

use crate::reason::{Hang, Manner, Wear};
use crate::report::Report;
use crate::shown::Outcome;
use crate::time::Span;

/// What happened so far, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Workers started in place of one that had ended without having been told to.
    pub respawns: u64,
    /// Workers that died after they had been ready for `min-lifetime`.
    pub crashes: u64,
    /// Workers for which there never was a process.
    pub failed_to_start: u64,
    /// Workers that died before they were ready.
    pub died_before_ready: u64,
    /// Workers that were not ready within `start-timeout`.
    pub timed_out: u64,
    /// Workers that died soon after they were ready.
    pub died_young: u64,
    /// Workers that said nothing for longer than their watchdog allows.
    pub hung: u64,
    /// Workers that let connections wait in sockets of their own for longer than `stall-timeout`.
    pub stalled: u64,
    /// Workers whose probe failed too often in a row.
    pub unfit: u64,
    /// Workers that left of their own accord, normally.
    pub retired: u64,
    /// Serving workers that were replaced: on request, or for one of the next two reasons.
    pub recycled: u64,
    /// Workers replaced because of `max-age`.
    pub recycled_for_age: u64,
    /// Workers replaced because of `max-memory`.
    pub recycled_for_memory: u64,
    /// Processes of workers that the kernel killed for want of memory.
    pub oom_kills: u64,
    /// Steps up because connections waited.
    pub scale_ups: u64,
    /// Steps down because fewer workers would do.
    pub scale_downs: u64,
    /// Times that more workers were needed than there may be.
    pub scale_limits: u64,
    /// Reloads that replaced every worker.
    pub reloads_done: u64,
    /// Reloads that failed, or were aborted on request.
    pub reloads_failed: u64,
    /// Reloads whose settings were not accepted.
    pub reloads_refused: u64,
    /// Reloads that gave way to a newer one.
    pub reloads_superseded: u64,
    /// Time spent degraded so far.
    pub degraded: Span,
}

impl Counters {
    /// Workers that could not start, died before they were ready or soon after, or timed out.
    pub fn failures(&self) -> u64 {
        self.failed_to_start + self.died_before_ready + self.timed_out + self.died_young
    }

    /// Counts what a report tells.
    pub(crate) fn note(&mut self, report: &Report) {
        match report {
            Report::NotStarted { .. } => self.failed_to_start += 1,
            Report::TimedOut { .. } => self.timed_out += 1,
            Report::Ended { manner, .. } => match manner {
                Manner::Ordered => {}
                Manner::BeforeReady => self.died_before_ready += 1,
                Manner::Young => self.died_young += 1,
                Manner::Crashed => self.crashes += 1,
                Manner::Retired => self.retired += 1,
            },
            Report::Hung { why, .. } => match why {
                Hang::Silent(_) | Hang::Mute(_) | Hang::Triggered => self.hung += 1,
                Hang::Stalled { .. } => self.stalled += 1,
                Hang::Unfit { .. } => self.unfit += 1,
            },
            Report::Recycled { why, .. } => {
                self.recycled += 1;
                match why {
                    Wear::Asked => {}
                    Wear::Age { .. } => self.recycled_for_age += 1,
                    Wear::Memory { .. } => self.recycled_for_memory += 1,
                }
            }
            Report::OutOfMemory { processes, .. } => self.oom_kills += processes,
            Report::ScaledUp { .. } => self.scale_ups += 1,
            Report::ScaledDown { .. } => self.scale_downs += 1,
            Report::ScaleLimit { .. } => self.scale_limits += 1,
            Report::Recovered { after, .. } => self.degraded = self.degraded + *after,
            Report::Started { .. }
            | Report::Ready { .. }
            | Report::Retiring { .. }
            | Report::BackingOff { .. }
            | Report::Killed { .. }
            | Report::Unkillable { .. }
            | Report::RemainderKilled { .. }
            | Report::NotRecycled { .. }
            | Report::StopRequested { .. }
            | Report::Serving { .. }
            | Report::Degraded { .. }
            | Report::Scaled { .. }
            | Report::Stalled { .. }
            | Report::StallOver { .. }
            | Report::ProbeFails { .. }
            | Report::ProbeRecovers { .. }
            | Report::LeavingIdle { .. }
            | Report::ReloadStarted { .. }
            | Report::CanaryPassed { .. }
            | Report::Reloaded { .. }
            | Report::ReloadFailed { .. }
            | Report::ReloadAborted { .. }
            | Report::RolledBack { .. }
            | Report::ReloadRefused { .. }
            | Report::ReloadSuperseded { .. }
            | Report::Escalating { .. }
            | Report::Stopping { .. }
            | Report::Stopped { .. } => {}
        }
    }

    /// A worker was started in the place of one that had ended without having been told to.
    pub(crate) fn respawned(&mut self) {
        self.respawns += 1;
    }

    /// A reload has ended.
    pub(crate) fn reloaded(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.reloads_done += 1,
            Outcome::Failed => self.reloads_failed += 1,
            Outcome::Refused => self.reloads_refused += 1,
            Outcome::Superseded => self.reloads_superseded += 1,
            Outcome::Stopped => {}
        }
    }
}
