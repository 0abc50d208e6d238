//! Pseudo-random numbers from a seed, and random settings and faults that are drawn with them.

use super::behaviour::{Fault, Quality};
use herder_core::{
    Amount, ExitSet, Policy, Probe, Ready, ReadyWhen, Scaling, ServiceWatchdog, Size, Span,
};

/// The random numbers of the simulator; the core has a generator of its own.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % n
    }
}

pub fn any_quality(dice: &mut Dice, good_in: u64) -> Quality {
    match dice.below(good_in) {
        0 => Quality::Broken(Fault::any(dice)),
        1 => Quality::Flaky(1 + dice.below(4)),
        _ => Quality::Good,
    }
}

/// Scaling settings with and without a `min` of 0, and with and without `exit-idle-time`.
pub fn any_scaling(dice: &mut Dice, workers: u32) -> Option<Scaling> {
    (dice.below(3) > 0).then(|| Scaling {
        max: workers + dice.below(8) as u32,
        idle_timeout: Span::secs([2, 10, 60][dice.below(3) as usize]),
        exit_idle_time: (workers == 0 && dice.below(3) == 0).then(|| Span::secs(dice.below(100))),
    })
}

pub fn any_policy(dice: &mut Dice) -> Policy {
    let surge = [
        Amount::Number(0),
        Amount::Number(1),
        Amount::Number(1),
        Amount::Percent(100),
        Amount::Percent(25),
    ];
    let max_surge = surge[dice.below(5) as usize];
    let unavailable = [Amount::Number(1), Amount::Percent(25), Amount::Number(0)];
    // The settings refuse that both are zero.
    let choices = if max_surge == Amount::Number(0) { 2 } else { 3 };
    let success = if dice.below(3) == 0 { [0].into() } else { [].into() };
    let start_timeout = Span::secs([1, 5, 30, 60][dice.below(4) as usize]);
    let ready =
        [Ready::Auto, Ready::Notify, Ready::Notify, Ready::Accepting, Ready::Exec, Ready::Alive]
            [dice.below(6) as usize];
    let workers = [0, 1, 1, 2, 3, 4, 4, 8][dice.below(8) as usize];
    Policy {
        workers,
        ready,
        ready_after: Span::millis(1 + dice.below(900)),
        // The settings refuse `accepting` without a socket.
        has_socket: ready == Ready::Accepting || dice.below(2) == 0,
        ready_when: if dice.below(3) == 0 { ReadyWhen::Any } else { ReadyWhen::All },
        start_timeout,
        min_ready_time: [None, None, Some(Span::secs(3))][dice.below(3) as usize],
        min_lifetime: Span::secs([5, 10, 10][dice.below(3) as usize]),
        max_starting: [None, None, Some(1), Some(2)][dice.below(4) as usize],
        crash_burst: 1 + dice.below(5) as u32,
        crash_after: start_timeout + Span::secs(30),
        max_surge,
        max_unavailable: unavailable[dice.below(choices) as usize],
        max_draining: [None, None, Some(0), Some(1)][dice.below(4) as usize],
        max_age: [None, None, None, Some(60), Some(500)][dice.below(5) as usize].map(Span::secs),
        max_memory: [None, None, Some(Size(1_000))][dice.below(3) as usize],
        stop_timeout: Span::secs([1, 5, 30][dice.below(3) as usize]),
        stop_delay: Span::secs([0, 0, 5][dice.below(3) as usize]),
        scaling: any_scaling(dice, workers),
        success: ExitSet { codes: success, signals: [].into() },
        service_watchdog: [ServiceWatchdog::Loop, ServiceWatchdog::Workers][dice.below(2) as usize],
        watchdog: [None, None, None, Some(Span::secs(20)), Some(Span::secs(60))]
            [dice.below(5) as usize],
        stall_timeout: [None, None, None, Some(Span::secs(10)), Some(Span::secs(60))]
            [dice.below(5) as usize],
        probe: (dice.below(3) == 0).then(|| Probe {
            interval: Span::secs(20),
            timeout: Span::secs(2),
            failures: 1 + dice.below(3) as u32,
            of_worker: dice.below(3) > 0,
        }),
        queues: Vec::new(),
        check: dice.below(5) == 0,
    }
}

/// Settings with some of those of `other` that can be changed at run time: each group of settings that depend on
/// one another changes in one of three cases.
pub fn adjusted(old: Policy, other: &Policy, dice: &mut Dice) -> Policy {
    let mut new = old;
    let mut changes = || dice.below(3) == 0;
    if changes() {
        (new.workers, new.scaling) = (other.workers, other.scaling);
    }
    if changes() {
        (new.start_timeout, new.crash_after) = (other.start_timeout, other.crash_after);
        (new.ready_after, new.ready_when) = (other.ready_after, other.ready_when);
    }
    if changes() {
        (new.min_ready_time, new.min_lifetime) = (other.min_ready_time, other.min_lifetime);
    }
    if changes() {
        (new.max_surge, new.max_unavailable) = (other.max_surge, other.max_unavailable);
    }
    if changes() {
        (new.max_starting, new.max_draining) = (other.max_starting, other.max_draining);
    }
    if changes() {
        (new.stop_timeout, new.stop_delay) = (other.stop_timeout, other.stop_delay);
    }
    if changes() {
        (new.max_age, new.max_memory) = (other.max_age, other.max_memory);
    }
    if changes() {
        (new.crash_burst, new.service_watchdog) = (other.crash_burst, other.service_watchdog);
        new.stall_timeout = other.stall_timeout;
    }
    if let (Some(old), Some(other)) = (new.probe, other.probe) {
        if changes() {
            new.probe = Some(Probe { of_worker: old.of_worker, ..other });
        }
    }
    new
}
