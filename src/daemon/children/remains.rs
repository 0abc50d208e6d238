//! The ends of workers, and of what they leave behind.
//!
//! A worker's cgroup says by itself when its last process is gone; for a session herder has to search its own
//! children whenever something has ended. A search reads a list of all of them, which takes milliseconds with
//! thousands of workers. So one search serves all workers that have ended by then.

use super::{Children, Life, SIGKILL};
use crate::daemon::pacer::Pacer;
use crate::daemon::token::Token;
use herder_core::{Event, WorkerId};
use herder_linux::cgroup::Group;
use herder_linux::child;
use herder_linux::poll::{self, Interest, Poll};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

/// Searching takes a tenth of herder's time at most.
const REST: u64 = 9;

/// The search for what ended workers left behind, where no cgroup tells.
#[derive(Debug)]
pub(super) struct Search {
    /// Something has ended, or was left behind, since the last search.
    is_due: bool,
    pacer: Pacer,
    /// Workers that were swept and are not known to have left nothing; with the signal that what they left is
    /// still to be sent.
    workers: BTreeMap<WorkerId, Option<i32>>,
}

impl Search {
    pub fn new() -> Search {
        Search { is_due: false, pacer: Pacer::resting(REST), workers: BTreeMap::new() }
    }

    /// When the next search is due.
    pub fn deadline(&self) -> Option<u64> {
        self.is_due.then_some(self.pacer.not_before())
    }

    /// A worker is gone.
    pub fn forget(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
    }
}

/// Pids of workers that are gone, kept for messages about their failures.
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
        let is_watched = child.watch.is_some();
        let event = self.clear(worker, signal);
        if event.is_none() && !is_watched {
            self.search.workers.entry(worker).or_default();
        }
        event
    }

    /// Signals what a dead worker left behind in its cgroup, and reaps the worker if that is nothing. Without a
    /// cgroup the next search does so.
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
        self.search.workers.insert(worker, Some(signal));
        self.search.is_due = true;
        None
    }

    /// Something has changed in the cgroup of a worker that has ended: perhaps no process is left.
    pub fn emptied(&mut self, worker: WorkerId) -> Option<Event> {
        let watch = self.children.get(&worker)?.watch.as_ref()?;
        // One that cannot be read was removed, and so was empty.
        let populated = watch.is_populated().unwrap_or(false);
        if populated { None } else { self.bury(worker) }
    }

    /// Gives a worker up that not even SIGKILL ends.
    pub fn abandon(&mut self, worker: WorkerId) {
        // Its descriptors close, and with that it is no longer watched. When it does end, it is reaped as
        // any other orphan.
        let Some(child) = self.forget(worker) else { return };
        child.group.into_iter().for_each(|group| self.groups.leave(group));
        self.remember(worker, child.process.pid);
    }

    /// Reaps a swept worker of which nothing is left.
    fn bury(&mut self, worker: WorkerId) -> Option<Event> {
        let child = self.forget(worker)?;
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
    pub fn something_ended(&mut self) {
        self.search.is_due = true;
    }

    /// Carries out the search that is due: reaps what workers left behind and has ended, signals what still
    /// runs, and reaps the swept workers of which nothing is left.
    pub fn search(&mut self) -> Vec<Event> {
        let begin = poll::now();
        if self.search.deadline().is_none_or(|due| due > begin) {
            return Vec::new();
        }
        self.search.is_due = false;
        // Without /proc this is not known; what is left then is left to the unit's own clean-up.
        let orphans = child::reap_orphans(|pid| self.is_known(pid)).unwrap_or(0);
        // Whatever a dead worker left has an ancestor among the orphans: without one nothing is left.
        // Else one look at all processes serves all workers, however many were swept.
        let still = match orphans {
            0 => BTreeSet::new(),
            _ if self.search.workers.is_empty() => BTreeSet::new(),
            _ => child::running_sessions().unwrap_or_default(),
        };
        let mut over = Vec::new();
        for (&worker, signal) in &mut self.search.workers {
            let Some(child) = self.children.get(&worker) else { continue };
            let pid = child.process.pid;
            if !still.contains(&pid) {
                over.push(worker);
                continue;
            }
            // What is killed may have forked in the meantime.
            let again = (child.state == Life::SweptHard).then_some(SIGKILL);
            if let Some(signal) = signal.take().or(again) {
                // Not only to its group: a worker's own helpers may have groups of their own.
                let _ = child::signal_session(pid, signal);
            }
        }
        let events = over.into_iter().filter_map(|worker| self.bury(worker)).collect();
        self.search.pacer.done(begin, poll::now());
        events
    }
}
