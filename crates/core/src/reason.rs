//! Why things happen to workers, as types. They hold no behaviour; the sentences are in `words`.

use crate::exit::Exit;
use crate::ids::{SlotId, WorkerId};
use crate::size::Size;
use crate::time::{Span, Time};
use alloc::string::String;

/// Why a worker counts as ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It sent READY=1.
    Notified,
    /// It was seen waiting on a socket it was given.
    Accepting,
    /// It was executed, and the settings say that this is enough.
    Executed,
    /// It has been alive for `ready-after`; nothing shows that it serves.
    Assumed,
}

/// What the end of a process means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// herder had asked for it.
    Ordered,
    /// The worker was not ready yet: a failure.
    BeforeReady,
    /// The worker was ready, but for less than `min-lifetime`: a failure.
    Young,
    /// The worker had been ready for `min-lifetime`: a crash.
    Crashed,
    /// The worker was retiring, or ended as `success-exit-status` allows.
    Retired,
}

/// Why a worker is taken for hung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hang {
    /// It has not sent WATCHDOG=1 for this long.
    Silent(Span),
    /// It has not sent WATCHDOG=1 for this long, nor ever before: perhaps it cannot.
    Mute(Span),
    /// It sent WATCHDOG=trigger.
    Triggered,
    /// Connections wait in sockets of its own, and it has accepted none.
    Stalled {
        /// Connections that wait.
        waiting: u32,
        /// For how long none was accepted.
        after: Span,
    },
    /// Its probe has failed too often in a row.
    Unfit {
        /// How often.
        failures: u32,
        /// Why it failed the last time.
        why: String,
    },
}

/// Why a serving worker is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wear {
    /// An operator asked for it.
    Asked,
    /// It has served for as long as `max-age` allows.
    Age {
        /// How long it has served.
        served: Span,
    },
    /// It has grown beyond `max-memory`.
    Memory {
        /// What it uses.
        memory: Size,
        /// What it may use, which is a little less than the settings say.
        most: Size,
        /// How long it has served.
        served: Span,
        /// How many workers of its slot in a row have needed no more than a minute for that.
        soon: u32,
    },
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There never was a process: `cannot execute …`.
    NotStarted(String),
    /// It was not ready in time.
    TimedOut {
        /// The time it had.
        after: Span,
        /// What it was seen doing instead, if herder looked.
        why: Option<String>,
    },
    /// It ran and did nothing.
    Hung(Hang),
    /// Its process ended.
    Exited {
        /// How.
        exit: Exit,
        /// What that means.
        manner: Manner,
        /// The mistake it was seen making before.
        why: Option<String>,
    },
}

/// A worker that has ended without having been told to, as its slot remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastLife {
    /// Which one.
    pub worker: WorkerId,
    /// How it ended.
    pub ending: Ending,
    /// When.
    pub at: Time,
    /// The time from the order to start it to its end.
    pub lived: Span,
    /// It had been ready.
    pub was_ready: bool,
}

/// A worker that has failed or left, and why, in words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost<'a> {
    pub worker: WorkerId,
    pub slot: SlotId,
    pub why: &'a str,
}

/// What a failure tells about the cause of an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The worker died.
    Worker,
    /// The worker was not ready in time.
    Timeout,
    /// The system could not start it.
    System,
}
