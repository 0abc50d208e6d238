//! Processes of workers that the kernel has killed for want of memory.
//!
//! It says how many of a group's processes it has killed (`memory.events`), not which. One file, of all
//! workers together, is watched; their own are read when that one has risen. The non-obvious fact:
//! the number rises before the process has ended, by as long as it takes to give its memory back.

use super::{Child, Children, SIGKILL};
use crate::daemon::token::Token;
use herder_core::{Event, Span, WorkerId};
use herder_linux::cgroup::{Tree, oom_kills};
use herder_linux::child::RawExit;
use herder_linux::poll::{Interest, Poll};
use std::fs::File;

/// How long a process may take to end that the kernel has killed; SIGKILL after that has another sender.
const DYING: Span = Span::secs(10);

/// The file is also touched whenever a limit is reached, which may be all the time. After a change
/// that was no kill it is not listened to for so long.
const QUIET: Span = Span::secs(1);

/// The watch over the memory of all workers.
#[derive(Debug)]
pub struct Memory {
    events: File,
    kills: u64,
    muted_until: Option<u64>,
}

impl Memory {
    /// None where memory is not accounted for.
    pub fn watch(tree: &Tree, poll: &Poll) -> Option<Memory> {
        let events = tree.memory_events()?;
        let kills = oom_kills(&events)?;
        poll.add(&events, Token::Memory.into(), Interest::Change).ok()?;
        Some(Memory { events, kills, muted_until: None })
    }

    /// When it has to be listened to again.
    pub fn deadline(&self) -> Option<u64> {
        self.muted_until
    }

    /// Whether there were kills since this was last asked.
    fn has_risen(&mut self) -> Option<bool> {
        let kills = oom_kills(&self.events)?;
        Some(std::mem::replace(&mut self.kills, kills) < kills)
    }
}

/// What the kernel did to one worker's processes.
#[derive(Debug, Default)]
pub struct Kills {
    /// How many the core has been told of.
    told: u64,
    /// When the last of them was told, in microseconds.
    last: Option<u64>,
}

impl Kills {
    /// How many there were.
    pub fn told(&self) -> u64 {
        self.told
    }
}

impl Child {
    /// Looks whether more of its processes were killed.
    fn count_kills(&mut self, worker: WorkerId, now: u64) -> Option<Event> {
        let kills = self.group.as_ref()?.oom_kills()?;
        let processes = kills.checked_sub(self.kills.told).filter(|new| *new > 0)?;
        self.kills = Kills { told: kills, last: Some(now) };
        Some(Event::OutOfMemory { worker, processes })
    }

    /// Whether this ending is the kernel's doing, for want of memory.
    pub fn ran_out_of_memory(&self, exit: RawExit, now: u64) -> bool {
        let recently = |at: u64| now.saturating_sub(at) <= DYING.0;
        is_sigkill(exit) && self.kills.last.is_some_and(recently)
    }
}

fn is_sigkill(exit: RawExit) -> bool {
    exit.code != libc::CLD_EXITED && exit.status == SIGKILL
}

impl Children {
    /// Something was written about memory: perhaps of a kill.
    pub fn memory_changed(&mut self, poll: &Poll, now: u64) -> Vec<Event> {
        match self.memory.as_mut().and_then(Memory::has_risen) {
            Some(true) => self.count_kills(now),
            risen => {
                if let Some(memory) = &mut self.memory {
                    let _ = poll.remove(&memory.events);
                    memory.muted_until = risen.map(|_| now + QUIET.0);
                }
                Vec::new()
            }
        }
    }

    /// A worker has ended: what was killed in its group has to be known before that is said.
    pub(super) fn count_kills_at_end(
        &mut self,
        worker: WorkerId,
        exit: RawExit,
        now: u64,
    ) -> Vec<Event> {
        // One small file says of all workers at once that there is nothing to read.
        if self.memory.as_mut().and_then(Memory::has_risen) == Some(true) {
            return self.count_kills(now);
        }
        let killed = self.children.get_mut(&worker).filter(|_| is_sigkill(exit));
        killed.and_then(|child| child.count_kills(worker, now)).into_iter().collect()
    }

    fn count_kills(&mut self, now: u64) -> Vec<Event> {
        let workers = self.children.iter_mut();
        workers.filter_map(|(&worker, child)| child.count_kills(worker, now)).collect()
    }

    /// Listens to the kernel again.
    pub(super) fn unmute_memory(&mut self, poll: &Poll, now: u64) {
        let Some(memory) = &mut self.memory else { return };
        if memory.muted_until.is_some_and(|until| until <= now) {
            memory.muted_until = None;
            // What has changed meanwhile is reported at once.
            let _ = poll.add(&memory.events, Token::Memory.into(), Interest::Change);
        }
    }
}
