//! What one worker may use: settings made into what the kernel is told, and whether it can be told.
//!
//! A worker that is not held to what its settings say would be worse than none, because that would not be noticed:
//! what cannot be set is an error, where the settings are accepted or when a worker is started.

use super::instance::Instance;
use super::settings::Spec;
use herder_config::{self, Memory, Problems, Resource};
use herder_core::{Cause, Size};
use herder_linux::cgroup::{Limit, Tree};
use herder_linux::limits::{self, OomScore, ResourceLimit};
use nix::sys::resource;
use std::io;

/// The period of `cpu.max` in microseconds, which is the kernel's default and systemd's.
const PERIOD: u64 = 100_000;

/// The limits of a generation's workers.
#[derive(Debug)]
pub struct Limits {
    /// Of the worker's cgroup.
    pub group: Vec<Limit>,
    /// Of its process.
    pub process: limits::ProcessLimits,
}

impl Limits {
    /// A share of memory is one of what the machine has now.
    pub fn of(limits: &herder_config::WorkerLimits) -> Limits {
        let resources = limits.resources.iter().map(|(&resource, limit)| {
            let (resource, name) = by_name(resource);
            ResourceLimit { resource, name, soft: limit.soft, hard: limit.hard }
        });
        Limits {
            group: of_group(limits),
            process: limits::ProcessLimits {
                nice: limits.nice,
                oom_score: limits.oom_score_adjust.map(OomScore::new),
                resources: resources.collect(),
            },
        }
    }
}

/// As Documentation/admin-guide/cgroup-v2.rst of the kernel wants it.
fn of_group(limits: &herder_config::WorkerLimits) -> Vec<Limit> {
    let machine = || {
        let info = nix::sys::sysinfo::sysinfo();
        info.map_or(u64::MAX, |info| info.ram_total())
    };
    let number = |number: u64| match number {
        u64::MAX => "max".to_owned(),
        number => number.to_string(),
    };
    let memory = |memory: Option<Memory>| {
        memory.map(|memory| {
            let Size(bytes) = memory.of(machine());
            number(bytes)
        })
    };
    let quota = |quota: herder_config::Percent| format!("{} {PERIOD}", quota.of(PERIOD));
    let all = [
        ("memory-high", "memory.high", memory(limits.memory_high)),
        ("memory-max", "memory.max", memory(limits.memory_max)),
        ("memory-swap-max", "memory.swap.max", memory(limits.memory_swap_max)),
        ("cpu-weight", "cpu.weight", limits.cpu_weight.map(|weight| weight.to_string())),
        ("cpu-quota", "cpu.max", limits.cpu_quota.map(quota)),
        ("tasks-max", "pids.max", limits.tasks_max.map(number)),
    ];
    let set =
        |(name, file, value)| Some(Limit { name, file, value: Option::<String>::clone(&value)? });
    all.into_iter().filter_map(set).collect()
}

/// getrlimit(2)'s, and the name in the settings.
fn by_name(resource: Resource) -> (resource::Resource, &'static str) {
    use resource::Resource as Kernel;
    match resource {
        Resource::As => (Kernel::RLIMIT_AS, "limits.as"),
        Resource::Core => (Kernel::RLIMIT_CORE, "limits.core"),
        Resource::Cpu => (Kernel::RLIMIT_CPU, "limits.cpu"),
        Resource::Data => (Kernel::RLIMIT_DATA, "limits.data"),
        Resource::Fsize => (Kernel::RLIMIT_FSIZE, "limits.fsize"),
        Resource::Locks => (Kernel::RLIMIT_LOCKS, "limits.locks"),
        Resource::Memlock => (Kernel::RLIMIT_MEMLOCK, "limits.memlock"),
        Resource::Msgqueue => (Kernel::RLIMIT_MSGQUEUE, "limits.msgqueue"),
        Resource::Nice => (Kernel::RLIMIT_NICE, "limits.nice"),
        Resource::Nofile => (Kernel::RLIMIT_NOFILE, "limits.nofile"),
        Resource::Nproc => (Kernel::RLIMIT_NPROC, "limits.nproc"),
        Resource::Rss => (Kernel::RLIMIT_RSS, "limits.rss"),
        Resource::Rtprio => (Kernel::RLIMIT_RTPRIO, "limits.rtprio"),
        Resource::Rttime => (Kernel::RLIMIT_RTTIME, "limits.rttime"),
        Resource::Sigpending => (Kernel::RLIMIT_SIGPENDING, "limits.sigpending"),
        Resource::Stack => (Kernel::RLIMIT_STACK, "limits.stack"),
    }
}

