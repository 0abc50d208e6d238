//! What clients are shown, put together from the core, the processes and the kernel: the only place where the core's types
//! become those of the control socket.
//!
//! Figures are read when a client asks, and at no other time. Nothing a worker was started with is in it: every user who can
//! connect may ask.

use super::calendar::Calendar;
use super::children::Children;
use super::instance::Instance;
use super::sampler::Sampler;
use super::settings::Configuration;
use super::sockets::{self, Sockets};
use super::systemd::Systemd;
use crate::log::{Effect, Log};
use herder_config::{Place, effective};
use herder_core::{Condition, Herd, QueueId, WorkerView};
use herder_linux::cgroup::Tree;
use herder_linux::sockets::Socket;
use herder_linux::{poll, queue};
use herder_wire::status::{self, InstanceDescription, Setting};
use nix::unistd::Uid;
use std::path::Path;

/// Everything that can be shown.
#[derive(Debug)]
pub struct Snapshot<'a> {
    pub instance: &'a Instance,
    pub runtime_directory: &'a Path,
    pub herd: &'a Herd,
    pub settings: &'a Configuration,
    pub children: &'a Children,
    pub systemd: &'a Systemd,
    pub log: &'a Log,
    /// These read what is shown when they are asked.
    pub sockets: &'a mut Sockets,
    pub sampler: &'a mut Sampler,
    pub calendar: &'a mut Calendar,
}

impl Snapshot<'_> {
    /// How the instance is doing, as of now.
    pub fn status(&mut self) -> status::Status {
        self.sampler.measure(self.children);
        let (herd, settings, children) = (self.herd, self.settings, self.children);
        let has_to_block = |socket| settings.needs_blocking(socket, children.generations(), herd);
        let effects = self.sockets.look(&has_to_block, self.instance);
        self.calendar.compare();
        let (wanted, ready) = herd.strength();
        let (min, max) = herd.bounds();
        let workers: Vec<status::Worker> = herd.view().map(|worker| self.worker(worker)).collect();
        let count = |states: &[status::WorkerState]| {
            let count = workers.iter().filter(|worker| states.contains(&worker.state)).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        use status::WorkerState::{Draining, Retiring, Starting};
        status::Status {
            name: self.instance.name().to_owned(),
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
            set: settings.in_service(herd).map(|spec| spec.changed()).unwrap_or_default(),
            reloads: herd.past_reloads().map(|past| self.past_reload(past)).collect(),
            counters: self.counters(),
            usage: self.sampler.herder(),
            workers,
        }
    }

    /// What the instance is, and by which settings it runs.
    pub fn describe(&mut self) -> InstanceDescription {
        self.calendar.compare();
        let settings = self.settings.in_service(self.herd).map(|spec| effective(&spec.settings));
        // Variables may hold secrets, and every user who can connect may ask.
        let shown =
            settings.into_iter().flatten().filter(|line| !line.key.starts_with("environment."));
        let setting = |line: herder_config::Line<'_>| {
            let origin = line.origin.map_or_else(|| "default".to_owned(), Place::to_string);
            Some(Setting { key: line.key, value: line.value?, origin })
        };
        let tree = self.children.tree();
        let controllers = tree.map(Tree::controllers).unwrap_or_default();
        InstanceDescription {
            name: self.instance.name().to_owned(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at_usec: self.calendar.date(self.herd.started()),
            file: self.settings.file().map(|file| file.display().to_string()),
            uid: Uid::effective().as_raw(),
            runtime_directory: self.runtime_directory.display().to_string(),
            cgroup: tree.map(Tree::path_in_mount),
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            log_level: self.log.level(),
            settings: shown.filter_map(setting).collect(),
        }
    }

    /// The sockets that workers are given, and how full they are.
    fn queues(&self, effects: &[Vec<Effect>]) -> Vec<status::Socket> {
        let spec = self.settings.in_service(self.herd);
        let given = spec.map(|spec| spec.launch.sockets.as_slice()).unwrap_or_default();
        let all = self.sockets.all();
        let sockets: Vec<&Socket> = given.iter().map(|&index| &all[index]).collect();
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
                closed: self.sockets.is_closed(index),
                changes: effects[index].iter().map(change).collect(),
            });
        seen.collect()
    }

    /// The slots that serve a socket, where not all do.
    fn slots_of(&self, index: usize) -> Option<Vec<u32>> {
        let queue = QueueId(u32::try_from(index).ok()?);
        sockets::slots_of(queue, self.settings.in_service(self.herd), self.herd)
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

    /// The core's counters and the daemon's own. Both patterns are exhaustive: a counter that is missing
    /// here does not compile.
    fn counters(&self) -> status::Counters {
        let counters = self.herd.counters();
        let failures = counters.failures();
        let herder_core::Counters {
            respawns,
            crashes,
            failed_to_start,
            died_before_ready,
            timed_out,
            died_young,
            hung,
            stalled,
            unfit,
            retired,
            recycled,
            recycled_for_age,
            recycled_for_memory,
            oom_kills,
            scale_ups,
            scale_downs,
            scale_limits,
            reloads_done,
            reloads_failed,
            reloads_refused,
            reloads_superseded,
            degraded,
        } = counters;
        status::Counters {
            respawns,
            crashes,
            failures,
            failed_to_start,
            died_before_ready,
            timed_out,
            died_young,
            hung,
            stalled,
            unfit,
            retired,
            recycled,
            recycled_for_age,
            recycled_for_memory,
            oom_kills,
            scale_ups,
            scale_downs,
            scale_limits,
            reloads_done,
            reloads_failed,
            reloads_refused,
            reloads_superseded,
            degraded_usec: degraded.0,
            notify_dropped: self.children.dropped(),
            notify_lost: self.systemd.lost(),
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
            usage: self.sampler.worker(worker.id),
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
