//! What every part needs in a turn: the time, pseudo-random numbers, and a place for its orders and reports.

use crate::action::Action;
use crate::counters::Counters;
use crate::jitter::Jitter;
use crate::report::Report;
use crate::shown::Outcome;
use crate::time::Time;
use alloc::vec::Vec;

/// The time of a turn and what was ordered in it.
#[derive(Debug)]
pub(crate) struct Turn {
    now: Time,
    handled: Time,
    jitter: Jitter,
    orders: Vec<Action>,
    counters: Counters,
}

impl Turn {
    pub fn new(now: Time, seed: u64) -> Turn {
        Turn {
            now,
            handled: now,
            jitter: Jitter::new(seed),
            orders: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Time has passed; it never goes back.
    pub fn set_now(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// What is due by now is being done.
    pub fn begin_events(&mut self) {
        self.handled = self.now;
    }

    pub fn now(&self) -> Time {
        self.now
    }

    /// When events were last handled. What was due by then is done; what has become due since, while
    /// systemd was told, is not.
    pub fn handled(&self) -> Time {
        self.handled
    }

    /// A pseudo-random number from 0 to just under 1.
    pub fn chance(&mut self) -> f64 {
        self.jitter.next()
    }

    pub fn order(&mut self, action: Action) {
        self.orders.push(action);
    }

    /// Orders something that has to be done before any worker is told to stop, and after what comes before that.
    pub fn order_before_drains(&mut self, action: Action) {
        let is_drain = |order: &Action| matches!(order, Action::Drain { .. });
        let at = self.orders.iter().position(is_drain).unwrap_or(self.orders.len());
        self.orders.insert(at, action);
    }

    /// Puts something on record, and counts it.
    pub fn report(&mut self, report: Report) {
        self.counters.note(&report);
        self.orders.push(Action::Report(report));
    }

    /// A worker was started in the place of one that had ended without having been told to.
    pub fn respawned(&mut self) {
        self.counters.respawned();
    }

    /// A reload has ended.
    pub fn reloaded(&mut self, outcome: Outcome) {
        self.counters.reloaded(outcome);
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Hands the orders over, in the order in which they were given.
    pub fn take_orders(&mut self, into: &mut Vec<Action>) {
        into.append(&mut self.orders);
    }
}
