//! Simulated processes: how they answer signals, looks and probes, and what herder is told of it.

use super::*;

#[derive(Debug)]
pub(super) struct Process {
    pub behaviour: Behaviour,
    /// When it was started.
    pub born: Time,
    /// The interval at which it sends WATCHDOG=1, if it has a watchdog.
    pub pings: Option<Span>,
    /// The worker's process has ended; its children may still run.
    pub ended: bool,
    /// How often it was sent SIGKILL.
    pub killed: u32,
}

impl Process {
    pub(super) fn hangs(&self, now: Time) -> bool {
        self.behaviour.hangs.is_some_and(|after| self.born + after <= now)
    }
}

/// How long the start of a worker waits, if it does.
const QUEUED: Span = Span::millis(20);

impl World {
    pub(super) fn spawn(&mut self, worker: WorkerId, generation: Generation) {
        let behaviour = Behaviour::of(self.qualities[&generation], self.calm, &mut self.dice);
        if let Err(settings) = behaviour.exec {
            let cause = if settings { Cause::Settings } else { Cause::System };
            let failure = SpawnFailure { cause, text: "cannot execute /srv/app".to_owned() };
            return self.later(Span::ZERO, Event::SpawnFailed { worker, failure });
        }
        let pings = self.policies[&generation].watchdog.map(|interval| interval.part(2));
        // Where many are to be started, some wait until the shell has time for them.
        let waits = if !self.calm && worker.0 % 8 == 0 { QUEUED } else { Span::ZERO };
        let born = self.now + waits;
        let process = Process { behaviour, born, pings, ended: false, killed: 0 };
        self.processes.insert(worker, process);
        self.later(waits, Event::Spawned { worker });
        if behaviour.asks_for_time {
            self.later(waits + Span::millis(1), Event::Extend { worker, by: Span::secs(90) });
        }
        if let Some(after) = behaviour.ready_after {
            self.later(waits + after, Event::Ready { worker });
        }
        if let Some(interval) = pings {
            self.later(waits + interval, Event::Alive { worker });
        }
        if let Some((after, exit)) = behaviour.dies {
            self.later(waits + after, Event::Exited { worker, exit });
        }
        if let Some(after) = behaviour.retires {
            let after = waits + after;
            self.later(after, Event::Stopping { worker });
            self.later(after + Span::millis(300), Event::Exited { worker, exit: Exit::Code(0) });
        }
    }

    /// herder ends: the shell starts no worker any more, and says so of those that waited.
    pub(super) fn withdraw_starts(&mut self) {
        let waits = |process: &Process| process.born > self.now;
        let waiting = self.processes.iter().filter(|(_, process)| waits(process));
        let waiting: Vec<WorkerId> = waiting.map(|(worker, _)| *worker).collect();
        for worker in waiting {
            self.processes.remove(&worker);
            self.future.retain(|_, next| !matches!(
                next,
                Next::Core(Event::Spawned { worker: id } | Event::Alive { worker: id }) if *id == worker
            ));
            let failure = SpawnFailure { cause: Cause::Withdrawn, text: "herder ends".to_owned() };
            self.later(Span::ZERO, Event::SpawnFailed { worker, failure });
        }
    }

    /// A look takes some time, and some looks cannot see anything.
    pub(super) fn look(&mut self, worker: WorkerId) {
        let process = &self.processes[&worker];
        let waits =
            process.behaviour.ready_after.is_some_and(|after| process.born + after <= self.now);
        let sight = match self.dice.below(20) {
            0 if !self.calm => Sight::Unreadable("it hides".to_owned()),
            1 if !self.calm => Sight::Astray("it listens elsewhere".to_owned()),
            _ if waits => Sight::Waiting,
            _ => Sight::NotYet("it does not wait".to_owned()),
        };
        let takes = Span::millis(self.dice.below(10));
        self.later(takes, Event::Seen { worker, sight });
    }

    /// The memory of each worker grows at a rate of its own, and some workers exceed the limit from the start.
    pub(super) fn weigh(&mut self, worker: WorkerId) {
        let process = &self.processes[&worker];
        let age = (self.now - process.born).0 / 1_000_000;
        let bytes = process.behaviour.weight + age * process.behaviour.leak;
        let weight = match self.dice.below(8) {
            0 => Weight::Same,
            1 if !self.calm => Weight::Unknown,
            _ => Weight::Is(Size(bytes)),
        };
        let takes = Span::millis(self.dice.below(10));
        self.later(takes, Event::Weighed { worker, weight });
    }

