//! How connections and CPUs are distributed over workers.

use super::super::in_toml;
use super::super::key::{Applies, Key};
use super::super::settings::{Balance, CpuAffinity, Queues};

const QUEUES: [(&str, Queues); 2] = [("shared", Queues::Shared), ("per-worker", Queues::PerWorker)];
const BALANCE: [(&str, Balance); 1] = [("hash", Balance::Hash)];
const CPU_AFFINITY: [(&str, CpuAffinity); 2] =
    [("off", CpuAffinity::Off), ("slot", CpuAffinity::Slot)];

pub const KEYS: &[Key] = &[
    Key {
        name: "queues",
        kind: "\"shared\" or \"per-worker\"",
        default: "\"shared\"",
        applies: Applies::AtRestart,
        help: "Whether all workers accept from the same sockets, or each from its own of several at one address \
               (ReusePort=yes), which suits event loops.",
        example: "\"per-worker\"",
        read: |draft, reader| reader.choice(&QUEUES, &mut draft.settings.queues),
        show: |settings| in_toml::word(&QUEUES, settings.queues),
    },
    Key {
        name: "balance",
        kind: "\"hash\"",
        default: "\"hash\"",
        applies: Applies::AtReload,
        help: "How new connections are shared out among per-worker queues: by the kernel's hash, \
               over those whose worker is ready.",
        example: "\"hash\"",
        read: |draft, reader| reader.choice(&BALANCE, &mut draft.settings.balance),
        show: |settings| in_toml::word(&BALANCE, settings.balance),
    },
    Key {
        name: "cpu-affinity",
        kind: "\"off\" or \"slot\"",
        default: "\"off\"",
        applies: Applies::AtReload,
        help: "Whether the workers of a slot are kept on one CPU: slot 0 on the first that herder may use, \
               and so on, round and round.",
        example: "\"slot\"",
        read: |draft, reader| reader.choice(&CPU_AFFINITY, &mut draft.settings.cpu_affinity),
        show: |settings| in_toml::word(&CPU_AFFINITY, settings.cpu_affinity),
    },
];
