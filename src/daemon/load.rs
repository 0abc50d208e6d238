//! Samples of load that the core has ordered, and the watch that says when there may be some.
//!
//! A sample costs a few system calls for each worker. So after one there is a rest: however many workers there
//! are, sampling takes a twentieth of herder's time at most.

use super::Daemon;
use super::token::Token;
use crate::herd::{Event, Load, Span, WorkerId, WorkerState};
use crate::linux::load::{self, Cpu};
use crate::linux::poll;
use crate::linux::sight::{Occupation, occupation};
use crate::linux::sockets::Socket;
use crate::log::Priority;
use nix::sys::stat::fstat;
use std::collections::BTreeMap;

/// So many times as long as a sample has taken there is no other.
const REST: u64 = 20;

/// CPU time is rated over a time that is neither so short that the clock's ticks count …
const SHORTEST: Span = Span::millis(50);
/// … nor so long that it says nothing of now.
const LONGEST: Span = Span::secs(2);

/// What is known of load, and wanted.
#[derive(Debug, Default)]
pub struct Loads {
    ordered: bool,
    /// In microseconds.
    not_before: u64,
    /// The sockets that are watched, as they are counted in herder.
    watched: Vec<usize>,
    workers: BTreeMap<WorkerId, Rated>,
}

/// CPU time of a worker, and what that was per time.
#[derive(Clone, Copy, Debug, Default)]
struct Rated {
    at: u64,
    cpu: Cpu,
    /// In permille of one CPU; `None` before it is known.
    used: Option<u32>,
    ran: u64,
    delayed: u64,
}

impl Rated {
    fn update(self, now: u64, cpu: Cpu) -> Rated {
        let time = now - self.at;
        if time < SHORTEST.0 {
            return self;
        }
        let known = self.at > 0 && time <= LONGEST.0;
        // The sum over processes falls when one ends.
        let permille = cpu.used.saturating_sub(self.cpu.used) * 1000 / time.max(1);
        Rated {
            at: now,
            cpu,
            used: known.then(|| u32::try_from(permille).unwrap_or(u32::MAX)),
            ran: if known { cpu.ran.saturating_sub(self.cpu.ran) * 1000 / time } else { 0 },
            delayed: if known {
                cpu.delayed.saturating_sub(self.cpu.delayed) * 1000 / time
            } else {
                0
            },
        }
    }
}

impl Loads {
    pub fn order(&mut self) {
        self.ordered = true;
    }

    /// When the sample that was ordered is due.
    pub fn deadline(&self) -> Option<u64> {
        self.ordered.then_some(self.not_before)
    }

    /// Who waits for CPUs longer than it runs would not get more done by more of its kind.
    fn is_starved(&self) -> bool {
        let workers = self.workers.values();
        let (ran, delayed) = workers
            .fold((0, 0), |(ran, delayed), rated| (ran + rated.ran, delayed + rated.delayed));
        // A third of their time.
        delayed > ran && delayed * 3 > 1000 * self.workers.len() as u64
    }
}

