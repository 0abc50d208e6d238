//! How long to wait before the next try, after failures in a row: one rule for all that is tried again.

use crate::time::Span;

/// A wait that doubles with each further failure, up to a longest one.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Span,
    /// No wait is longer.
    pub longest: Span,
}

impl Backoff {
    /// The wait after this many failures in a row, from 1. `chance` is between 0 and 1: up to a quarter of
    /// the wait is taken off, so that tries which failed together are not made together again.
    pub const fn after(self, failures: u32, chance: f64) -> Span {
        let doublings = match failures {
            0 | 1 => 0,
            2..=17 => failures - 1,
            _ => 16,
        };
        let doubled = self.first.times(1 << doublings);
        let wait = if doubled.0 < self.longest.0 { doubled.0 } else { self.longest.0 };
        Span((wait as f64 * (1.0 - chance / 4.0)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff { first: Span::millis(100), longest: Span::secs(30) };
        let waits = (1..=12).map(|failures| backoff.after(failures, 0.0).0 / 1000);
        let expected =
            [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000];
        assert!(waits.eq(expected));
        assert_eq!(backoff.after(u32::MAX, 0.0), Span::secs(30));
        assert_eq!(backoff.after(1, 1.0), Span::millis(75));
    }
}
