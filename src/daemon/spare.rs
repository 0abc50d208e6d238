//! Memory that was needed for a moment, and when it is given back.
//!
//! Clients, reloads and looks use code and heap that waiting and respawning do not need.

/// How long memory that is not needed is kept after some was given back, in microseconds: with thousands of workers to
/// be replaced, most turns need something of it.
const KEPT: u64 = 50_000;

/// Whether there is memory to give back, and since when.
#[derive(Debug, Default)]
pub struct Spare {
    /// Some was used since memory was last given back.
    is_there: bool,
    /// In microseconds.
    kept_until: u64,
}

impl Spare {
    /// Something was done that waiting and respawning do not need.
    pub fn note_use(&mut self, is_used: bool) {
        self.is_there |= is_used;
    }

    /// When memory is next given back.
    pub fn deadline(&self) -> Option<u64> {
        self.is_there.then_some(self.kept_until)
    }

    /// Whether memory is to be given back now.
    pub fn take(&mut self, now: u64) -> bool {
        let is_due = self.deadline().is_some_and(|due| due <= now);
        if is_due {
            *self = Spare { is_there: false, kept_until: now + KEPT };
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_at_once_and_then_not_too_often() {
        let mut spare = Spare::default();
        assert!(!spare.take(5) && spare.deadline().is_none(), "nothing was used");
        spare.note_use(true);
        spare.note_use(false);
        assert!(spare.take(5));
        spare.note_use(true);
        assert_eq!(spare.deadline(), Some(5 + KEPT));
        assert!(!spare.take(4 + KEPT) && spare.take(5 + KEPT));
    }
}
