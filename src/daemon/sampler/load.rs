//! Samples of sockets and workers that the core has ordered, and the watch that says when there is
//! something to sample.
//!
//! Both look at what is given to workers by the settings in service. The watch is a set of its own, so that it is independent
//! of the other reasons for which the same sockets are watched.
//!
//! To see how busy workers are costs a few system calls for each. With thousands of workers a sample is taken in parts.

use super::LEAST_IN_PART;
use crate::daemon::children::Children;
use crate::daemon::pacer::Pacer;
use crate::daemon::settings::Spec;
use crate::daemon::sockets::slots_of;
use crate::daemon::token::Token;
use crate::log::{Log, LogLevel};
use herder_core::{Event, Herd, Load, Queue, QueueId, SlotId, Span, WorkerId, WorkerState};
use herder_linux::load::{self, Cpu};
use herder_linux::poll::{self, Interest, Poll};
use herder_linux::queue;
use herder_linux::sight::{Occupation, occupation};
use herder_linux::sockets::{Kind, Socket};
use herder_linux::usage::{self, Subject};
use nix::sys::stat::fstat;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// Sampling takes a twentieth of herder's time at most.
const REST: u64 = 20;

/// How long a part of a sample may take, in microseconds, unless it is of few workers.
const PART: u64 = 20_000;

/// A watch that could not be set is tried again after this time.
const AGAIN: Span = Span::secs(1);

/// CPU time is rated over a time that is neither so short that the clock's ticks count …
const SHORTEST: Span = Span::millis(50);
/// … nor so long that it says nothing of now; but always over that between two samples.
const LONGEST: Span = Span::secs(2);

/// What samples are taken of.
#[derive(Debug)]
pub struct Scene<'a> {
    pub herd: &'a Herd,
    /// The settings in service.
    pub spec: Option<&'a Rc<Spec>>,
    /// All that herder has.
    pub sockets: &'a [Socket],
    pub children: &'a Children,
    pub poll: &'a Poll,
    pub log: &'a mut Log,
}

