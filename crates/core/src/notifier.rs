//! What systemd is told, and when (sd_notify(3)).
//!
//! Besides readiness this is a line for people (STATUS=), a request for patience while workers start or stop
//! (EXTEND_TIMEOUT_USEC=), and the watchdog's ping. The ping is sent only by a turn that was on time, and never before
//! READY=1 nor after STOPPING=1: systemd arms its watchdog with the first ping it sees, whatever the service is doing.

use crate::action::{Action, Notice};
use crate::condition::{Instance, StatusLine, failing_text};
use crate::policy::ServiceWatchdog;
use crate::report::Report;
use crate::time::{Span, Time};
use crate::turn::Turn;

/// How often systemd is asked for patience; the shell asks for 15 s each time.
const EXTEND_EVERY: Span = Span::secs(5);
/// STATUS= is sent at most this often.
const STATUS_EVERY: Span = Span::secs(1);

/// What systemd was told, and when it is told next.
#[derive(Debug)]
pub(crate) struct Notifier {
    /// READY=1 was sent.
    serving: bool,
    status: StatusLine,
    status_at: Option<Time>,
    /// The line has changed since, and the next may not be sent yet.
    status_waits: bool,
    /// How late the events of this turn were handled for what was due.
    late: Span,
    next_extend: Option<Time>,
    pings: Option<Pings>,
    degraded_since: Option<Time>,
}

/// The watchdog's pings, where systemd wants them.
#[derive(Debug)]
struct Pings {
    interval: Span,
    next: Option<Time>,
}

impl Notifier {
    /// `watchdog` is systemd's `WATCHDOG_USEC`.
    pub fn new(now: Time, watchdog: Option<Span>) -> Notifier {
        Notifier {
            serving: false,
            status: StatusLine::default(),
            status_at: None,
            status_waits: false,
            late: Span::ZERO,
            next_extend: Some(now + EXTEND_EVERY),
            pings: watchdog.map(|interval| Pings { interval, next: None }),
            degraded_since: None,
        }
    }

    /// READY=1 was sent.
    pub fn is_serving(&self) -> bool {
        self.serving
    }

    pub fn degraded_since(&self) -> Option<Time> {
        self.degraded_since
    }

    /// systemd wants pings, so that it matters whether turns are on time.
    pub fn has_watchdog(&self) -> bool {
        self.pings.is_some()
    }

    /// A turn handles events by this much too late.
    pub fn note_lateness(&mut self, late: Span) {
        self.late = self.late.max(late);
    }

    /// It is time for READY=1. The line comes first: what waits for READY=1 looks at it next.
    pub fn become_ready(&mut self, turn: &mut Turn) {
        self.serving = true;
        if let Some(pings) = &mut self.pings {
            pings.next = Some(turn.now() + pings.interval.part(2));
        }
    }

    /// Ends a turn: tells systemd what it should know by now.
    pub fn tell(&mut self, instance: &Instance<'_>, turn: &mut Turn) {
        self.tell_degraded(instance, turn);
        let busy = !self.serving || instance.reload.is_under_way() || instance.ending.is_some();
        self.ask_for_patience(busy, turn);
        let status = instance.status();
        self.status_waits = status != self.status;
        let may_be_sent = self.status_at.is_none_or(|at| at + STATUS_EVERY <= turn.now());
        if may_be_sent && self.status_waits {
            self.send_status(status, turn);
        }
        self.ping(instance, turn);
    }

    /// Sends the status line, if it has changed, without regard to how long ago the last one was sent.
    pub fn tell_status_now(&mut self, instance: &Instance<'_>, turn: &mut Turn) {
        let status = instance.status();
        if status != self.status {
            self.send_status(status, turn);
        }
    }

    fn send_status(&mut self, status: StatusLine, turn: &mut Turn) {
        let text = status.at(turn.now());
        self.status = status;
        self.status_at = Some(turn.now());
        self.status_waits = false;
        turn.order(Action::Notify(Notice::Status(text)));
    }

    fn tell_degraded(&mut self, instance: &Instance<'_>, turn: &mut Turn) {
        if instance.ending.is_some() {
            return;
        }
        let (wanted, ready) = instance.strength();
        match (instance.failing_slot(), self.degraded_since) {
            (Some((id, slot)), None) if self.serving => {
                self.degraded_since = Some(turn.now());
                let why = failing_text(id, slot);
                turn.report(Report::Degraded { ready, wanted, why });
            }
            (None, Some(since)) if ready == wanted => {
                self.degraded_since = None;
                turn.report(Report::Recovered { wanted, after: turn.now() - since });
            }
            (Some(_), None | Some(_)) | (None, None | Some(_)) => {}
        }
    }

    fn ask_for_patience(&mut self, busy: bool, turn: &mut Turn) {
        self.next_extend = match self.next_extend {
            _ if !busy => None,
            None => Some(turn.now() + EXTEND_EVERY),
            Some(due) if due <= turn.now() => {
                turn.order(Action::Notify(Notice::Extend));
                Some(turn.now() + EXTEND_EVERY)
            }
            Some(due) => Some(due),
        };
    }

    fn ping(&mut self, instance: &Instance<'_>, turn: &mut Turn) {
        let late = core::mem::take(&mut self.late);
        let Some(pings) = &mut self.pings else { return };
        let Some(next) = pings.next.filter(|_| instance.ending.is_none()) else {
            pings.next = None;
            return;
        };
        if next > turn.now() {
            return;
        }
        // A turn that came late proves that the loop lags; the next one may prove that it does not.
        if late > pings.interval.part(4) {
            pings.next = Some(turn.now());
        } else {
            pings.next = Some(turn.now() + pings.interval.part(2));
            if may_vouch(instance, turn.now()) {
                turn.order(Action::Notify(Notice::Watchdog));
            }
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        let status = self.status_at.filter(|_| self.status_waits).map(|at| at + STATUS_EVERY);
        let ping = self.pings.as_ref().and_then(|pings| pings.next);
        [status, self.next_extend, ping].into_iter().flatten().min()
    }
}

/// The ping vouches for the loop, and where `service-watchdog` says so, for the workers too.
fn may_vouch(instance: &Instance<'_>, now: Time) -> bool {
    let wanted = instance.policies.wanted();
    match instance.policies.good().policy.service_watchdog {
        ServiceWatchdog::Loop => true,
        ServiceWatchdog::Workers => {
            let mut workers = instance.fleet.workers();
            let mut slots = instance.fleet.slots().take(wanted as usize);
            wanted == 0
                || workers.any(|(_, worker)| worker.state().is_within_limits(now))
                || slots.any(|(_, slot)| now <= slot.not_before())
        }
    }
}
