//! How a process ended, and which endings a server calls normal.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

/// How a process ended, from `waitid` (wait(2)); signals beyond 31 included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// It exited with this status, 0 to 255.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// The signal's number, 1 to 64.
        number: u8,
        /// A core was dumped.
        core: bool,
    },
    /// The kernel ended it with SIGKILL, for want of memory. Never a normal end, whatever
    /// `success-exit-status` says of SIGKILL.
    OutOfMemory,
}

/// `success-exit-status`: statuses and signals that are a normal end once a worker was ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExitSet {
    /// Exit statuses.
    pub codes: BTreeSet<u8>,
    /// Signal numbers.
    pub signals: BTreeSet<u8>,
}

impl ExitSet {
    /// Whether this ending is one of them.
    pub fn contains(&self, exit: Exit) -> bool {
        match exit {
            Exit::Code(code) => self.codes.contains(&code),
            Exit::Signal { number, core: _ } => self.signals.contains(&number),
            Exit::OutOfMemory => false,
        }
    }
}

const NAMES: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The first real-time signal a program may use with glibc (signal(7)).
const REALTIME_FIRST: u8 = 34;

/// The name of a signal on Linux x86-64, arm64 and the like (signal(7)): `SIGTERM`, `SIGRTMIN+3`.
pub fn signal_name(number: u8) -> String {
    match number {
        1..=31 => NAMES[usize::from(number) - 1].to_owned(),
        REALTIME_FIRST => "SIGRTMIN".to_owned(),
        35..=64 => format!("SIGRTMIN+{}", number - REALTIME_FIRST),
        _ => format!("signal {number}"),
    }
}

/// The number of a signal by its name, as systemd takes it: with or without `SIG`, also `RTMIN+3`, or a number.
pub fn signal_number(name: &str) -> Option<u8> {
    if let Ok(number) = name.parse::<u8>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let full = if name.starts_with("SIG") { name.to_owned() } else { format!("SIG{name}") };
    (1..=64).find(|&number| signal_name(number) == full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_a_name_that_reads_back() {
        for number in (1..=31).chain(34..=64) {
            assert_eq!(signal_number(&signal_name(number)), Some(number));
        }
        assert_eq!(signal_number("TERM"), Some(15));
        assert_eq!(signal_number("RTMIN+3"), Some(37));
        assert_eq!(signal_number("0"), None);
        assert_eq!(signal_number("SIGNOTHING"), None);
    }

    #[test]
    fn want_of_memory_is_never_a_normal_end() {
        let all = ExitSet { codes: (0..=255).collect(), signals: (1..=64).collect() };
        assert!(all.contains(Exit::Signal { number: 9, core: false }));
        assert!(!all.contains(Exit::OutOfMemory));
    }
}
