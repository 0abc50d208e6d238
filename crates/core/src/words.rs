//! The sentences for the reasons in `reason`, as they stand in logs, in STATUS= and in answers.

use crate::exit::{Exit, signal_name};
use crate::ids::{Generation, QueueId, RequestId, SlotId, WorkerId};
use crate::reason::{Ending, Evidence, Hang, Manner, Wear};
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use core::fmt;

/// Stands before a mistake that a worker was seen making before it ended. It is only a hint: a program that has
/// started a helper looks the same as one that has lost its socket to it.
pub(crate) const PERHAPS: &str = "; unless it says why itself: ";

/// `1 connection waiting`
pub(crate) fn connections(waiting: u32) -> String {
    match waiting {
        1 => "1 connection waiting".to_owned(),
        _ => format!("{waiting} connections waiting"),
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Evidence::Notified => "notified",
            Evidence::Accepting => "accepting",
            Evidence::Executed => "executed",
            Evidence::Assumed => "assumed",
        })
    }
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Manner::Ordered => "as ordered",
            Manner::BeforeReady => "before it was ready",
            Manner::Young => "soon after it was ready",
            Manner::Crashed => "after serving",
            Manner::Retired => "normally",
        })
    }
}

/// What follows “hung: ”.
impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hang::Silent(interval) => write!(f, "no WATCHDOG=1 for {interval}"),
            Hang::Mute(interval) => write!(
                f,
                "no WATCHDOG=1 for {interval}, nor ever before: remove `watchdog` if its program cannot ping"
            ),
            Hang::Triggered => f.write_str("it said WATCHDOG=trigger"),
            Hang::Stalled { waiting, after } => {
                write!(f, "{}, none accepted for {after}", connections(*waiting))
            }
            Hang::Unfit { failures: 1, why } => write!(f, "its probe failed: {why}"),
            Hang::Unfit { failures, why } => {
                write!(f, "its probe failed {failures} times in a row: {why}")
            }
        }
    }
}

/// To follow the worker's name.
impl fmt::Display for Wear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wear::Asked => f.write_str("is recycled"),
            Wear::Age { served } => write!(f, "is recycled after {served}, as max-age wants it"),
            Wear::Memory { memory, most, served, .. } => {
                write!(
                    f,
                    "is recycled after {served}, it uses {memory}, more than its {most} of max-memory"
                )
            }
        }
    }
}

/// To follow the worker's name: `exited with status 1 before it was ready`.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::NotStarted(why) => f.write_str(why),
            Ending::TimedOut { after, why: None } => write!(f, "was not ready within {after}"),
            Ending::TimedOut { after, why: Some(why) } => {
                write!(f, "was not ready within {after}: {why}")
            }
            Ending::Hung(why) => write!(f, "hung: {why}"),
            Ending::Exited { exit, manner, why } => {
                write!(f, "{exit}")?;
                match manner {
                    Manner::BeforeReady | Manner::Young => write!(f, " {manner}")?,
                    Manner::Ordered | Manner::Crashed | Manner::Retired => {}
                }
                why.iter().try_for_each(|why| write!(f, "{PERHAPS}{why}"))
            }
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exit::Code(code) => write!(f, "exited with status {code}"),
            Exit::Signal { number, core } => {
                write!(f, "was killed by {}", signal_name(number))?;
                if core {
                    f.write_str(" and dumped core")?;
                }
                Ok(())
            }
            Exit::OutOfMemory => f.write_str("was killed by the kernel for want of memory"),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue {}", self.0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.0)
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {}", self.0)
    }
}
