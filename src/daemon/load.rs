//! Samples of sockets and workers that the core has ordered, and the watch that says when there is
//! something to sample.
//!
//! Both look at what is given to workers by the settings in service. The watch is a set of its own, so
//! that it is in nobody's way who watches the same sockets for another reason.
//!
//! To see how busy workers are costs a few system calls for each. So after that there is a rest: however many
//! workers there are, sampling takes a twentieth of herder's time at most.

use super::Daemon;
use super::token::Token;
use crate::herd::{Event, Load, Queue, QueueId, SlotId, Span, WorkerId, WorkerState};
use crate::linux::load::{self, Cpu};
use crate::linux::poll::{self, Interest, Poll};
use crate::linux::queue;
use crate::linux::sight::{Occupation, occupation};
use crate::linux::sockets::{Kind, Socket};
use crate::linux::usage::{self, Subject};
use crate::log::Priority;
use nix::sys::stat::fstat;
use std::collections::BTreeMap;
use std::io;

/// So many times as long as a sample has taken there is no other.
const REST: u64 = 20;

/// A watch that could not be set is tried again after this time: without one nobody ever comes.
const AGAIN: Span = Span::secs(1);

/// CPU time is rated over a time that is neither so short that the clock's ticks count …
const SHORTEST: Span = Span::millis(50);
/// … nor so long that it says nothing of now; but always over that between two samples.
const LONGEST: Span = Span::secs(2);