    /// All workers share one socket, where connections come and go unless every worker hangs. Another socket is that of
    /// slot 1, where connections wait as long as its worker hangs. A worker uses CPU time until it hangs.
    pub(super) fn sample(&mut self) -> Load {
        let load = self.work.sample(self.now, &mut self.dice, self.calm);
        let Some(herd) = &self.herd else { return load };
        let view: Vec<_> = herd.view().filter(|w| w.state == WorkerState::Ready).collect();
        let own = view.iter().find(|worker| worker.slot == SlotId(1));
        let hangs = |id: &WorkerId| self.processes[id].hangs(self.now);
        let waits = own.is_some_and(|worker| hangs(&worker.id));
        let used = |id: WorkerId| {
            let process = &self.processes[&id];
            let end = process.behaviour.hangs.map(|after| process.born + after);
            (end.unwrap_or(self.now).min(self.now) - process.born).0
        };
        let cpu = view.iter().map(|worker| (worker.id, used(worker.id))).collect();
        // A worker that serves takes some, so sooner or later there are fewer, unless all of them hang.
        let none_accepts = !view.is_empty() && view.iter().all(|worker| hangs(&worker.id));
        let shared = if none_accepts { 3 } else { self.dice.below(4) as u32 };
        let queues = [(0, None, shared), (1, Some(SlotId(1)), u32::from(waits) * 3)];
        let queues =
            queues.map(|(id, slot, waiting)| Queue { id: QueueId(id), slot, waiting, full: false });
        Load { queues: queues.into(), cpu, ..load }
    }

    /// A worker that hangs does not answer its probe. A probe of the instance succeeds or fails at random.
    pub(super) fn probe(&mut self, worker: Option<WorkerId>) {
        if let Some(id) = worker {
            assert!(self.probed.insert(id), "{id} is probed twice at a time");
        }
        let hangs = match worker {
            Some(worker) => self.processes[&worker].hangs(self.now),
            None => !self.calm && self.dice.below(4) == 0,
        };
        let (takes, outcome) = match hangs {
            true => (Span::secs(2), Err("no answer within 2s".to_owned())),
            false => (Span::millis(self.dice.below(2_000)), Ok(())),
        };
        self.later(takes, Event::Probed { worker, outcome });
    }

    /// Returns whether the worker sends WATCHDOG=1 now; if it does, the next one is planned.
    pub(super) fn ping(&mut self, worker: WorkerId) -> bool {
        let Some(process) = self.processes.get(&worker) else { return true };
        let Some(interval) = process.pings.filter(|_| !process.ended && !process.hangs(self.now))
        else {
            return false;
        };
        self.later(interval, Event::Alive { worker });
        true
    }

    /// Reports the messages that the worker has sent and that have not been reported yet.
    pub(super) fn listen(&mut self, worker: WorkerId) {
        let said =
            |next: &Next| matches!(next, Next::Core(Event::Alive { worker: w }) if *w == worker);
        let mut unread = self.future.range(..(self.now + Span(1), 0)).filter(|(_, e)| said(e));
        if let Some(at) = unread.next().map(|(at, _)| *at) {
            let ping = self.future.remove(&at).expect("it was there");
            self.plan(Span::ZERO, ping);
        }
        self.later(Span::ZERO, Event::Listened { worker });
    }

    /// No healthy worker is ever aborted.
    pub(super) fn abort(&mut self, worker: WorkerId) {
        let process = &self.processes[&worker];
        let rightly = process.hangs(self.now) || self.stuck.contains(&worker);
        assert!(rightly, "{worker} was well: {process:?}");
        if let (Some(after), false) = (process.behaviour.aborts, process.ended) {
            let exit = Exit::Signal { number: 6, core: true };
            self.later(after, Event::Exited { worker, exit });
        }
    }

    pub(super) fn drain(&mut self, worker: WorkerId) {
        let at_work = |process: &&Process| !process.ended && !process.hangs(self.now);
        let Some(process) = self.processes.get(&worker).filter(at_work) else {
            return;
        };
        if let Some(after) = process.behaviour.obeys {
            self.later(after, Event::Exited { worker, exit: Exit::Code(0) });
        }
    }

    pub(super) fn kill(&mut self, worker: WorkerId) {
        let Some(process) = self.processes.get_mut(&worker) else { return };
        process.killed += 1;
        if process.ended {
            let gone = match process.behaviour.leaves {
                None | Some(Leftover::Obeys) => true,
                Some(Leftover::Clings) => process.killed > 1,
                Some(Leftover::Stays) => false,
            };
            if gone {
                self.later(Span::millis(1), Event::Gone { worker });
            }
            return;
        }
        if !process.behaviour.unkillable {
            let exit = Exit::Signal { number: 9, core: false };
            self.later(Span::millis(1), Event::Exited { worker, exit });
        }
    }

    pub(super) fn sweep(&mut self, worker: WorkerId, kill: bool) {
        let Some(process) = self.processes.get_mut(&worker) else { return };
        process.ended = true;
        match process.behaviour.leaves {
            None => self.later(Span::ZERO, Event::Gone { worker }),
            Some(Leftover::Obeys) => self.later(Span::millis(20), Event::Gone { worker }),
            // These do not end by SIGTERM.
            Some(Leftover::Clings | Leftover::Stays) if !kill => {}
            Some(Leftover::Clings | Leftover::Stays) => process.killed += 1,
        }
    }
}