impl Scene<'_> {
    /// Whether the number of workers may change with the load.
    fn scales(&self) -> bool {
        let (least, most) = self.herd.bounds();
        most > least
    }

    /// The sockets workers are given.
    fn given(&self) -> impl Iterator<Item = (QueueId, &Socket)> {
        let given = self.spec.map(|spec| spec.launch.sockets.as_slice()).unwrap_or_default();
        given.iter().filter_map(|&index| {
            Some((QueueId(u32::try_from(index).ok()?), self.sockets.get(index)?))
        })
    }

    /// Those they accept on.
    fn listeners(&self) -> impl Iterator<Item = (QueueId, &Socket)> {
        self.given().filter(|(_, socket)| socket.kind == Kind::Listener)
    }

    /// The workers that serve.
    fn ready(&self) -> impl Iterator<Item = (WorkerId, Subject)> {
        let ready = self.herd.workers().filter(|worker| worker.state == WorkerState::Ready);
        ready.filter_map(|worker| {
            let pid = self.children.unreaped(worker.id)?;
            let cgroup = self.children.group(worker.id).map(|group| group.path().to_owned());
            Some((worker.id, Subject { pid, cgroup }))
        })
    }

    fn queues(&self) -> Vec<Queue> {
        let listeners: Vec<(QueueId, &Socket)> = self.listeners().collect();
        let sockets: Vec<&Socket> = listeners.iter().map(|(_, socket)| *socket).collect();
        let look = |(&(id, _), queue): (&(QueueId, &Socket), queue::Queue)| {
            let waiting = queue.waiting?;
            // A queue that no slot has tells nothing of a worker.
            let slot = match slots_of(id, self.spec, self.herd).as_deref() {
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
}

/// What is known of load, and wanted.
#[derive(Debug)]
pub struct Loads {
    ordered: bool,
    pacer: Pacer,
    /// After the last sample, in microseconds.
    rest: u64,
    /// Set while the core wants to know when something waits.
    watch: Option<Poll>,
    /// When it is tried again to set one, in microseconds.
    watch_again: Option<u64>,
    workers: BTreeMap<WorkerId, Rated>,
    /// The sample that is being taken.
    sample: Option<Sample>,
}

impl Default for Loads {
    fn default() -> Loads {
        Loads {
            ordered: false,
            pacer: Pacer::resting(REST),
            rest: 0,
            watch: None,
            watch_again: None,
            workers: BTreeMap::new(),
            sample: None,
        }
    }
}

/// A sample that is being taken.
#[derive(Debug)]
struct Sample {
    load: Load,
    /// Workers still to be looked at.
    left: std::vec::IntoIter<(WorkerId, Subject)>,
    /// What is wanted of each: its CPU time, which tells of a stall, and what share of its time it is busy.
    cpu: bool,
    share: bool,
    /// Of the sockets that workers are given.
    inodes: Vec<u64>,
    /// What was known before of those still to be looked at.
    before: BTreeMap<WorkerId, Rated>,
    /// CPU time over a longer time is not rated, in microseconds.
    longest: u64,
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

    /// When the sample that was ordered is due, or its next part, or the watch that could not be set.
    pub fn deadline(&self) -> Option<u64> {
        let is_wanted = self.ordered || self.sample.is_some();
        let sample = is_wanted.then_some(self.pacer.not_before());
        [sample, self.watch_again].into_iter().flatten().min()
    }

    /// Ends the watch over sockets.
    pub fn forget_watch(&mut self, poll: &Poll) {
        if let Some(watch) = self.watch.take() {
            // It was added, so this cannot fail.
            let _ = poll.remove(&watch);
        }
    }

    /// Workers that wait for CPUs longer than they run would not get more done if there were more of them.
    fn is_starved(&self) -> bool {
        let workers = self.workers.values();
        let (ran, delayed) = workers
            .fold((0, 0), |(ran, delayed), rated| (ran + rated.ran, delayed + rated.delayed));
        // A third of their time.
        delayed > ran && delayed * 3 > 1000 * self.workers.len() as u64
    }

    /// Takes the sample that was ordered, or its next part, if it is due.
    pub fn sample(&mut self, scene: &mut Scene<'_>) -> Option<Event> {
        let begin = poll::now();
        if self.watch_again.is_some_and(|due| due <= begin) {
            self.watch_sockets(scene);
        }
        if !self.pacer.is_due(begin) {
            return None;
        }
        let sample = match self.sample.take() {
            Some(sample) => sample,
            None if self.ordered => self.begin_sample(scene),
            None => return None,
        };
        self.continue_sample(sample, begin)
    }

    /// Reads what is to be known of all workers together.
    fn begin_sample(&mut self, scene: &Scene<'_>) -> Sample {
        self.ordered = false;
        let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let queues = scene.queues();
        // How much CPU time each worker uses tells of a stall, and matters only while something waits.
        let policy = scene.spec.map(|spec| &spec.settings.policy);
        let is_asked = policy.is_some_and(|policy| policy.stall_timeout.is_some());
        let cpu = is_asked && queues.iter().any(|queue| queue.waiting > 0);
        let share = scene.scales();
        let mut load = Load { queues, ..Load::default() };
        let mut inodes = Vec::new();
        if share {
            let given: Vec<&Socket> = scene.given().map(|(_, socket)| socket).collect();
            let waiting = load::waiting(&given);
            load.waiting = number(waiting.count);
            load.limit = waiting.limit.map(number);
            let tree = scene.children.tree().map(|tree| tree.path().to_owned());
            load.memory_pressure = load::memory_is_short(tree.as_deref());
            inodes = given.iter().filter_map(|socket| Some(fstat(socket).ok()?.st_ino)).collect();
        }
        let ready = if cpu || share { scene.ready().collect() } else { Vec::new() };
        // A machine that is slow, because its CPUs are short, samples seldom.
        let longest = LONGEST.0.max(2 * self.rest);
        let before = if share { std::mem::take(&mut self.workers) } else { BTreeMap::new() };
        Sample { load, left: ready.into_iter(), cpu, share, inodes, before, longest }
    }

    /// Takes the next part of a sample. Returns the sample once it is complete.
    fn continue_sample(&mut self, mut sample: Sample, begin: u64) -> Option<Event> {
        let mut read = 0;
        while read < LEAST_IN_PART || poll::now() < begin + PART {
            let Some((worker, subject)) = sample.left.next() else { break };
            read += 1;
            if sample.cpu {
                sample.load.cpu.extend(usage::cpu(&subject).map(|cpu| (worker, cpu)));
            }
            if sample.share {
                let share = self.share(worker, &subject, &mut sample);
                sample.load.workers.extend(share.map(|busy| (worker, busy)));
            }
        }
        let end = poll::now();
        if !sample.left.as_slice().is_empty() {
            self.pacer.part_done(begin, end);
            self.sample = Some(sample);
            return None;
        }
        sample.load.cpu_starved = sample.share && self.is_starved();
        self.rest = self.pacer.done(begin, end);
        Some(Event::Sampled(sample.load))
    }

    /// What share of its time a ready worker is busy, in permille.
    fn share(&mut self, worker: WorkerId, subject: &Subject, sample: &mut Sample) -> Option<u32> {
        let cpu = load::cpu(subject)?;
        let before = sample.before.remove(&worker).unwrap_or_default();
        let rated = before.update(poll::now(), cpu, sample.longest);
        self.workers.insert(worker, rated);
        match occupation(subject.pid, &sample.inodes) {
            Occupation::Idle => Some(0),
            Occupation::Busy => Some(1000),
            // What it has waited for a CPU, too: it would have been busy.
            Occupation::Running => {
                let wants = u32::try_from(rated.ran + rated.delayed).unwrap_or(u32::MAX);
                rated.used.and(Some(wants.min(1000)))
            }
            Occupation::Unsure => rated.used.map(|used| used.min(1000)),
        }
    }

    /// Watches the sockets workers are given, until something waits in one of them.
    pub fn watch_sockets(&mut self, scene: &mut Scene<'_>) {
        // A new set for each watch: what else was watched is forgotten with the old one.
        self.forget_watch(scene.poll);
        let is_first_try = self.watch_again.take().is_none();
        // A stall is one of connections; load may wait in any socket.
        let counts = |socket: &&Socket| scene.scales() || socket.kind == Kind::Listener;
        let watched = scene.given().map(|(_, socket)| socket).filter(counts);
        let watch = load::watch(watched).and_then(|(watch, unseen)| {
            scene.poll.add(&watch, Token::Knock.into(), Interest::Read)?;
            let why = |(socket, why): (&Socket, io::Error)| {
                format!("cannot see when something waits in {socket}: {why}")
            };
            Ok((watch, unseen.into_iter().map(why).collect::<Vec<_>>()))
        });
        match watch {
            Ok((watch, unseen)) => {
                self.watch = Some(watch);
                for text in unseen {
                    scene.log.say(LogLevel::Debug, text);
                }
            }
            Err(why) => {
                self.watch_again = Some(poll::now() + AGAIN.0);
                if is_first_try {
                    scene.log.say(
                        LogLevel::Warning,
                        format_args!(
                            "cannot see when connections wait, trying again every {AGAIN}: {why}"
                        ),
                    );
                }
            }
        }
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
    fn workers_that_wait_for_cpus_longer_than_they_run_starve() {
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
