//! What systemd is told: the core's notices as datagrams (sd_notify(3)).
//!
//! Nothing here blocks. When systemd's queue is full, what it must not miss is said again soon;
//! a lost ping or status line is not, because the next one is on its way.

use crate::herd::{Notice, Span};
use crate::linux::notify::Manager;
use crate::wire::notify::compose;
use sd_notify::NotifyState;
use std::collections::VecDeque;

/// How far ahead EXTEND_TIMEOUT_USEC asks for patience. The core asks every five seconds.
const PATIENCE: Span = Span::secs(15);
/// When something that was not taken is said again.
const AGAIN: Span = Span::millis(100);
/// Unsent datagrams kept; there are never that many in practice.
const KEPT: usize = 32;

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Systemd {
    manager: Option<Manager>,
    unsent: VecDeque<String>,
    again_at: Option<u64>,
    /// Datagrams that systemd did not take at the first try.
    pub lost: u64,
}

impl Systemd {
    /// `manager` is none when `NOTIFY_SOCKET` was not set: then there is nobody to tell.
    pub fn new(manager: Option<Manager>) -> Systemd {
        Systemd { manager, unsent: VecDeque::new(), again_at: None, lost: 0 }
    }

    /// Tells it, in order. `now` is in microseconds.
    pub fn tell(&mut self, notice: &Notice, now: u64) {
        let datagram = match notice {
            Notice::Ready => compose(&[NotifyState::Ready]),
            Notice::Reloading(at) => {
                compose(&[NotifyState::Reloading, NotifyState::MonotonicUsec(at.0.into())])
            }
            Notice::Stopping => compose(&[NotifyState::Stopping]),
            Notice::Status(text) => compose(&[NotifyState::Status(text)]),
            Notice::Extend => {
                let usec = u32::try_from(PATIENCE.0).unwrap_or(u32::MAX);
                compose(&[NotifyState::ExtendTimeoutUsec(usec)])
            }
            Notice::Watchdog => compose(&[NotifyState::Watchdog]),
        };
        let vital = !matches!(notice, Notice::Watchdog | Notice::Extend);
        self.send(datagram, vital, now);
    }

    fn send(&mut self, datagram: String, vital: bool, now: u64) {
        let Some(manager) = &self.manager else { return };
        // What waits goes first, or READY=1 could overtake RELOADING=1.
        if self.unsent.is_empty() && manager.send(datagram.as_bytes()) {
            return;
        }
        self.lost += 1;
        if vital && self.unsent.len() < KEPT {
            self.unsent.push_back(datagram);
            self.again_at.get_or_insert(now + AGAIN.0);
        }
    }

    /// Says again what was not taken.
    pub fn retry(&mut self, now: u64) {
        let Some(manager) = &self.manager else { return };
        if self.again_at.is_none_or(|at| at > now) {
            return;
        }
        while self.unsent.front().is_some_and(|datagram| manager.send(datagram.as_bytes())) {
            self.unsent.pop_front();
        }
        self.again_at = (!self.unsent.is_empty()).then_some(now + AGAIN.0);
    }

    /// When [`retry`](Systemd::retry) is due, in microseconds.
    pub fn deadline(&self) -> Option<u64> {
        self.again_at
    }
}
