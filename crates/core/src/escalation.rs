//! When herder gives up, and how it ends.
//!
//! herder escalates (it drains what is left and exits non-zero, so that `Restart=`, `StartLimit*` and `OnFailure=` of the
//! unit decide) only while nothing serves. *Trouble* is the time since a worker that had proved itself was last ready; it
//! ends herder when every wanted slot has failed `crash-limit` times in it, or when it has lasted for
//! `crash-limit.after`.

use crate::fleet::Fleet;
use crate::policies::Policies;
use crate::reason::Blame;
use crate::time::{Span, Time};
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;

/// The crash loop: workers keep dying (EX_UNAVAILABLE of sysexits.h).
const UNAVAILABLE: u8 = 69;
/// The system refused (EX_OSERR).
const OS_ERROR: u8 = 71;
/// No worker became ready in time (EX_TEMPFAIL).
const TEMPORARY: u8 = 75;
/// The settings are wrong (EX_CONFIG).
pub(crate) const CONFIG: u8 = 78;

/// While no worker is ready the next try is never further away than this.
const LONGEST_DELAY_IN_AN_OUTAGE: Span = Span::secs(5);

/// How long there has been trouble, and what its failures tell.
#[derive(Debug, Default)]
pub(crate) struct Escalation {
    trouble: Option<Trouble>,
}

#[derive(Debug)]
struct Trouble {
    since: Time,
    only_timeouts: bool,
    last: Option<Blame>,
}

impl Escalation {
    /// A worker has proved itself or was of use, or other settings are to be tried afresh.
    pub fn relax(&mut self) {
        self.trouble = None;
    }

    /// A worker has failed.
    pub fn blame(&mut self, blame: Blame) {
        if let Some(trouble) = &mut self.trouble {
            trouble.only_timeouts &= blame == Blame::Timeout;
            trouble.last = Some(blame);
        }
    }

    /// Notes whether there is trouble now. In an outage the next tries are not far away.
    pub fn watch(&mut self, fleet: &mut Fleet, wanted: u32, now: Time) {
        if fleet.has_proved() || wanted == 0 {
            self.trouble = None;
        } else if self.trouble.is_none() {
            self.trouble = Some(Trouble { since: now, only_timeouts: true, last: None });
            fleet.trouble_begins();
        }
        if !fleet.serves() {
            fleet.try_by(now + LONGEST_DELAY_IN_AN_OUTAGE);
        }
    }

    /// Whether herder is to give up now: the exit status, and why.
    pub fn verdict(&self, fleet: &Fleet, policies: &Policies, now: Time) -> Option<(u8, String)> {
        let trouble = self.trouble.as_ref().filter(|_| !fleet.serves())?;
        let wanted = policies.wanted();
        let wanted_slots = || fleet.slots().take(wanted as usize);
        let burst = policies.good().policy.crash_burst;
        let worn_out = wanted_slots().all(|(_, slot)| slot.failures_in_trouble() >= burst);
        let too_long = self.deadline(fleet, policies).is_some_and(|deadline| deadline <= now);
        if !worn_out && !too_long {
            return None;
        }
        let code = match trouble.last {
            Some(Blame::System) => OS_ERROR,
            // No worker had the time to fail: `crash-limit.after` is shorter than `start-timeout`.
            None => TEMPORARY,
            Some(Blame::Worker | Blame::Timeout) if trouble.only_timeouts => TEMPORARY,
            Some(Blame::Worker | Blame::Timeout) => UNAVAILABLE,
        };
        let last =
            wanted_slots().find_map(|(id, slot)| Some(format!("{id} {}", slot.last()?.ending)));
        let last = last.unwrap_or_else(|| "none became ready".to_owned());
        Some((code, format!("no worker serves for {}: {last}", now - trouble.since)))
    }

    /// When the trouble has lasted too long. A worker that has asked for more time to start has it.
    pub fn deadline(&self, fleet: &Fleet, policies: &Policies) -> Option<Time> {
        let trouble = self.trouble.as_ref()?;
        let limit = trouble.since + policies.good().policy.crash_after;
        let starts = fleet.extended_workers().filter_map(|(_, worker)| worker.state().start());
        starts.map(|start| start.until).chain([limit]).max()
    }
}

/// How herder ends, once that is decided.
#[derive(Debug)]
pub(crate) struct Ending {
    code: u8,
    began: Time,
    /// Workers serve on until then (`stop-delay`).
    drain_at: Time,
    /// It was asked for; a second request is in a hurry.
    asked: bool,
    hurried: bool,
    why: Why,
}

/// Why herder ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was asked to stop.
    Asked,
    /// There is nothing to do until the next connection.
    Idle,
    /// Its workers keep failing.
    GivesUp(String),
}

impl Ending {
    pub fn asked(delay: Span, now: Time) -> Ending {
        Ending::new(0, Why::Asked, now + delay, now)
    }

    pub fn idle(now: Time) -> Ending {
        Ending::new(0, Why::Idle, now, now)
    }

    pub fn gives_up(code: u8, reason: String, now: Time) -> Ending {
        Ending::new(code, Why::GivesUp(reason), now, now)
    }

    fn new(code: u8, why: Why, drain_at: Time, began: Time) -> Ending {
        let asked = !matches!(why, Why::GivesUp(_));
        Ending { code, began, drain_at, asked, hurried: false, why }
    }

    /// herder was asked to stop, again or for the first time. The second request kills.
    pub fn hurry(&mut self) {
        self.hurried |= self.asked;
        self.asked = true;
    }

    pub fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// Workers are told to stop by now.
    pub fn drains(&self, now: Time) -> bool {
        self.hurried || self.drain_at <= now
    }

    pub fn why(&self) -> &Why {
        &self.why
    }

    /// Why it gives up, if it does.
    pub fn failure(&self) -> Option<&str> {
        match &self.why {
            Why::GivesUp(reason) => Some(reason),
            Why::Asked | Why::Idle => None,
        }
    }

    /// The exit status, and how long it took, now that no worker is left.
    pub fn result(&self, now: Time) -> (u8, Span) {
        (self.code, now - self.began)
    }

    pub fn deadline(&self, handled: Time) -> Option<Time> {
        Some(self.drain_at).filter(|&time| time > handled)
    }
}
