//! Where settings come from, and what becomes of them: read, checked, and bound to the sockets.

use crate::daemon::limits::Limits;
use crate::launch::{self, Launch, Offered, Surroundings};
use herder_config::{self, Machine, Overrides, Queues, Settings};
use herder_linux::queue;
use herder_linux::sight;
use herder_linux::sockets::{Kind, Socket};
use herder_linux::steer;
use herder_wire::status::Changed;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// One generation: its settings, and what its workers are started with.
#[derive(Debug)]
pub struct Spec {
    pub settings: Settings,
    pub launch: Launch,
    pub limits: Limits,
    /// What was accepted, where settings have been changed since, at run time.
    pub accepted: Option<Rc<Spec>>,
}

impl Spec {
    /// With assignments of `herder set` over it.
    ///
    /// # Errors
    ///
    /// Every problem there is, a line each.
    pub fn adjust(self: &Rc<Spec>, assignments: &[String]) -> Result<Spec, String> {
        let settings = herder_config::adjust(&self.settings, assignments, &machine());
        let settings = settings.map_err(|problems| problems.to_string())?;
        Ok(Spec {
            limits: Limits::of(&settings.limits),
            settings,
            launch: self.launch.clone(),
            accepted: Some(Rc::clone(self.accepted.as_ref().unwrap_or(self))),
        })
    }

    /// What is not as it was accepted.
    pub fn changed(&self) -> Vec<Changed> {
        self.accepted.as_ref().map(|accepted| self.differs_from(accepted)).unwrap_or_default()
    }

    /// The settings that were set at run time and differ from `before`. A default that depends on them, as `idle-timeout`
    /// does on the bounds of `workers`, is not reported as a change.
    pub fn differs_from(&self, before: &Spec) -> Vec<Changed> {
        let lines = herder_config::effective(&self.settings).into_iter();
        let pairs = lines.zip(herder_config::effective(&before.settings));
        let is_set = |line: &herder_config::Line<'_>| {
            matches!(line.origin, Some(herder_config::Place::RunTime(_)))
        };
        let changed = pairs.filter(|(is, was)| is_set(is) && is.value != was.value);
        changed
            .map(|(is, was)| Changed { key: is.key, value: is.value, before: was.value })
            .collect()
    }
}

/// A settings file, or none, and the command line that goes with it.
#[derive(Debug)]
pub struct Source {
    file: Option<PathBuf>,
    overrides: Overrides,
    surroundings: Surroundings,
    /// How many connections may wait at each socket, as it was when herder was given them: if a worker changes that, the
    /// next settings still tell workers the right number.
    backlogs: OnceCell<Vec<Option<u64>>>,
    /// Sockets were handed over, so systemd starts herder again when a client connects.
    systemd_listens: bool,
}

impl Source {
    pub fn new(
        file: Option<PathBuf>,
        overrides: Overrides,
        surroundings: Surroundings,
        systemd_listens: bool,
    ) -> Source {
        Source { file, overrides, surroundings, backlogs: OnceCell::new(), systemd_listens }
    }

    /// The settings file, if there is one.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub fn systemd_listens(&self) -> bool {
        self.systemd_listens
    }

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
        herder_config::load(file, &self.overrides, &machine())
            .map_err(|problems| problems.to_string())
    }

    /// Pins down what workers of these settings are started with.
    ///
    /// # Errors
    ///
    /// Every problem there is, a line each.
    pub fn bind(&self, mut settings: Settings, sockets: &[Socket]) -> Result<Spec, String> {
        let backlogs = self.backlogs.get_or_init(|| {
            let queues = queue::of(&sockets.iter().collect::<Vec<_>>());
            queues.iter().map(|queue| queue.limit).collect()
        });
        let groups = match settings.queues {
            Queues::Shared => Vec::new(),
            Queues::PerWorker => steer::groups(sockets),
        };
        let group = |index: usize| groups.iter().position(|group| group.members.contains(&index));
        let offered: Vec<Offered<'_>> = sockets
            .iter()
            .zip(backlogs)
            .enumerate()
            .map(|(index, (socket, backlog))| Offered {
                name: &socket.name,
                address: socket.address.as_ref(),
                backlog: *backlog,
                can_be_seen: sight::can_be_seen(socket.kind),
                group: group(index),
                datagrams: socket.kind == Kind::Datagram,
            })
            .collect();
        self.starts_again(&settings)?;
        let launch = Launch::new(&settings, &offered, &self.surroundings)
            .map_err(|problems| problems.to_string())?;
        settings.policy.has_socket = launch.can_be_seen;
        settings.policy.queues.clone_from(&launch.queues);
        let limits = Limits::of(&settings.limits);
        Ok(Spec { settings, launch, limits, accepted: None })
    }

    /// An instance that ends when there is nothing to do has to be started again by the next connection.
    ///
    /// # Errors
    ///
    /// Nothing would start it.
    pub fn starts_again(&self, settings: &Settings) -> Result<(), String> {
        let leaves =
            settings.policy.scaling.is_some_and(|scaling| scaling.exit_idle_time.is_some());
        if !leaves || self.systemd_listens {
            return Ok(());
        }
        let mut problems = herder_config::Problems::default();
        problems.advise(
            settings.origins.get("exit-idle-time"),
            "exit-idle-time",
            "`exit-idle-time` is set, and nothing would start herder again: no socket was handed over",
            "start it by a .socket unit, or remove `exit-idle-time`",
        );
        Err(problems.to_string())
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
