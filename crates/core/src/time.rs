//! Time as the core knows it: a number the shell reads and hands in.
//!
//! Microseconds throughout, because that is what `MONOTONIC_USEC=`, `WATCHDOG_USEC=` and
//! `EXTEND_TIMEOUT_USEC=` speak (sd_notify(3)); `std::time::Instant` can neither be made
//! up by a simulator nor sent to systemd.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment on `CLOCK_MONOTONIC`, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

/// A length of time in microseconds. `Span::MAX` means “for ever” (systemd's `infinity`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// For ever: a deadline this far away never comes.
    pub const MAX: Span = Span(u64::MAX);

    /// `n` seconds.
    pub const fn secs(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000))
    }

    /// `n` milliseconds.
    pub const fn millis(n: u64) -> Span {
        Span(n.saturating_mul(1_000))
    }

    /// `n` times this span, never overflowing.
    pub const fn times(self, n: u64) -> Span {
        Span(self.0.saturating_mul(n))
    }

    /// The `n`th part of this span.
    pub const fn part(self, n: u64) -> Span {
        Span(self.0 / n)
    }
}

impl Add<Span> for Time {
    type Output = Time;

    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl Add for Span {
    type Output = Span;

    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

/// The time since an earlier moment; zero if `earlier` is in fact later.
impl Sub for Time {
    type Output = Span;

    fn sub(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Duration {
        Duration::from_micros(span.0)
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Span {
        Span(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

/// As systemd writes time spans (systemd.time(7)), with the two largest units that matter: `4s`, `1min 30s`, `200ms`,
/// `infinity`. (The same as `units::span` of `wire`, which the core cannot depend on.)
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 6] = [
            ("d", 86_400_000_000),
            ("h", 3_600_000_000),
            ("min", 60_000_000),
            ("s", 1_000_000),
            ("ms", 1_000),
            ("us", 1),
        ];
        match *self {
            Span::MAX => return f.write_str("infinity"),
            Span::ZERO => return f.write_str("0s"),
            Span(_) => {}
        }
        // Microseconds say nothing beside a longer unit.
        let mut left = if self.0 < 1_000 { self.0 } else { self.0 - self.0 % 1_000 };
        let mut written = 0;
        for (name, size) in UNITS {
            let count = left / size;
            left %= size;
            if count > 0 && written < 2 {
                if written > 0 {
                    f.write_str(" ")?;
                }
                write!(f, "{count}{name}")?;
                written += 1;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn spans_read_as_systemd_writes_them() {
        for (span, text) in [
            (Span::ZERO, "0s"),
            (Span::secs(4), "4s"),
            (Span::millis(200), "200ms"),
            (Span::secs(90), "1min 30s"),
            (Span::secs(3600), "1h"),
            (Span(1_500_000), "1s 500ms"),
            (Span::MAX, "infinity"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Time(5) + Span::MAX, Time(u64::MAX));
        assert_eq!(Time(5) - Time(9), Span::ZERO);
    }
}
