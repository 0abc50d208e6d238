//! Connections that wait and are not taken: what shows that of workers that say nothing of themselves.
//!
//! For each queue, that is a socket's connections, a *spell* begins when a sample finds some waiting. It
//! ends when there are fewer than at the sample before, or none: somebody has accepted. A spell that
//! lasts for `stall-timeout` is a *stall* if the workers of the queue have used no CPU time in it, or if
//! nothing at all has changed in a queue that is not full. (A queue that only grows may belong to
//! workers that do what they can, and one that is full looks the same whatever they do.)
//!
//! A slot that has the queue for itself is to blame, and its worker hangs. Of a queue that all share
//! nobody knows whose fault it is: that is reported, once, and when it is over.
//!
//! Nothing is sampled at rest: the next connection that waits is *watched* for.

use super::hang::Hang;
use super::report::Report;
use super::sample::{Load, Needs};
use super::{Herd, QueueId, SlotId, Span, Time, WorkerId};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Samples in a stall, or half as many. What happens to look the same so often does not change.
const SAMPLES: u64 = 64;
/// Time between samples at least.
const SHORTEST: Span = Span::millis(50);
/// Who uses less than this part of the time uses none: timers and the like do not accept.
const IDLE: u64 = 100;

/// Connections have been waiting, and none was taken as far as anybody saw.
#[derive(Clone, Debug)]
struct Spell {
    since: Time,
    /// The ready worker of the slot, if one slot has the queue.
    worker: Option<WorkerId>,
    waiting: u32,
    /// In how many samples.
    seen: u64,
    /// Nothing has changed, and more might have.
    unchanged: bool,
    /// CPU time of the workers when it began.
    cpu: BTreeMap<WorkerId, u64>,
}

#[derive(Debug, Default)]
pub(super) struct Stalls {
    /// A sample is on its way.
    asked: bool,
    /// A knock is waited for.
    listens: bool,
    next: Option<Time>,
    last: Option<Time>,
    spells: BTreeMap<QueueId, Spell>,
    /// Since when the workers that share a queue have let connections wait, once that was reported.
    stalled: Option<Stalled>,
}

#[derive(Clone, Copy, Debug)]
struct Stalled {
    queue: QueueId,
    since: Time,
    waiting: u32,
}

impl Herd {
    fn stall_timeout(&self) -> Option<Span> {
        self.rules().stall_timeout.filter(|_| self.ending.is_none())
    }

    pub(super) fn stalls_knocked(&mut self) {
        if core::mem::take(&mut self.stalls.listens)
            && let Some(timeout) = self.stall_timeout()
        {
            self.stalls.next = Some(self.now + period(timeout));
        }
    }

    /// Any sample will do.
    pub(super) fn see_stalls(&mut self, load: &Load) {
        self.stalls.asked = false;
        let Some(timeout) = self.stall_timeout() else { return };
        let now = self.now;
        let before = self.stalls.last.replace(now);
        let mut spells = core::mem::take(&mut self.stalls.spells);
        // What happened while herder was not there to see it nobody knows. (Of many workers samples are fewer
        // than it would like.)
        if before.is_none_or(|before| now - before > period(timeout).times(2).max(timeout.part(4)))
        {
            spells.clear();
        }
        let mut stalls = Vec::new();
        for queue in load.queues.iter().filter(|queue| queue.waiting > 0) {
            let worker = queue.slot.and_then(|slot| self.ready_worker(slot));
            let somebody = worker.is_some() || queue.slot.is_none() && self.serves();
            if !somebody {
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
                    cpu: cpu_of(worker, load).collect(),
                },
            };
            let took = now - spell.since;
            let unchanged = spell.unchanged && spell.seen > SAMPLES / 2;
            if took >= timeout && (unchanged || self.used_no_cpu(&spell, load)) {
                stalls.push((queue.id, spell.clone()));
            }
            self.stalls.spells.insert(queue.id, spell);
        }
        self.note_stalls(&stalls);
        let waits = !self.stalls.spells.is_empty();
        self.stalls.next = waits.then(|| now + period(timeout));
    }

    fn used_no_cpu(&self, spell: &Spell, load: &Load) -> bool {
        let time = self.now - spell.since;
        let mut cpu = cpu_of(spell.worker, load);
        // One whose time is not known may have used any.
        let known = |worker: WorkerId| load.cpu.iter().any(|(id, _)| *id == worker);
        let all_known = match spell.worker {
            Some(worker) => known(worker),
            None => self.workers().filter(|(_, w)| w.is_ready()).all(|(_, w)| known(w.id)),
        };
        all_known
            && cpu.all(|(id, now)| {
                let before = spell.cpu.get(&id).copied().unwrap_or(0);
                now.saturating_sub(before) <= time.part(IDLE).0
            })
    }

    fn note_stalls(&mut self, stalls: &[(QueueId, Spell)]) {
        let now = self.now;
        for (queue, spell) in stalls {
            let (after, waiting) = (now - spell.since, spell.waiting);
            match spell.worker {
                Some(worker) => {
                    self.stalls.spells.remove(queue);
                    self.hangs(worker, Hang::Stalled { waiting, after });
                }
                None if self.stalls.stalled.is_none() => {
                    let since = spell.since;
                    self.stalls.stalled = Some(Stalled { queue: *queue, since, waiting });
                    self.report(Report::Stalled { waiting, after });
                }
                None => {}
            }
        }
        if let Some(Stalled { queue, since, .. }) = self.stalls.stalled
            && self.stalls.spells.get(&queue).is_none_or(|spell| spell.since > since)
        {
            self.stalls.stalled = None;
            self.report(Report::StallOver { after: now - since });
        }
    }

    fn ready_worker(&self, slot: SlotId) -> Option<WorkerId> {
        let slot = self.slots.get(slot.0 as usize)?;
        slot.active().find(|worker| worker.is_ready()).map(|worker| worker.id)
    }

    /// What is needed to know of stalls.
    pub(super) fn needs_of_stalls(&mut self) -> Needs {
        if self.stall_timeout().is_none() || !self.serves() {
            // Whoever is ready next has his time.
            let stalled = core::mem::take(&mut self.stalls).stalled;
            if let Some(Stalled { since, .. }) = stalled {
                self.report(Report::StallOver { after: self.now - since });
            }
            return Needs::default();
        }
        let stalls = &mut self.stalls;
        if stalls.next.is_some_and(|next| next <= self.now) {
            stalls.next = None;
            stalls.asked = true;
        }
        // Connections that wait are sampled, others are waited for.
        stalls.listens = !stalls.asked && stalls.next.is_none();
        Needs { sample: stalls.asked, knock: stalls.listens }
    }

    pub(super) fn stalls_deadline(&self) -> Option<Time> {
        self.stalls.next.filter(|_| self.stall_timeout().is_some())
    }

    /// Since when connections have been waiting that none of the workers that share a queue takes, and
    /// how many were when that was noticed.
    pub fn stalled(&self) -> Option<(Time, u32)> {
        self.stalls.stalled.map(|stalled| (stalled.since, stalled.waiting))
    }
}

/// CPU time of this worker, or of all.
fn cpu_of(worker: Option<WorkerId>, load: &Load) -> impl Iterator<Item = (WorkerId, u64)> {
    load.cpu.iter().copied().filter(move |(id, _)| worker.is_none_or(|own| own == *id))
}

fn period(timeout: Span) -> Span {
    timeout.part(SAMPLES).max(SHORTEST)
}
