//! Connections that wait and are not accepted: what shows a hang of workers that say nothing about themselves.
//!
//! For each queue, that is a socket's connections, a *spell* begins when a sample finds some waiting. It ends when there
//! are fewer than at the sample before, or none: a worker has accepted. A spell that lasts for `stall-timeout` is a
//! *stall* if the workers of the queue have used no CPU time in it, or if nothing at all has changed in a queue that is not
//! full. (A queue that only grows may belong to workers that do what they can, and a full one looks the same whatever they
//! do.)
//!
//! If one slot has the queue for itself, its worker hangs. Of a queue that all workers share the kernel does not tell which
//! of them is at fault: that is reported, once, and again when it is over.
//!
//! Nothing is sampled at rest: the next connection that waits is *watched* for.

use crate::fleet::Fleet;
use crate::ids::{QueueId, SlotId, WorkerId};
use crate::load::Load;
use crate::reason::Hang;
use crate::report::Report;
use crate::sampling::Needs;
use crate::time::{Span, Time};
use crate::turn::Turn;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Samples in a stall. What looks the same in half as many does not change.
const SAMPLES: u64 = 64;
/// The shortest time between samples.
const SHORTEST: Span = Span::millis(50);
/// A worker that uses less than this part of the time does nothing but its timers.
const IDLE: u64 = 100;

/// Connections have been waiting, and none was accepted as far as the samples show.
#[derive(Clone, Debug)]
struct Spell {
    since: Time,
    /// The ready worker of the slot, if one slot has the queue.
    worker: Option<WorkerId>,
    waiting: u32,
    /// The number of samples that have seen it.
    seen: u64,
    /// Nothing has changed, although more connections could have waited.
    unchanged: bool,
    /// CPU time of the workers when it began.
    cpu: BTreeMap<WorkerId, u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Stalls {
    /// A sample is on its way.
    asked: bool,
    /// The watch is set.
    listens: bool,
    next: Option<Time>,
    last: Option<Time>,
    spells: BTreeMap<QueueId, Spell>,
    /// The stall of a queue that workers share, once it was reported.
    stalled: Option<Stalled>,
}

#[derive(Clone, Copy, Debug)]
struct Stalled {
    queue: QueueId,
    since: Time,
    waiting: u32,
}

impl Stalls {
    /// The watch has gone off. `timeout` is `stall-timeout`, while herder is not about to end.
    pub fn knocked(&mut self, timeout: Option<Span>, now: Time) {
        if core::mem::take(&mut self.listens) {
            self.next = timeout.map(|timeout| now + period(timeout)).or(self.next);
        }
    }

    /// A sample has come; any will do. Returns the workers that hang.
    pub fn sampled(
        &mut self,
        load: &Load,
        timeout: Option<Span>,
        fleet: &Fleet,
        turn: &mut Turn,
    ) -> Vec<(WorkerId, Hang)> {
        self.asked = false;
        let Some(timeout) = timeout else { return Vec::new() };
        let now = turn.now();
        let before = self.last.replace(now);
        let mut spells = core::mem::take(&mut self.spells);
        // After a gap between samples it is not known what happened in it. (With many workers samples are fewer than
        // planned.)
        let longest_gap = period(timeout).times(2).max(timeout.part(4));
        if before.is_none_or(|before| now - before > longest_gap) {
            spells.clear();
        }
        let cpu: BTreeMap<WorkerId, u64> = load.cpu.iter().copied().collect();
        let mut stalls = Vec::new();
        for queue in load.queues.iter().filter(|queue| queue.waiting > 0) {
            let worker = queue.slot.and_then(|slot| ready_worker(fleet, slot));
            let served = worker.is_some() || queue.slot.is_none() && fleet.serves();
            if !served {
                continue;
            }
            let spell = match spells.remove(&queue.id) {
                Some(spell) if spell.worker == worker && spell.waiting <= queue.waiting => Spell {
                    unchanged: spell.unchanged && spell.waiting == queue.waiting && !queue.full,
                    waiting: queue.waiting,
                    seen: spell.seen + 1,
                    ..spell
                },
                Some(_) | None => Spell {
                    since: now,
                    worker,
                    waiting: queue.waiting,
                    seen: 1,
                    unchanged: !queue.full,
                    cpu: match worker {
                        Some(id) => cpu.get(&id).map(|time| (id, *time)).into_iter().collect(),
                        None => cpu.clone(),
                    },
                },
            };
            let unchanged = spell.unchanged && spell.seen > SAMPLES / 2;
            let long_enough = now - spell.since >= timeout;
            if long_enough && (unchanged || used_no_cpu(&spell, &cpu, fleet, now)) {
                stalls.push((queue.id, spell.clone()));
            }
            self.spells.insert(queue.id, spell);
        }
        let hung = self.note_stalls(&stalls, turn);
        self.next = (!self.spells.is_empty()).then(|| now + period(timeout));
        hung
    }

