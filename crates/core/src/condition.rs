//! What clients get right now, and why: the one place that decides what an instance is doing.
//!
//! STATUS=, `herder status`, `herder health`, `herder top`, the page and the metrics show what is decided here, and READY=1
//! and the report of a degraded service follow from it.

use crate::elastic::{Elastic, Strain};
use crate::escalation::{Ending, Why};
use crate::fleet::{Fleet, Slot};
use crate::ids::SlotId;
use crate::policies::Policies;
use crate::policy::ReadyWhen;
use crate::probe::InstanceProbe;
use crate::reload::{Phase, Reload};
use crate::requests::Requests;
use crate::scale::Hold;
use crate::shown::{Condition, Outcome};
use crate::stall::Stalls;
use crate::time::{Span, Time};
use crate::words::connections;
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};

/// What keeps a worker from being ready is worth a word once it has been starting for this long.
const SLOW_START: Span = Span::secs(5);

/// Everything that the condition depends on.
pub(crate) struct Instance<'a> {
    pub fleet: &'a Fleet,
    pub policies: &'a Policies,
    pub reload: &'a Reload,
    pub requests: &'a Requests,
    pub elastic: &'a Elastic,
    pub stalls: &'a Stalls,
    pub probe: &'a InstanceProbe,
    pub ending: Option<&'a Ending>,
    /// READY=1 was sent.
    pub serving: bool,
    pub now: Time,
}

/// A status line. What follows from the passing of time is filled in when it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StatusLine {
    text: String,
    next_try: Option<Time>,
}

impl StatusLine {
    pub fn at(&self, now: Time) -> String {
        match self.next_try {
            Some(time) if time > now => {
                let seconds = (time - now).0.div_ceil(1_000_000);
                format!("{}, next try in {seconds} s", self.text)
            }
            Some(_) | None => self.text.clone(),
        }
    }
}