/// What is known of load, and wanted.
#[derive(Debug, Default)]
pub struct Loads {
    ordered: bool,
    /// In microseconds.
    not_before: u64,
    /// After the last sample, in microseconds.
    rest: u64,
    /// Set once somebody has asked for a watch.
    watch: Option<Poll>,
    /// When it is tried again to set one, in microseconds.
    watch_again: Option<u64>,
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
    fn update(self, now: u64, cpu: Cpu, longest: u64) -> Rated {
        let time = now - self.at;
        if time < SHORTEST.0 {
            return self;
        }
        let known = self.at > 0 && time <= longest;
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

    /// When the sample that was ordered is due, or the watch that could not be set.
    pub fn deadline(&self) -> Option<u64> {
        self.sample_at().into_iter().chain(self.watch_again).min()
    }

    fn sample_at(&self) -> Option<u64> {
        self.ordered.then_some(self.not_before)
    }

    /// Nobody is told any more.
    fn forget_watch(&mut self, poll: &Poll) {
        if let Some(watch) = self.watch.take() {
            // It was added, so this cannot fail.
            let _ = poll.remove(&watch);
        }
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
        if self.loads.watch_again.is_some_and(|due| due <= begin) {
            self.watch_sockets();
        }
        if self.loads.sample_at().is_none_or(|due| due > begin) {
            return;
        }
        self.loads.ordered = false;
        let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let queues = self.sample_queues();
        // Who uses how much tells of a stall, and matters only while something waits.
        let policy = self.spec_in_service().map(|spec| &spec.settings.policy);
        let is_asked = policy.is_some_and(|policy| policy.stall_timeout.is_some());
        let cpu = match is_asked && queues.iter().any(|queue| queue.waiting > 0) {
            true => self.ready().filter_map(|(id, it)| Some((id, usage::cpu(&it)?))).collect(),
            false => Vec::new(),
        };
        let mut load = Load { queues, cpu, ..Load::default() };
        if self.scales() {
            let waiting =
                load::waiting(&self.given().map(|(_, socket)| socket).collect::<Vec<_>>());
            load.waiting = number(waiting.count);
            load.limit = waiting.limit.map(number);
            load.workers = self.shares(begin);
            let tree = self.children.tree().map(|tree| tree.path().to_owned());
            load.memory_pressure = load::memory_is_short(tree.as_deref());
            load.cpu_starved = self.loads.is_starved();
        }
        let end = poll::now();
        self.loads.rest = REST * (end - begin);
        self.loads.not_before = end + self.loads.rest;
        self.events.push_back(Event::Sampled(load));
    }

    /// What share of its time each ready worker is busy, in permille.
    fn shares(&mut self, now: u64) -> Vec<(WorkerId, u32)> {
        let inodes = self.given().filter_map(|(_, socket)| Some(fstat(socket).ok()?.st_ino));
        let inodes: Vec<u64> = inodes.collect();
        let ready: Vec<(WorkerId, Subject)> = self.ready().collect();
        // A machine that is slow, because its CPUs are short, samples seldom.
        let longest = LONGEST.0.max(2 * self.loads.rest);
        let mut before = std::mem::take(&mut self.loads.workers);
        let mut shares = Vec::with_capacity(ready.len());
        for (worker, subject) in ready {
            let Some(cpu) = load::cpu(&subject) else { continue };
            let rated = before.remove(&worker).unwrap_or_default().update(now, cpu, longest);
            self.loads.workers.insert(worker, rated);
            let busy = match occupation(subject.pid, &inodes) {
                Occupation::Idle => Some(0),
                Occupation::Busy => Some(1000),
                // What it has waited for a CPU, too: it would have been busy.
                Occupation::Running => {
                    let wants = u32::try_from(rated.ran + rated.delayed).unwrap_or(u32::MAX);
                    rated.used.and(Some(wants.min(1000)))
                }
                Occupation::Unsure => rated.used.map(|used| used.min(1000)),
            };
            shares.extend(busy.map(|busy| (worker, busy)));
        }
        shares
    }

    fn sample_queues(&self) -> Vec<Queue> {
        let listeners: Vec<(QueueId, &Socket)> = self.listeners().collect();
        let sockets: Vec<&Socket> = listeners.iter().map(|(_, socket)| *socket).collect();
        let look = |(&(id, _), queue): (&(QueueId, &Socket), queue::Queue)| {
            let waiting = queue.waiting?;
            // What no slot has is nobody's fault.
            let slot = match self.slots_of(id.0 as usize).as_deref() {
                Some([]) => return None,
                Some(&[slot]) => Some(SlotId(slot)),
                Some([..]) | None => None,
            };
            Some(Queue {
                id,
                slot,
                waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
                full: queue.limit.is_some_and(|limit| waiting >= limit),
            })
        };
        listeners.iter().zip(queue::of(&sockets)).filter_map(look).collect()
    }

    /// The workers that serve.
    fn ready(&self) -> impl Iterator<Item = (WorkerId, Subject)> {
        let ready = self.herd.view().filter(|worker| worker.state == WorkerState::Ready);
        ready.filter_map(|worker| {
            let pid = self.children.unreaped(worker.id)?;
            let cgroup = self.children.group(worker.id).map(|group| group.path().to_owned());
            Some((worker.id, Subject { pid, cgroup }))
        })
    }

    fn scales(&self) -> bool {
        let (least, most) = self.herd.bounds();
        most > least
    }

    /// The sockets workers are given.
    fn given(&self) -> impl Iterator<Item = (QueueId, &Socket)> {
        let spec = self.spec_in_service();
        let given = spec.map(|spec| spec.launch.sockets.as_slice()).unwrap_or_default();
        given.iter().filter_map(|&index| {
            Some((QueueId(u32::try_from(index).ok()?), self.sockets.get(index)?))
        })
    }

    /// Those they accept on.
    fn listeners(&self) -> impl Iterator<Item = (QueueId, &Socket)> {
        self.given().filter(|(_, socket)| socket.kind == Kind::Listener)
    }

    /// Watches the sockets workers are given, until something waits in one of them.
    pub(super) fn watch_sockets(&mut self) {
        // A new set for each watch: what else was watched is forgotten with the old one.
        self.loads.forget_watch(&self.poll);
        let is_first_try = self.loads.watch_again.take().is_none();
        // A stall is one of connections. Load is anything.
        let counts = |socket: &&Socket| self.scales() || socket.kind == Kind::Listener;
        let watched = self.given().map(|(_, socket)| socket).filter(counts);
        let watch = load::watch(watched).and_then(|(watch, unseen)| {
            self.poll.add(&watch, Token::Knock.into(), Interest::Read)?;
            let why = |(socket, why): (&Socket, io::Error)| {
                format!("cannot see when something waits in {socket}: {why}")
            };
            Ok((watch, unseen.into_iter().map(why).collect::<Vec<_>>()))
        });
        match watch {
            Ok((watch, unseen)) => {
                self.loads.watch = Some(watch);
                for text in unseen {
                    self.log.say(Priority::Debug, text);
                }
            }
            Err(why) => {
                self.loads.watch_again = Some(poll::now() + AGAIN.0);
                if is_first_try {
                    self.log.say(
                        Priority::Warning,
                        format_args!(
                            "cannot see when connections wait, trying again every {AGAIN}: {why}"
                        ),
                    );
                }
            }
        }
    }

    /// Something waits in a socket that is watched.
    pub(super) fn knocked(&mut self) {
        self.loads.forget_watch(&self.poll);
        self.events.push_back(Event::Knocked);
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
        let update = |rated: Rated, now, cpu| rated.update(now, cpu, LONGEST.0);
        let first = update(Rated::default(), 1_000_000, cpu(500_000, 0, 0));
        assert_eq!(first.used, None);
        let second = update(first, 1_100_000, cpu(550_000, 20_000, 80_000));
        assert_eq!((second.used, second.ran, second.delayed), (Some(500), 200, 800));
        // Too soon: that is still what is known. After long it is not.
        assert_eq!(update(second, 1_120_000, cpu(570_000, 0, 0)).used, Some(500));
        assert_eq!(update(second, 9_000_000, cpu(570_000, 0, 0)).used, None);
        assert_eq!(update(second, 1_200_000, cpu(0, 0, 0)).used, Some(0));
        // Unless samples are that far apart.
        let seldom = second.update(9_000_000, cpu(4_500_000, 3_950_000, 0), 10_000_000);
        assert_eq!((seldom.used, seldom.ran), (Some(500), 497));
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
