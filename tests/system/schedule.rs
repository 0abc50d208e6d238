//! Which machines run at the same time: as many as fit, in the order in which they come.
//!
//! Most scenarios wait (for a watchdog, for systemd, for a time-out), so several of them share a core; some keep one busy, and
//! an emulated processor always does. Beside too many of those, what waits would be late.

use std::io::Write as _;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub struct Schedule {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// What is left of the capacity.
    free: usize,
    /// The next number to hand out, and the number of the test that may start next. Without this order, heavy tests would
    /// wait until all light ones are done.
    next: u64,
    turn: u64,
}

impl Schedule {
    pub fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State { free: capacity, next: 0, turn: 0 }),
            changed: Condvar::new(),
        }
    }

    /// Runs a test when there is room for it.
    pub fn run<T>(&self, weight: usize, test: impl FnOnce() -> T) -> T {
        self.enter(weight);
        let _room = Room { schedule: self, weight };
        test()
    }

    fn enter(&self, weight: usize) {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        while state.turn != number || state.free < weight {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.free -= weight;
        state.turn += 1;
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a test takes, until it is dropped: also when the test panics.
struct Room<'a> {
    schedule: &'a Schedule,
    weight: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.schedule.lock().free += self.weight;
        self.schedule.changed.notify_all();
    }
}

/// Adds a line to the file that `HERDER_TIMES` names: the seconds, the test, and the seconds of CPU time.
pub fn note(test: &str, took: Duration, cpu: Option<Duration>) {
    let Some(path) = std::env::var_os("HERDER_TIMES") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let cpu = cpu.map_or(String::new(), |cpu| format!(" ({:.0} of CPU time)", cpu.as_secs_f64()));
    // One write, because tests run in parallel.
    let line = format!("{:.3} system {test}{cpu}\n", took.as_secs_f64());
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        eprintln!("cannot note the time of {test} in {}: {error}", path.to_string_lossy());
    }
}
