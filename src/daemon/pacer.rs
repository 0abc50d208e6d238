//! The one rule of how much of herder's time a kind of work may take.
//!
//! Work whose cost grows with the number of workers is followed by a rest of some times its duration: however many
//! workers there are, it takes a fixed share of herder's time at most. Work that would keep herder from everything else for
//! too long is done in parts, with a rest of the same duration after each part. All times are in microseconds.

/// Says when a kind of work may be done again.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    /// The rest after the work, in times of its duration.
    times: u64,
    shortest: u64,
    longest: u64,
    /// How long the parts of the work that is being done have taken so far.
    took: u64,
    not_before: u64,
}

impl Pacer {
    /// After the work there is a rest of so many times its duration.
    pub const fn resting(times: u64) -> Pacer {
        Pacer { times, shortest: 0, longest: u64::MAX, took: 0, not_before: 0 }
    }

    /// The same, with bounds on the rest.
    pub const fn within(self, shortest: u64, longest: u64) -> Pacer {
        Pacer { shortest, longest, ..self }
    }

    /// When the work, or its next part, may be done.
    pub const fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Whether the work, or its next part, may be done now.
    pub const fn is_due(&self, now: u64) -> bool {
        self.not_before <= now
    }

    /// The rest is cut short: the work begins at once.
    pub fn begin_at_once(&mut self) {
        self.not_before = 0;
    }

    /// A part of the work is done, and others follow.
    pub fn part_done(&mut self, begin: u64, end: u64) {
        self.took += end - begin;
        self.not_before = end + (end - begin);
    }

    /// The work is done, with all its parts. Returns how long the rest is.
    pub fn done(&mut self, begin: u64, end: u64) -> u64 {
        let took = std::mem::take(&mut self.took) + (end - begin);
        let rest = took.saturating_mul(self.times).max(self.shortest).min(self.longest);
        self.not_before = end.saturating_add(rest);
        rest
    }

    /// The rest that has just begun lasts only so long.
    pub fn rest_only(&mut self, now: u64, rest: u64) {
        self.not_before = now + rest;
    }
}

/// What one turn may spend on a kind of work: one piece of it in any case, so that the work goes on however slow
/// the machine is, and others as long as the time for it lasts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    until: u64,
    is_used: bool,
}

impl Share {
    /// A turn begins, and has so much time for this work.
    pub const fn begin(now: u64, time: u64) -> Share {
        Share { until: now + time, is_used: false }
    }

    /// Whether the turn does one more piece.
    pub fn takes_one(&mut self, now: u64) -> bool {
        let takes = !self.is_used || now < self.until;
        self.is_used |= takes;
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_followed_by_a_rest_of_some_times_its_duration() {
        let mut pacer = Pacer::resting(4);
        assert!(pacer.is_due(0), "the first time at once");
        assert_eq!(pacer.done(100, 110), 40);
        assert_eq!(pacer.not_before(), 150);
        assert!(!pacer.is_due(149) && pacer.is_due(150));
        pacer.done(1000, 1000);
        assert!(pacer.is_due(1000), "work that took no time needs no rest");
    }

    #[test]
    fn parts_count_together_once_the_work_is_done() {
        let mut pacer = Pacer::resting(20);
        pacer.part_done(0, 10);
        assert_eq!(pacer.not_before(), 20, "as long as the part has taken");
        pacer.part_done(20, 50);
        assert_eq!(pacer.not_before(), 80);
        assert_eq!(pacer.done(80, 81), 20 * (10 + 30 + 1));
        assert_eq!(pacer.done(2000, 2001), 20, "the next work begins from nothing");
    }

    #[test]
    fn a_rest_has_bounds_whatever_the_machine_does() {
        let mut pacer = Pacer::resting(20).within(100_000, 2_000_000);
        for (took, rest) in
            [(0, 100_000), (5_000, 100_000), (20_000, 400_000), (100_000, 2_000_000)]
        {
            assert_eq!(pacer.done(0, took), rest, "{took}");
        }
        assert_eq!(pacer.done(0, u64::MAX / 2), 2_000_000, "the machine stood still meanwhile");
        pacer.rest_only(5, 7);
        assert_eq!(pacer.not_before(), 12);
        pacer.begin_at_once();
        assert!(pacer.is_due(0));
    }

    #[test]
    fn a_turn_does_one_piece_at_least_and_others_while_it_has_time() {
        let mut share = Share::begin(100, 10);
        assert!(share.takes_one(100));
        assert!(share.takes_one(109));
        assert!(!share.takes_one(110));
        let mut share = Share::begin(200, 10);
        assert!(share.takes_one(9000), "the machine stood still meanwhile");
        assert!(!share.takes_one(9000));
    }
}
