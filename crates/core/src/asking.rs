//! When a probe is sent, and how many have failed in a row: of one worker, or of the instance.

use crate::policy::Probe;
use crate::time::{Span, Time};

/// The probes of one worker, or of the instance: one at a time, the next an interval after the last was answered.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    next: Option<Time>,
    /// A probe was ordered and has not been answered.
    asked: bool,
    /// In a row.
    failures: u32,
}

impl Asking {
    /// Plans the first probe an interval from now, or up to half an interval sooner, as `chance` from 0 to 1 has it:
    /// workers that started together are not probed together, because many commands at once might all take too long.
    pub fn begin(&mut self, now: Time, probe: Probe, chance: f64) {
        let less = (probe.interval.part(2).0 as f64 * chance) as u64;
        self.next = Some(now + Span(probe.interval.0.saturating_sub(less)));
    }

    /// Plans the first probe an interval from now, if none is planned or under way.
    pub fn plan(&mut self, now: Time, probe: Probe) {
        if !self.asked {
            self.next.get_or_insert(now + probe.interval);
        }
    }

    /// Plans nothing any more. A probe that is under way is still answered.
    pub fn end(&mut self) {
        self.next = None;
        self.failures = 0;
    }

    pub fn deadline(&self) -> Option<Time> {
        self.next.filter(|_| !self.asked)
    }

    /// Whether a probe is to be ordered now; it counts as ordered then.
    pub fn is_due(&mut self, now: Time) -> bool {
        let due = self.deadline().is_some_and(|next| next <= now);
        if due {
            self.next = None;
            self.asked = true;
        }
        due
    }

    /// A probe was answered. `false` if none was under way.
    pub fn answered(&mut self) -> bool {
        core::mem::take(&mut self.asked)
    }

    /// Plans the next probe after an answer, and counts failures in a row: how many there are now.
    pub fn note(&mut self, well: bool, now: Time, probe: Probe) -> u32 {
        self.next = Some(now + probe.interval);
        self.failures = if well { 0 } else { self.failures.saturating_add(1) };
        self.failures
    }
}
