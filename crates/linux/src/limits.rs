//! What a process is held to: limits of setrlimit(2), its niceness, its place in the OOM killer's order.
//!
//! And how many descriptors this process itself may have open (`RLIMIT_NOFILE`):
//!
//! systemd starts services with a soft limit of 1024, because select(2) knows no more, and a hard one of
//! half a million. herder uses no select(2) and has some descriptors for each worker; workers may use
//! it, so they get back what herder was given (systemd.exec(5), LimitNOFILE=).

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;

/// The limits that a worker has from before its program runs. What is not set stays as herder has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessLimits {
    /// -20 to 19, setpriority(2).
    pub nice: Option<i32>,
    /// What is written to `oom_score_adj` (proc(5)).
    pub oom_score: Option<OomScore>,
    /// Set in this order.
    pub resources: Vec<ResourceLimit>,
}

/// A number from -1000 to 1000, and its digits: they are needed in a new process, which must not allocate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomScore {
    /// The number.
    pub value: i32,
    pub(super) digits: String,
}

impl OomScore {
    /// The score with this number.
    pub fn new(value: i32) -> OomScore {
        OomScore { value, digits: value.to_string() }
    }
}

/// A limit, and what to call it when it cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Which limit.
    pub resource: Resource,
    /// Its name in the settings.
    pub name: &'static str,
    /// What is in force; `u64::MAX` is without a limit.
    pub soft: u64,
    /// What it may be raised to.
    pub hard: u64,
}

/// A limit of open descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The limit that is in force.
    pub soft: u64,
    /// What it may be raised to.
    pub hard: u64,
}

impl OpenFiles {
    /// The limit of this process.
    ///
    /// # Errors
    ///
    /// getrlimit(2), which does not fail for a limit that exists.
    pub fn now() -> io::Result<OpenFiles> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(OpenFiles { soft, hard })
    }

    /// Raises this process's soft limit to the hard one, and returns the limit before.
    ///
    /// # Errors
    ///
    /// setrlimit(2): `EPERM` if the hard limit is above what the kernel allows at all.
    pub fn raise() -> io::Result<OpenFiles> {
        let before = OpenFiles::now()?;
        setrlimit(Resource::RLIMIT_NOFILE, before.hard, before.hard)?;
        Ok(before)
    }
}

/// `most`, but no more than one in `part` of the descriptors that this process may have; at least two.
pub fn at_most(most: usize, part: u64) -> usize {
    let share = OpenFiles::now().map_or(u64::MAX, |limit| limit.hard / part);
    most.min(usize::try_from(share).unwrap_or(usize::MAX)).max(2)
}