    fn note_stalls(
        &mut self,
        stalls: &[(QueueId, Spell)],
        turn: &mut Turn,
    ) -> Vec<(WorkerId, Hang)> {
        let now = turn.now();
        let mut hung = Vec::new();
        for (queue, spell) in stalls {
            let (after, waiting) = (now - spell.since, spell.waiting);
            match spell.worker {
                Some(worker) => {
                    self.spells.remove(queue);
                    hung.push((worker, Hang::Stalled { waiting, after }));
                }
                None if self.stalled.is_none() => {
                    self.stalled = Some(Stalled { queue: *queue, since: spell.since, waiting });
                    turn.report(Report::Stalled { waiting, after });
                }
                None => {}
            }
        }
        let is_over = |stalled: &Stalled| {
            let spell = self.spells.get(&stalled.queue);
            spell.is_none_or(|spell| spell.since > stalled.since)
        };
        if self.stalled.as_ref().is_some_and(is_over) {
            self.end_stall(turn);
        }
        hung
    }

    fn end_stall(&mut self, turn: &mut Turn) {
        if let Some(Stalled { since, .. }) = self.stalled.take() {
            turn.report(Report::StallOver { after: turn.now() - since });
        }
    }

    /// What is needed to know of stalls.
    pub fn needs(&mut self, timeout: Option<Span>, fleet: &Fleet, turn: &mut Turn) -> Needs {
        if timeout.is_none() || !fleet.serves() {
            self.end_stall(turn);
            // A worker that becomes ready later has its full time.
            *self = Stalls::default();
            return Needs::default();
        }
        if self.next.is_some_and(|next| next <= turn.now()) {
            self.next = None;
            self.asked = true;
        }
        // While connections wait there are samples; else the watch tells when some do.
        self.listens = !self.asked && self.next.is_none();
        Needs { sample: self.asked, knock: self.listens }
    }

    pub fn deadline(&self, timeout: Option<Span>) -> Option<Time> {
        self.next.filter(|_| timeout.is_some())
    }

    /// Since when connections have been waiting that none of the workers that share a queue accepts, and how many there
    /// were when that was noticed.
    pub fn stalled(&self) -> Option<(Time, u32)> {
        self.stalled.map(|stalled| (stalled.since, stalled.waiting))
    }
}

fn ready_worker(fleet: &Fleet, slot: SlotId) -> Option<WorkerId> {
    Some(fleet.slot(slot)?.ready_worker()?.id())
}

/// The workers of the queue have used no CPU time in the spell, and the time of each of them is known.
fn used_no_cpu(spell: &Spell, cpu: &BTreeMap<WorkerId, u64>, fleet: &Fleet, now: Time) -> bool {
    let most = (now - spell.since).part(IDLE).0;
    let idle = |id: &WorkerId| {
        let before = spell.cpu.get(id).copied().unwrap_or(0);
        cpu.get(id).is_some_and(|time| time.saturating_sub(before) <= most)
    };
    match &spell.worker {
        Some(worker) => idle(worker),
        None => {
            let mut ready = fleet.workers().filter(|(_, worker)| worker.is_ready());
            ready.all(|(_, worker)| cpu.contains_key(&worker.id())) && cpu.keys().all(idle)
        }
    }
}

fn period(timeout: Span) -> Span {
    timeout.part(SAMPLES).max(SHORTEST)
}
