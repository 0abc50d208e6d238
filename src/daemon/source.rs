//! Where settings come from, and what becomes of them: read, checked, and bound to the sockets.

use crate::config::{self, Machine, Overrides, Queues, Settings};
use crate::launch::{self, Launch, Offered, Surroundings};
use crate::linux::queue;
use crate::linux::sight;
use crate::linux::sockets::{Kind, Socket};
use crate::linux::steer;
use std::path::PathBuf;

/// One generation: its settings, and what its workers are started with.
#[derive(Debug)]
pub struct Spec {
    pub settings: Settings,
    pub launch: Launch,
}

/// A settings file, or none, and the command line that goes with it.
#[derive(Debug)]
pub struct Source {
    pub file: Option<PathBuf>,
    pub overrides: Overrides,
    pub surroundings: Surroundings,
}

impl Source {
    /// Reads and checks the settings as they are now.
    ///
    /// # Errors
    ///
    /// Every problem there is, a line each.
    pub fn settings(&self) -> Result<Settings, String> {
        let text = match &self.file {
            None => None,
            Some(path) => {
                let text = launch::read_small_file(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                Some((path.display().to_string(), text))
            }
        };
        let file = text.as_ref().map(|(path, text)| (path.as_str(), text.as_str()));
        config::load(file, &self.overrides, &machine()).map_err(|problems| problems.to_string())
    }

    /// Pins down what workers of these settings are started with.
    ///
    /// # Errors
    ///
    /// Every problem there is, a line each.
    pub fn bind(&self, mut settings: Settings, sockets: &[Socket]) -> Result<Spec, String> {
        let queues = queue::of(&sockets.iter().collect::<Vec<_>>());
        let groups = match settings.queues {
            Queues::Shared => Vec::new(),
            Queues::PerWorker => steer::groups(sockets),
        };
        let group = |index: usize| groups.iter().position(|group| group.members.contains(&index));
        let offered: Vec<Offered<'_>> = sockets
            .iter()
            .zip(queues)
            .enumerate()
            .map(|(index, (socket, queue))| Offered {
                name: &socket.name,
                address: socket.address.as_ref(),
                backlog: queue.limit,
                can_be_seen: sight::can_be_seen(socket.kind),
                group: group(index),
                datagrams: socket.kind == Kind::Datagram,
            })
            .collect();
        let launch = Launch::new(&settings, &offered, &self.surroundings)
            .map_err(|problems| problems.to_string())?;
        settings.policy.has_socket = launch.can_be_seen;
        settings.policy.queues.clone_from(&launch.queues);
        Ok(Spec { settings, launch })
    }
}

/// The machine as it is now: a quota may have changed since the last reload.
pub fn machine() -> Machine {
    // Counts what sched_getaffinity(2) and the cgroup's cpu.max leave.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Machine {
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        web_concurrency: std::env::var("WEB_CONCURRENCY").ok(),
    }
}