/// Whether workers have cgroups with all the controllers that the settings want something of.
///
/// # Errors
///
/// Every setting that has none, a line each, with what to change.
pub fn can_be_set(spec: &Spec, tree: Option<&Tree>, instance: &Instance) -> Result<(), String> {
    let mut problems = Problems::default();
    for limit in &spec.limits.group {
        let (name, controller) = (limit.name, limit.controller());
        let (why, delegate) = match tree.map(Tree::controllers) {
            Some(there) if there.contains(&controller) => continue,
            Some([]) => ("no controllers were handed over".to_owned(), "cpu memory pids io"),
            Some(there) => {
                let there = there.join(", ");
                (
                    format!("the controller {controller} is not among those handed over ({there})"),
                    controller,
                )
            }
            None => ("they get none here".to_owned(), "cpu memory pids io"),
        };
        let name_of_instance = instance.name();
        let advice = match instance.is_under_systemd() {
            true => format!(
                "add Delegate={delegate} to [Service], without ProtectControlGroups= \
                 (systemctl edit herder@{name_of_instance}.service), and restart; if both is so, the machine has \
                 them in version 1 of cgroups: boot it with systemd.unified_cgroup_hierarchy=1, or remove the key"
            ),
            false => "that takes a service of systemd's with Delegate=; elsewhere remove the key"
                .to_owned(),
        };
        let message = format!("`{name}` is a limit of the workers' cgroups, and {why}");
        problems.advise(spec.settings.origins.get(name), name, message, advice);
    }
    problems.none_or(()).map_err(|problems| problems.to_string())
}

/// What has to change after the kernel has refused a limit of a cgroup.
pub fn cause(why: &io::Error) -> Cause {
    match why.raw_os_error() {
        Some(libc::EINVAL | libc::ERANGE | libc::ENOENT | libc::EACCES | libc::EPERM) => {
            Cause::Settings
        }
        Some(_) | None => Cause::System,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use herder_config::{Machine, Overrides};

    const MACHINE: Machine = Machine { cpus: 1, web_concurrency: None };

    #[test]
    fn settings_become_what_the_kernel_takes() {
        let text = "memory-high = \"1G\"\nmemory-max = \"infinity\"\nmemory-swap-max = 0\ncpu-weight = 50\n\
                    cpu-quota = \"12.5%\"\ntasks-max = 9\nnice = -5\noom-score-adjust = 100\n\
                    limits.nofile = \"1024:4096\"\nlimits.core = \"infinity\"\n";
        let settings =
            herder_config::load(Some(("x", text)), &Overrides::default(), &MACHINE).unwrap();
        let limits = Limits::of(&settings.limits);
        let written: Vec<_> =
            limits.group.iter().map(|limit| (limit.file, limit.value.as_str())).collect();
        assert_eq!(
            written,
            [
                ("memory.high", "1073741824"),
                ("memory.max", "max"),
                ("memory.swap.max", "0"),
                ("cpu.weight", "50"),
                ("cpu.max", "12500 100000"),
                ("pids.max", "9"),
            ]
        );
        assert_eq!(limits.group[4].controller(), "cpu");
        let process = limits.process;
        assert_eq!((process.nice, process.oom_score), (Some(-5), Some(OomScore::new(100))));
        let resources: Vec<_> =
            process.resources.iter().map(|limit| (limit.name, limit.soft, limit.hard)).collect();
        assert_eq!(resources, [("limits.core", u64::MAX, u64::MAX), ("limits.nofile", 1024, 4096)]);
        let none = Limits::of(&herder_config::WorkerLimits::default());
        assert!(none.group.is_empty() && none.process == limits::ProcessLimits::default());
    }

    #[test]
    fn a_share_is_of_the_machine() {
        let half = herder_config::WorkerLimits {
            memory_max: Some(Memory::Share(herder_config::Percent(5_000))),
            ..herder_config::WorkerLimits::default()
        };
        let limit = &Limits::of(&half).group[0];
        let total = nix::sys::sysinfo::sysinfo().unwrap().ram_total();
        assert_eq!(limit.value, (total / 2).to_string());
    }
}
