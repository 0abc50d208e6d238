//! One sample of sockets and workers at a time, and one watch for connections that wait, for the two parts that want them.
//!
//! `elastic` and `stall` each know when they want the next. A sample answers both, and a watch that goes off is over for
//! both.

use crate::action::Action;
use crate::turn::Turn;

/// What is on its way.
#[derive(Debug, Default)]
pub(crate) struct Sampling {
    /// A sample was ordered and has not come.
    asked: bool,
    /// A watch is set.
    watched: bool,
}

/// What a part wants to know now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    pub sample: bool,
    /// When something waits in a socket.
    pub knock: bool,
}

impl Sampling {
    /// The watch has gone off. `false` if none was set.
    pub fn knocked(&mut self) -> bool {
        core::mem::take(&mut self.watched)
    }

    /// A sample has come. `false` if none was ordered.
    pub fn sampled(&mut self) -> bool {
        core::mem::take(&mut self.asked)
    }

    /// Workers are given other sockets now, or more are to be watched: the watch that is set no longer counts.
    pub fn watch_anew(&mut self) {
        self.watched = false;
    }

    /// Orders what the parts need and what is not on its way.
    pub fn order(&mut self, needs: [Needs; 2], turn: &mut Turn) {
        if !self.asked && needs.iter().any(|needs| needs.sample) {
            self.asked = true;
            turn.order(Action::Sample);
        }
        if !self.watched && needs.iter().any(|needs| needs.knock) {
            self.watched = true;
            turn.order(Action::Watch);
        }
    }
}
