//! Signals to herder, read from a descriptor like everything else (signalfd(2)).
//!
//! Decides nothing: what a signal means is herder(8)'s table, in the daemon. No handler is ever
//! installed. The order matters: [`Signals::block_and_watch`] comes before anything that a signal could find
//! half done, and before READY=1, at which systemd 262 requires SIGHUP to be caught or blocked.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

pub use super::sys::{LAST_SIGNAL, sigpipe_was_ignored};

/// All that herder answers to. Others keep their default effect: SIGWINCH is ignored by the kernel,
/// SIGPIPE by Rust's start-up code; SIGTSTP and SIGCONT are the terminal's.
const WATCHED: [Signal; 9] = [
    Signal::SIGTERM,
    Signal::SIGQUIT,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCHLD,
];

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalReceived {
    /// Its number (signal(7)).
    pub signal: i32,
    /// The process that sent it; 0 for the kernel, and for a process outside this pid namespace.
    pub sender: i32,
}

/// The signals that came and were not read yet. Equal ones are merged, as signals are.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks the signals herder answers to and opens the descriptor that reports them. Call it
    /// once, in the one thread there is. SIGCHLD, which herder may have inherited as ignored, gets its
    /// default effect: the ends of children would be lost otherwise.
    ///
    /// # Errors
    ///
    /// signalfd(2): no descriptors or memory left.
    pub fn block_and_watch() -> io::Result<Signals> {
        let mask = SigSet::from_iter(WATCHED);
        mask.thread_block()?;
        super::sys::restore_sigchld()?;
        Ok(Signals(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The next signal, if there is one.
    ///
    /// # Errors
    ///
    /// read(2), which fails for nothing that can happen to a signalfd.
    pub fn read(&self) -> io::Result<Option<SignalReceived>> {
        // The kernel's structure says both as unsigned numbers; neither is ever that large.
        Ok(self.0.read_signal()?.map(|info| SignalReceived {
            signal: info.ssi_signo as i32,
            sender: info.ssi_pid as i32,
        }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    /// The test runs itself again, in a process of its own that was started with SIGCHLD ignored.
    #[test]
    fn children_are_waited_for_even_if_herder_was_started_with_sigchld_ignored() {
        const NAME: &str = "signals::tests::children_are_waited_for_even_if_herder_was_started_with_sigchld_ignored";
        const AGAIN: &str = "HERDER_TEST_SIGCHLD";
        if std::env::var_os(AGAIN).is_some() {
            let _signals = Signals::block_and_watch().unwrap();
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
            let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
            assert_eq!(ignored & 1 << (Signal::SIGCHLD as i32 - 1), 0, "SIGCHLD is still ignored");
            return;
        }
        let test = std::env::current_exe().unwrap();
        let ran = std::process::Command::new("python3")
            .args([
                "-c",
                "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); \
                          os.execv(sys.argv[1], sys.argv[1:])",
            ])
            .arg(test)
            .args(["--exact", NAME])
            .env(AGAIN, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    }

    /// In a thread of its own: the mask is the thread's, and raise(3) sends to that thread only.
    #[test]
    fn every_watched_signal_is_read_once_and_kills_nobody() {
        let read = std::thread::spawn(|| {
            let signals = Signals::block_and_watch().unwrap();
            WATCHED.map(|signal| {
                raise(signal).unwrap();
                raise(signal).unwrap();
                let first = signals.read().unwrap();
                assert_eq!(signals.read().unwrap(), None, "{signal}: merged, as signals are");
                first.map(|received| (received.signal, received.sender))
            })
        });
        let me = nix::unistd::getpid().as_raw();
        assert_eq!(read.join().unwrap(), WATCHED.map(|signal| Some((signal as i32, me))));
    }
}
