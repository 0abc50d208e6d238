//! The watchdog of one worker: what is known of its pings (WATCHDOG=1 of sd_notify(3)).
//!
//! Silence proves that a worker hangs only if herder has listened: herder may have been stopped itself, frozen with
//! its workers, or be late. So an interval that is over only raises a *doubt*. A moment later, in a turn that comes
//! on time, what the worker has sent by then is read; if there is no ping among it, the worker hangs.

use crate::reason::Hang;
use crate::time::{Span, Time};

/// How long after its interval a silent worker is listened to, and how late that turn may be: this part of the
/// interval, within these bounds. The lower bound is there because turns are late by a millisecond as a rule: with a
/// very short interval no turn would be on time, and herder would wake up for that worker for ever.
const MOMENT: u64 = 16;
const SHORTEST_MOMENT: Span = Span::millis(10);
const LONGEST_MOMENT: Span = Span::secs(1);

#[derive(Debug)]
pub(crate) struct Watchdog {
    /// How far apart pings may be; `None` expects none.
    interval: Option<Span>,
    /// When the worker last said something that counts.
    heard: Time,
    /// It has sent WATCHDOG=1 before.
    pings: bool,
    doubt: Doubt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// The interval is not over.
    None,
    /// The interval is over; until this time the worker may prove that only herder was late.
    Until(Time),
    /// What the worker has sent is being read.
    Listening,
}

impl Watchdog {
    pub fn new(interval: Option<Span>) -> Watchdog {
        Watchdog { interval, heard: Time::default(), pings: false, doubt: Doubt::None }
    }

    /// The worker became ready: its first interval begins.
    pub fn begin(&mut self, now: Time) {
        self.heard = now;
        self.doubt = Doubt::None;
    }

    /// The worker has sent WATCHDOG=1.
    pub fn ping(&mut self, now: Time) {
        self.begin(now);
        self.pings = true;
    }

    /// The worker has sent WATCHDOG_USEC=. As in systemd, 0 and infinity switch its watchdog off.
    pub fn set_interval(&mut self, interval: Span, now: Time) {
        let off = matches!(interval, Span::ZERO | Span::MAX);
        *self = Watchdog { pings: self.pings, ..Watchdog::new((!off).then_some(interval)) };
        self.begin(now);
    }

    /// herder was stopped, perhaps with its workers. A worker whose sleep was frozen may need another half of its
    /// interval, which is how often sd_watchdog_enabled(3) has it ping.
    pub fn excuse(&mut self, now: Time) {
        let Some(interval) = self.interval else { return };
        let until = now + interval.part(2);
        if self.deadline().is_none_or(|due| due < until) {
            self.doubt = Doubt::Until(until);
        }
    }

    /// Whether the worker is known to have lived until then. Without pings there is nothing better to go by.
    pub fn vouches_for(&self, time: Time) -> bool {
        self.interval.is_none() || self.heard >= time
    }

    /// When the silence of a ready worker has to be looked into.
    pub fn deadline(&self) -> Option<Time> {
        let interval = self.interval?;
        match self.doubt {
            Doubt::None => Some(self.heard + interval),
            Doubt::Until(time) => Some(time),
            Doubt::Listening => None,
        }
    }

    /// Doubts, if the deadline has come. `true` if what the worker has sent is to be read now.
    pub fn doubt(&mut self, now: Time) -> bool {
        let Some(interval) = self.interval else { return false };
        if self.deadline().is_none_or(|due| due > now) {
            return false;
        }
        let moment = interval.part(MOMENT).clamp(SHORTEST_MOMENT, LONGEST_MOMENT);
        self.doubt = match self.doubt {
            Doubt::None => Doubt::Until(now + moment),
            // herder was late itself, so this silence proves nothing: wait once more.
            Doubt::Until(time) if now - time > moment => Doubt::Until(now + moment),
            Doubt::Until(_) | Doubt::Listening => Doubt::Listening,
        };
        self.doubt == Doubt::Listening
    }

    /// All that the worker has sent by now was read. Says why it hangs, if no ping was among it.
    pub fn verdict(&self) -> Option<Hang> {
        let interval = self.interval.filter(|_| self.doubt == Doubt::Listening)?;
        Some(if self.pings { Hang::Silent(interval) } else { Hang::Mute(interval) })
    }
}
