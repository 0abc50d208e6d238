//! When serving workers are replaced, and the limits of a worker.

use super::super::in_toml;
use super::super::key::{Applies, Key, NO_DEFAULT, SPAN};
use super::hang::limit;
use herder_core::Size;
use herder_wire::units::exact_size;

const MEMORY: &str = "a size, or a share of the machine's memory such as \"10%\"";

/// `"infinity"`
const NO_LIMIT: Size = Size(u64::MAX);

pub const KEYS: &[Key] = &[
    Key {
        name: "max-age",
        kind: SPAN,
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "How long a worker may serve before it is replaced by a new one; each has up to a tenth less. \
               0 is no limit.",
        example: "\"6h\"",
        read: |draft, reader| limit(reader, &mut draft.settings.policy.max_age),
        show: |settings| settings.policy.max_age.and_then(in_toml::span),
    },
    Key {
        name: "max-memory",
        kind: "a size",
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "How much memory a worker may come to use before it is replaced by a new one; each has up to a tenth less.",
        example: "\"300M\"",
        read: |draft, reader| {
            if let Some(size) = reader.size() {
                draft.settings.policy.max_memory = Some(size).filter(|&size| size != NO_LIMIT);
            }
        },
        show: |settings| settings.policy.max_memory.map(|size| in_toml::quote(exact_size(size.0))),
    },
    Key {
        name: "memory-high",
        kind: MEMORY,
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "Beyond so much memory a worker is slowed down while the kernel takes some back.",
        example: "\"400M\"",
        read: |draft, reader| reader.memory(false, &mut draft.settings.limits.memory_high),
        show: |settings| settings.limits.memory_high.map(|memory| memory.in_toml()),
    },
    Key {
        name: "memory-max",
        kind: MEMORY,
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "The most memory a worker may have; beyond it the kernel kills a process of it.",
        example: "\"512M\"",
        read: |draft, reader| reader.memory(false, &mut draft.settings.limits.memory_max),
        show: |settings| settings.limits.memory_max.map(|memory| memory.in_toml()),
    },
    Key {
        name: "memory-swap-max",
        kind: MEMORY,
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "The most of a worker's memory that may be swapped out; 0 is none.",
        example: "0",
        read: |draft, reader| reader.memory(true, &mut draft.settings.limits.memory_swap_max),
        show: |settings| settings.limits.memory_swap_max.map(|memory| memory.in_toml()),
    },
    Key {
        name: "cpu-weight",
        kind: "a number from 1 to 10000",
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "A worker's share of CPU time when there is not enough for all; a group that says nothing has 100.",
        example: "50",
        read: |draft, reader| {
            if let Some(weight) = reader.integer(1..=10_000) {
                draft.settings.limits.cpu_weight = Some(weight);
            }
        },
        show: |settings| settings.limits.cpu_weight.map(|weight| weight.to_string()),
    },
    Key {
        name: "cpu-quota",
        kind: "per cent of one CPU, such as \"150%\"",
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "The most CPU time a worker may have, also when CPUs are idle.",
        example: "\"150%\"",
        read: |draft, reader| reader.quota(&mut draft.settings.limits.cpu_quota),
        show: |settings| settings.limits.cpu_quota.map(|quota| quota.in_toml()),
    },
    Key {
        name: "tasks-max",
        kind: "a number, or \"infinity\"",
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "The most processes and threads a worker may have.",
        example: "200",
        read: |draft, reader| reader.tasks(&mut draft.settings.limits.tasks_max),
        show: |settings| {
            settings.limits.tasks_max.map(|tasks| match tasks {
                u64::MAX => "\"infinity\"".to_owned(),
                tasks => tasks.to_string(),
            })
        },
    },
    Key {
        name: "nice",
        kind: "a number from -20 to 19",
        default: "herder's own",
        applies: Applies::AtReload,
        help: "The niceness of workers (setpriority(2)).",
        example: "5",
        read: |draft, reader| reader.signed(-20..=19, &mut draft.settings.limits.nice),
        show: |settings| settings.limits.nice.map(|nice| nice.to_string()),
    },
    Key {
        name: "oom-score-adjust",
        kind: "a number from -1000 to 1000",
        default: "0 where herder itself is protected, else herder's own",
        applies: Applies::AtReload,
        help: "How eagerly the kernel kills a worker when memory runs out (oom_score_adj, proc(5)); -1000 is never.",
        example: "200",
        read: |draft, reader| {
            reader.signed(-1000..=1000, &mut draft.settings.limits.oom_score_adjust)
        },
        show: |settings| settings.limits.oom_score_adjust.map(|score| score.to_string()),
    },
];
