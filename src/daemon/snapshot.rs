//! The snapshot: what whoever looks is told, put together from the core, the processes and the kernel.
//!
//! Figures are read when somebody looks, and at no other time. Nothing a worker was started with is
//! in it: whoever can connect may look.

use super::Daemon;
use crate::log::Effect;
use herder_core::{Condition, QueueId, WorkerView};
use herder_linux::sockets::Socket;
use herder_linux::{poll, queue};
use herder_wire::status;

impl Daemon {
    /// How the instance is doing, as of now.
    pub(super) fn status(&mut self) -> status::Status {
        self.look();
        let effects = self.look_at_sockets(None);
        self.calendar.compare();
        let herd = &self.herd;
        let (wanted, ready) = herd.strength();
        let (min, max) = herd.bounds();
        let workers: Vec<status::Worker> = herd.view().map(|worker| self.worker(worker)).collect();
        let count = |states: &[status::WorkerState]| {
            let count = workers.iter().filter(|worker| states.contains(&worker.state)).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        use status::WorkerState::{Draining, Retiring, Starting};
        status::Status {
            name: self.name.clone(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_usec: self.calendar.date(herd.started()),
            generation: herd.generation().0,
            state: match herd.condition() {
                Condition::Starting => status::State::Starting,
                Condition::Serving => status::State::Serving,
                Condition::Degraded => status::State::Degraded,
                Condition::Reloading => status::State::Reloading,
                Condition::Stopping => status::State::Stopping,
            },
            status: herd.status_line(),
            wanted,
            min,
            max,
            ready,
            starting: count(&[Starting]),
            draining: count(&[Draining, Retiring]),
            sockets: self.queues(&effects),
            stalled_since_usec: herd.stalled().map(|(since, _)| self.calendar.date(since)),
            imbalance: status::imbalance(&workers),
            reload: herd.progress().map(|progress| self.progress(progress)),
            set: self.spec_in_service().map(|spec| spec.changed()).unwrap_or_default(),
            reloads: herd.past_reloads().map(|past| self.past_reload(past)).collect(),
            counters: self.counters(),
            usage: self.figures.herder(),
            workers,
        }
    }

    /// Reads what everything costs.
    fn look(&mut self) {
        self.figures.look(self.children.subjects());
    }

    /// The sockets that workers are given, and how full they are.
    fn queues(&self, effects: &[Vec<Effect>]) -> Vec<status::Socket> {
        let spec = self.generations.get(self.herd.generation());
        let given = spec.map(|spec| spec.launch.sockets.as_slice()).unwrap_or_default();
        let sockets: Vec<&Socket> = given.iter().map(|&index| &self.sockets[index]).collect();
        let queues = queue::of(&sockets);
        let change = |effect: &Effect| status::SocketChange {
            kind: effect.kind,
            harmful: effect.is_harmful(),
            text: effect.text.clone(),
        };
        let seen =
            sockets.iter().zip(queues).zip(given).map(|((socket, queue), &index)| status::Socket {
                name: socket.name.clone(),
                address: socket.address.as_ref().map(ToString::to_string),
                kind: queue::kind(socket).to_owned(),
                waiting: queue.waiting,
                limit: queue.limit,
                dropped: queue.dropped,
                slots: self.slots_of(index),
                closed: self.queues.is_closed(index),
                changes: effects[index].iter().map(change).collect(),
            });
        seen.collect()
    }

    /// The slots that serve a socket, where not all do.
    pub(super) fn slots_of(&self, index: usize) -> Option<Vec<u32>> {
        let queue = QueueId(u32::try_from(index).ok()?);
        let mut groups = self.spec_in_service()?.launch.queues.iter();
        groups
            .any(|group| group.contains(&queue))
            .then(|| self.herd.slots_of(queue).map(|slot| slot.0).collect())
    }

    fn progress(&self, progress: herder_core::Progress) -> status::Progress {
        status::Progress {
            generation: progress.generation.0,
            phase: match progress.phase {
                herder_core::ReloadPhase::Checking => status::Phase::Checking,
                herder_core::ReloadPhase::Canary => status::Phase::Canary,
                herder_core::ReloadPhase::Rolling => status::Phase::Rolling,
                herder_core::ReloadPhase::RollingBack => status::Phase::RollingBack,
            },
            replaced: progress.replaced,
            wanted: progress.wanted,
            started_at_usec: self.calendar.date(progress.began),
        }
    }

    fn past_reload(&self, past: &herder_core::PastReload) -> status::PastReload {
        status::PastReload {
            generation: past.generation.map(|generation| generation.0),
            at_usec: self.calendar.date(past.at),
            took_usec: past.took.map(|took| took.0),
            verdict: match past.outcome {
                herder_core::Outcome::Done => status::Verdict::Done,
                herder_core::Outcome::Failed => status::Verdict::Failed,
                herder_core::Outcome::Refused => status::Verdict::Refused,
                herder_core::Outcome::Superseded => status::Verdict::Superseded,
                herder_core::Outcome::Stopped => status::Verdict::Stopped,
            },
            reason: past.reason.clone(),
        }
    }

    fn counters(&self) -> status::Counters {
        let counters = self.herd.counters();
        status::Counters {
            respawns: counters.respawns,
            crashes: counters.crashes,
            failures: counters.failures(),
            failed_to_start: counters.failed_to_start,
            died_before_ready: counters.died_before_ready,
            timed_out: counters.timed_out,
            died_young: counters.died_young,
            hung: counters.hung,
            stalled: counters.stalled,
            unfit: counters.unfit,
            retired: counters.retired,
            recycled: counters.recycled,
            recycled_for_age: counters.recycled_for_age,
            recycled_for_memory: counters.recycled_for_memory,
            scale_ups: counters.scale_ups,
            scale_downs: counters.scale_downs,
            scale_limits: counters.scale_limits,
            oom_kills: counters.oom_kills,
            reloads_done: counters.reloads_done,
            reloads_failed: counters.reloads_failed,
            reloads_refused: counters.reloads_refused,
            reloads_superseded: counters.reloads_superseded,
            degraded_usec: counters.degraded.0,
            notify_dropped: self.children.dropped,
            notify_lost: self.systemd.lost,
            log_lost: self.log.lost(),
        }
    }

    fn worker(&self, worker: WorkerView) -> status::Worker {
        use herder_core::{Evidence, WorkerState};
        status::Worker {
            id: worker.id.0,
            slot: worker.slot.0,
            pid: self.children.pid(worker.id),
            state: match worker.state {
                WorkerState::Starting => status::WorkerState::Starting,
                WorkerState::Ready => status::WorkerState::Ready,
                WorkerState::Retiring => status::WorkerState::Retiring,
                WorkerState::Draining | WorkerState::Killed => status::WorkerState::Draining,
                WorkerState::Swept => status::WorkerState::Ended,
            },
            generation: worker.generation.0,
            evidence: worker.evidence.map(|evidence| match evidence {
                Evidence::Notified => status::Evidence::Notified,
                Evidence::Accepting => status::Evidence::Accepting,
                Evidence::Executed => status::Evidence::Executed,
                Evidence::Assumed => status::Evidence::Assumed,
            }),
            diagnosis: worker.diagnosis,
            age_usec: (herder_core::Time(poll::now()) - worker.born).0,
            respawns_of_slot: worker.respawns,
            last_exit: worker.last.as_ref().map(|last| self.last_exit(last)),
            usage: self.figures.worker(worker.id),
            oom_kills: self.children.oom_kills(worker.id),
            cgroup: self.children.cgroup(worker.id),
            status: self.children.status(worker.id),
        }
    }

    fn last_exit(&self, last: &herder_core::PastLife) -> status::LastExit {
        use herder_core::{Ending, Exit};
        let (cause, exit_status, signal) = match last.ending {
            Ending::NotStarted(_) => (status::ExitCause::NotStarted, None, None),
            Ending::TimedOut { .. } => (status::ExitCause::TimedOut, None, None),
            Ending::Hung(_) => (status::ExitCause::Hung, None, None),
            Ending::Exited { exit: Exit::Code(code), .. } => {
                (status::ExitCause::Exited, Some(code), None)
            }
            Ending::Exited { exit: Exit::Signal { number, core }, .. } => {
                let cause = match core {
                    true => status::ExitCause::Dumped,
                    false => status::ExitCause::Killed,
                };
                (cause, None, Some(herder_core::signal_name(number)))
            }
            Ending::Exited { exit: Exit::OutOfMemory, .. } => {
                (status::ExitCause::OutOfMemory, None, Some("SIGKILL".to_owned()))
            }
        };
        status::LastExit {
            text: last.ending.to_string(),
            cause,
            exit_status,
            signal,
            at_usec: self.calendar.date(last.at),
            lived_usec: last.lived.0,
            was_ready: last.was_ready,
        }
    }
}