impl Daemon {
    /// Carries out the sample that was ordered, if it is due.
    pub(super) fn sample_load(&mut self) {
        let begin = poll::now();
        if self.loads.deadline().is_none_or(|due| due > begin) {
            return;
        }
        self.loads.ordered = false;
        let sockets = self.sockets_of_workers();
        let inodes: Vec<u64> =
            sockets.iter().filter_map(|socket| Some(fstat(socket).ok()?.st_ino)).collect();
        let waiting = load::waiting(&sockets);
        let ready: Vec<WorkerId> = self
            .herd
            .view()
            .filter(|worker| worker.state == WorkerState::Ready)
            .map(|worker| worker.id)
            .collect();
        let mut before = std::mem::take(&mut self.loads.workers);
        let mut workers = Vec::with_capacity(ready.len());
        for worker in ready {
            let Some(pid) = self.children.unreaped(worker) else { continue };
            let group = self.children.group(worker).map(|group| group.path());
            let Some(cpu) = load::cpu(pid, group) else { continue };
            let rated = before.remove(&worker).unwrap_or_default().update(begin, cpu);
            self.loads.workers.insert(worker, rated);
            let busy = match occupation(pid, &inodes) {
                Occupation::Idle => Some(0),
                Occupation::Busy => Some(1000),
                // What it has waited for a CPU, too: it would have been busy.
                Occupation::Running => {
                    let wants = u32::try_from(rated.ran + rated.delayed).unwrap_or(u32::MAX);
                    rated.used.and(Some(wants.min(1000)))
                }
                Occupation::Unsure => rated.used.map(|used| used.min(1000)),
            };
            workers.extend(busy.map(|busy| (worker, busy)));
        }
        let tree = self.children.tree().map(|tree| tree.path().to_owned());
        let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
        self.events.push_back(Event::Sampled(Load {
            waiting: number(waiting.count),
            limit: waiting.limit.map(number),
            workers,
            memory_pressure: load::memory_is_short(tree.as_deref()),
            cpu_starved: self.loads.is_starved(),
        }));
        let end = poll::now();
        self.loads.not_before = end + REST * (end - begin);
    }

    /// Watches the sockets workers are given, each for one event, and no others.
    pub(super) fn watch_load(&mut self) {
        let spec = self.spec_in_service();
        let given = spec.map(|spec| spec.launch.sockets.clone()).unwrap_or_default();
        for index in std::mem::take(&mut self.loads.watched) {
            if !given.contains(&index) {
                // It was watched, so this cannot fail.
                let _ = self.poll.remove(&self.sockets[index]);
            }
        }
        for index in given {
            let socket = &self.sockets[index];
            match load::watch_once(&self.poll, socket, Token::Load.into()) {
                Ok(()) => self.loads.watched.push(index),
                Err(why) => {
                    let text = format!("cannot see when something waits in {socket}: {why}");
                    self.log.say(Priority::Debug, text);
                }
            }
        }
    }

    fn sockets_of_workers(&self) -> Vec<&Socket> {
        let spec = self.spec_in_service();
        let given = spec.map(|spec| spec.launch.sockets.as_slice()).unwrap_or_default();
        given.iter().map(|&index| &self.sockets[index]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(used: u64, ran: u64, delayed: u64) -> Cpu {
        Cpu { used, ran, delayed }
    }

    #[test]
    fn cpu_time_is_rated_over_the_time_since_the_sample_before() {
        let first = Rated::default().update(1_000_000, cpu(500_000, 0, 0));
        assert_eq!(first.used, None);
        let second = first.update(1_100_000, cpu(550_000, 20_000, 80_000));
        assert_eq!((second.used, second.ran, second.delayed), (Some(500), 200, 800));
        // Too soon: that is still what is known. After long it is not.
        assert_eq!(second.update(1_120_000, cpu(570_000, 0, 0)).used, Some(500));
        assert_eq!(second.update(9_000_000, cpu(570_000, 0, 0)).used, None);
        assert_eq!(second.update(1_200_000, cpu(0, 0, 0)).used, Some(0));
    }

    #[test]
    fn workers_starve_who_wait_for_cpus_longer_than_they_run() {
        let starved = |workers: &[(u64, u64)]| {
            let rated = |&(ran, delayed): &(u64, u64)| Rated { ran, delayed, ..Rated::default() };
            let workers = (0..).map(WorkerId).zip(workers.iter().map(rated)).collect();
            Loads { workers, ..Loads::default() }.is_starved()
        };
        assert!(!starved(&[]));
        assert!(starved(&[(300, 700), (400, 600)]));
        assert!(!starved(&[(600, 400), (600, 400)]));
        // They hardly want any.
        assert!(!starved(&[(10, 20), (10, 20)]));
    }
}