impl Instance<'_> {
    /// What the instance as a whole is doing.
    pub fn condition(&self) -> Condition {
        match (self.ending, self.reload.is_under_way()) {
            (Some(_), _) => Condition::Stopping,
            (None, _) if !self.serving => Condition::Starting,
            (None, true) => Condition::Reloading,
            (None, false) if self.is_degraded() => Condition::Degraded,
            (None, false) => Condition::Serving,
        }
    }

    fn is_degraded(&self) -> bool {
        self.failing_slot().is_some()
            || self.is_mixed()
            || self.is_short_handed()
            || self.stalls.stalled().is_some()
            || self.probe.failing().is_some()
    }

    /// How many workers are wanted, and how many of those serve; workers in surplus slots stand in for others.
    pub fn strength(&self) -> (u32, u32) {
        let wanted = self.policies.wanted();
        (wanted, self.fleet.serving_of(wanted))
    }

    /// It is time for READY=1: as many workers as `ready-when` asks for are ready, or every wanted slot has had one complete
    /// attempt and at least one worker is ready.
    pub fn is_up(&self) -> bool {
        let (wanted, ready) = self.strength();
        wanted == 0
            || match self.policies.good().policy.ready_when {
                ReadyWhen::Any => ready > 0,
                ReadyWhen::All => {
                    ready > 0 && (ready == wanted || self.fleet.all_attempted(wanted))
                }
            }
    }

    /// The first slot that is without a ready worker because its workers fail.
    pub fn failing_slot(&self) -> Option<(SlotId, &Slot)> {
        self.fleet.first_failing(self.policies.wanted())
    }

    /// Fewer workers serve than are wanted, and none is on the way.
    fn is_short_handed(&self) -> bool {
        let (wanted, serving) = self.strength();
        serving < wanted && self.fleet.starting() == 0
    }

    /// Some slot still has a worker of settings that were given up.
    fn is_mixed(&self) -> bool {
        !self.reload.is_under_way()
            && self.fleet.has_ready_of_others(self.policies.good().generation)
    }

    /// The line for people.
    pub fn status(&self) -> StatusLine {
        let plain = |text: String| StatusLine { text, next_try: None };
        if let Some(ending) = self.ending {
            return plain(self.ending_text(ending));
        }
        if let Some(phase) = self.reload.phase().filter(|_| self.serving) {
            return plain(self.reload_text(phase));
        }
        if let Some((id, slot)) = self.failing_slot() {
            return self.failing_line(id, slot);
        }
        let (wanted, ready) = self.strength();
        let (generation, news) = (self.policies.good().generation, self.bad_news());
        if !self.serving {
            return plain(format!("starting {ready}/{wanted}{}", self.held_up()));
        }
        if let Some((from, waiting)) = self.elastic.going_up(self.fleet, wanted) {
            return plain(format!("scaling {from} → {wanted}: {}", connections(waiting)));
        }
        if wanted == 0 && self.policies.bounds().1 > 0 {
            return plain(format!("no worker needed, {generation}{news}"));
        }
        let mixed = if self.is_mixed() { " (some workers are of another)" } else { "" };
        let recycling = self.requests.recycling();
        let recycling = recycling.map(|(done, of)| format!(", recycling {done}/{of}"));
        let recycling = recycling.unwrap_or_default();
        let load = match self.stalls.stalled() {
            Some(_) => ", stalled: connections wait and no worker accepts",
            None => self.strain_text(),
        };
        let probe = self.probe.failing().map(|why| format!(", its probe fails: {why}"));
        let probe = probe.unwrap_or_default();
        plain(format!("{ready}/{wanted} ready, {generation}{mixed}{load}{probe}{recycling}{news}"))
    }

    fn ending_text(&self, ending: &Ending) -> String {
        match ending.why() {
            Why::GivesUp(reason) => format!("giving up: {reason}"),
            Why::Idle => "nothing to do until the next connection".to_owned(),
            Why::Asked => match self.fleet.processes() {
                1 => "stopping: 1 worker left".to_owned(),
                left => format!("stopping: {left} workers left"),
            },
        }
    }

    fn reload_text(&self, phase: &Phase) -> String {
        let to = self.policies.newest_generation();
        match phase {
            Phase::Checking { .. } => format!("reload to {to}: its check runs"),
            Phase::Canary { .. } => {
                format!("reload to {to}: first worker on trial{}", self.held_up())
            }
            Phase::Rolling | Phase::Replacing => {
                let new = self.fleet.ready_of(to);
                format!("reload {new}/{} to {to}", self.policies.wanted())
            }
            Phase::RollingBack { reason, .. } => {
                format!("reload to {to} failed, rolling back: {reason}")
            }
        }
    }

    fn failing_line(&self, id: SlotId, slot: &Slot) -> StatusLine {
        let (wanted, ready) = self.strength();
        let what = match (self.serving, ready) {
            (false, _) => "starting",
            (true, 0) if self.policies.good().policy.has_socket => "not serving, clients wait,",
            (true, 0) => "not working,",
            (true, _) => "degraded",
        };
        let text = format!("{what} {ready}/{wanted}: {}", failing_text(id, slot));
        StatusLine { text, next_try: slot.is_empty().then_some(slot.not_before()) }
    }

    /// What keeps the first worker from being ready that has been starting for long.
    fn held_up(&self) -> String {
        let is_slow = |since: Time| since + SLOW_START <= self.now;
        let mut starting = self.fleet.starting_workers();
        let slow = starting.find_map(|(slot, worker)| {
            worker.state().start().filter(|start| is_slow(start.since))?;
            Some(format!(": {} ({slot}) {}", worker.id(), worker.diagnosis()?))
        });
        slow.unwrap_or_default()
    }

    /// Why connections go on waiting although more workers may be wanted than the least.
    fn strain_text(&self) -> &'static str {
        match self.elastic.strain().filter(|_| self.policies.scaling().is_some()) {
            None => "",
            Some(Strain::Full) => ", all busy: connections wait, and there may be no more workers",
            Some(Strain::Held(Hold::Memory)) => {
                ", connections wait: no more workers while memory is short"
            }
            Some(Strain::Held(Hold::Cpu)) => {
                ", connections wait: no more workers while CPUs are short"
            }
        }
    }

    /// That the last reload came to nothing, for as long as that is the last.
    fn bad_news(&self) -> String {
        let Some(past) = self.reload.past().next() else { return String::new() };
        let reason = past.reason.as_deref().unwrap_or_default();
        match (past.outcome, past.generation) {
            (Outcome::Failed, Some(to)) => format!("; reload to {to} failed: {reason}"),
            (Outcome::Refused, _) => format!("; reload refused: {reason}"),
            (Outcome::Failed | Outcome::Done | Outcome::Superseded | Outcome::Stopped, _) => {
                String::new()
            }
        }
    }
}

/// Why this slot is without a ready worker.
pub(crate) fn failing_text(id: SlotId, slot: &Slot) -> String {
    let last = slot.last().map(|last| last.ending.to_string());
    let last = last.unwrap_or_else(|| "failed".to_owned());
    match slot.failures() {
        1 => format!("{id} {last}"),
        times => format!("{id} {last}, {times} times in a row"),
    }
}
