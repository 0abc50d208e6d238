//! The ends of workers, and of what they leave behind.
//!
//! A worker's cgroup says by itself when its last process is gone; in a session herder has to look
//! whenever something has ended.

use super::{Child, Children, Life, SIGKILL};
use crate::daemon::token::Token;
use crate::herd::{Event, WorkerId};
use crate::linux::cgroup::Group;
use crate::linux::child;
use crate::linux::poll::{Interest, Poll};
use std::collections::BTreeSet;
use std::os::fd::AsFd;

/// Pids of workers that are gone, for whoever asks about a failure.
const REMEMBERED: usize = 64;

impl Children {
    /// SIGKILL to a worker and all its processes, or, once it is swept, to what it left behind; then it may
    /// be ordered as often as the core likes. Says what is over with that.
    pub fn kill(&mut self, worker: WorkerId) -> Option<Event> {
        let child = self.children.get_mut(&worker)?;
        match child.state {
            Life::Running | Life::Ended => {
                let _ = child::signal(child.process.pidfd.as_fd(), SIGKILL);
                let killed = child.group.as_ref().is_some_and(|group| group.kill().is_ok());
                if !killed {
                    // The rest of its session has its turn when it is swept: to look for that now
                    // would take a look at every process of the machine for each of many workers.
                    let _ = child::signal_group(child.process.pid, SIGKILL);
                }
                None
            }
            Life::Swept | Life::SweptHard => {
                child.state = Life::SweptHard;
                self.clear(worker, SIGKILL)
            }
        }
    }

    /// Sends what a dead worker left behind its stop signal, or SIGKILL, and reaps the worker if
    /// that is nothing.
    pub fn sweep(&mut self, poll: &Poll, worker: WorkerId, kill: bool) -> Option<Event> {
        let child = self.children.get_mut(&worker)?;
        let (state, signal) =
            if kill { (Life::SweptHard, SIGKILL) } else { (Life::Swept, child.stop_signal) };
        child.state = state;
        // The pidfd of the dead stays readable for ever.
        let _ = poll.remove(&child.process.pidfd);
        match child.group.as_ref().map(Group::watch) {
            Some(Ok((_, false))) => return self.bury(worker),
            Some(Ok((watch, true))) => {
                let added = poll.add(&watch, Token::Group(worker).into(), Interest::Change);
                child.watch = added.is_ok().then_some(watch);
            }
            Some(Err(_)) | None => {}
        }
        self.clear(worker, signal)
    }

    /// Signals what a dead worker left behind, and reaps the worker if that is nothing.
    fn clear(&mut self, worker: WorkerId, signal: i32) -> Option<Event> {
        let child = self.children.get(&worker)?;
        let group = child.group.as_ref();
        if let Some((group, Ok(populated))) = group.map(|group| (group, group.is_populated())) {
            if !populated {
                return self.bury(worker);
            }
            let _ = match signal {
                SIGKILL => group.kill(),
                signal => group.signal(signal).map(drop),
            };
            return None;
        }
        let pid = child.process.pid;
        // Without /proc nobody can tell; what is left then is left to the unit's own clean-up.
        if child::has_leftovers(pid, |pid| self.is_known(pid)).unwrap_or(false) {
            // Not only to its group: a worker's own helpers may have groups of their own.
            let _ = child::signal_session(pid, signal);
            return None;
        }
        self.bury(worker)
    }

    /// Something has changed in the cgroup of a worker that has ended: perhaps nobody is left.
    pub fn emptied(&mut self, worker: WorkerId) -> Option<Event> {
        let watch = self.children.get(&worker)?.watch.as_ref()?;
        // One that cannot be read was removed, and so was empty.
        let populated = watch.is_populated().unwrap_or(false);
        if populated { None } else { self.bury(worker) }
    }

    /// Gives a worker up that not even SIGKILL ends.
    pub fn abandon(&mut self, worker: WorkerId) {
        // Its descriptors close, and with them nobody watches it. When it does end, it is reaped as
        // any other orphan.
        let Some(child) = self.children.remove(&worker) else { return };
        child.group.into_iter().for_each(|group| self.groups.leave(group));
        self.remember(worker, child.process.pid);
    }

    /// Reaps a swept worker of which nothing is left.
    fn bury(&mut self, worker: WorkerId) -> Option<Event> {
        let child = self.children.remove(&worker)?;
        let _ = child::reap(child.process.pidfd.as_fd());
        child.group.into_iter().for_each(|group| self.groups.leave(group));
        self.remember(worker, child.process.pid);
        Some(Event::Gone { worker })
    }

    /// What is said about a worker is written when it may be gone from here.
    fn remember(&mut self, worker: WorkerId, pid: i32) {
        self.past.push_back((worker, pid));
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
    }

    /// SIGCHLD: something ended, perhaps the last of what a worker left behind.
    pub fn reap(&mut self) -> Vec<Event> {
        let orphans = child::reap_orphans(|pid| self.is_known(pid)).unwrap_or(0);
        // A watched cgroup speaks for itself.
        let swept = |child: &Child| {
            matches!(child.state, Life::Swept | Life::SweptHard) && child.watch.is_none()
        };
        if !self.children.values().any(swept) {
            return Vec::new();
        }
        // Whatever a dead worker left has an ancestor among the orphans: without one nothing is left.
        // Else one look at all processes serves all workers, however many were swept.
        let still = match orphans {
            0 => BTreeSet::new(),
            _ => child::running_sessions().unwrap_or_default(),
        };
        let mut over = Vec::new();
        for (&worker, child) in self.children.iter().filter(|(_, child)| swept(child)) {
            if !still.contains(&child.process.pid) {
                over.push(worker);
            } else if child.state == Life::SweptHard {
                // They may have forked in the meantime.
                let _ = child::signal_session(child.process.pid, SIGKILL);
            }
        }
        over.into_iter().filter_map(|worker| self.bury(worker)).collect()
    }
}
