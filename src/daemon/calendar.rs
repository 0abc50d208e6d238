//! What the calendar said when something happened, of which the monotonic time is known.
//!
//! The same moment gets the same date however often it is asked for: both clocks are read once, not for
//! each date, which would then differ by the microseconds between the two readings. They are compared
//! again when a client asks, because the calendar may be set, as after a boot without a battery-backed
//! clock. (While the machine is suspended the monotonic clock stands still: what happened before gets a
//! date that is too late by that time.)

use herder_core::Time;
use herder_linux::poll;
use std::time::{SystemTime, UNIX_EPOCH};

/// The calendar was set if it is off by more than this, in microseconds.
const SET: u64 = 1_000_000;

/// How the two clocks stand to each other.
#[derive(Debug)]
pub struct Calendar {
    /// The date at which the monotonic clock was 0, in microseconds since 1970.
    zero: u64,
}

impl Calendar {
    /// As of now.
    pub fn now() -> Calendar {
        let (zero, _) = read();
        Calendar { zero }
    }

    /// The date of this moment, in microseconds since 1970.
    pub fn date(&self, at: Time) -> u64 {
        self.zero.saturating_add(at.0)
    }

    /// Looks whether the calendar was set.
    pub fn compare(&mut self) {
        let (zero, unsure) = read();
        self.follow(zero, unsure);
    }

    fn follow(&mut self, zero: u64, unsure: u64) {
        if zero.abs_diff(self.zero) > SET.saturating_add(unsure) {
            self.zero = zero;
        }
    }
}

/// The date of the monotonic zero, and by how much that may be wrong: this process may have been
/// stopped between the readings.
fn read() -> (u64, u64) {
    let before = poll::now();
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unsure = poll::now() - before;
    let date = u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX);
    (date.saturating_sub(before), unsure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_keeps_its_date_unless_the_calendar_is_set() {
        let mut calendar = Calendar { zero: 1_000_000_000 };
        assert_eq!(calendar.date(Time(5)), 1_000_000_005);
        // As two readings one after the other are.
        calendar.follow(1_000_000_040, 41);
        assert_eq!(calendar.date(Time(5)), 1_000_000_005);
        // Stopped for an hour between two readings, which says nothing.
        calendar.follow(4_600_000_000, 3_600_000_000);
        assert_eq!(calendar.date(Time(5)), 1_000_000_005);
        for set in [1_700_000_000_000_000, 900_000_000] {
            calendar.follow(set, 40);
            assert_eq!(calendar.date(Time(5)), set + 5);
        }
    }

    #[test]
    fn the_date_of_now_is_now() {
        let mut calendar = Calendar::now();
        calendar.compare();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        let date = u128::from(calendar.date(Time(poll::now())));
        // A machine this busy would fail every other test.
        assert!(date.abs_diff(since_1970) < 20_000_000, "{date} and {since_1970}");
    }
}
