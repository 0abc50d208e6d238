//! How connections are shared out, and CPUs.

use super::super::key::Key;
use super::super::settings::{Balance, CpuAffinity, Queues};
use super::super::show;

const QUEUES: [(&str, Queues); 2] = [("shared", Queues::Shared), ("per-worker", Queues::PerWorker)];
const BALANCE: [(&str, Balance); 1] = [("hash", Balance::Hash)];
const CPU_AFFINITY: [(&str, CpuAffinity); 2] =
    [("off", CpuAffinity::Off), ("slot", CpuAffinity::Slot)];

pub const KEYS: &[Key] = &[
    Key {
        name: "queues",
        kind: "\"shared\" or \"per-worker\"",
        default: "\"shared\"",
        since: "0.1",
        reloadable: false,
        help: "Whether all workers accept from the same sockets, or each from its own of several at one address \
               (ReusePort=yes), which suits event loops.",
        example: "\"per-worker\"",
        read: |draft, reader| reader.choice(&QUEUES, &mut draft.settings.queues),
        show: |settings| show::word(&QUEUES, settings.queues),
    },
    Key {
        name: "balance",
        kind: "\"hash\"",
        default: "\"hash\"",
        since: "0.1",
        reloadable: true,
        help: "How new connections are shared out among per-worker queues: by the kernel's hash, \
               over those whose worker is ready.",
        example: "\"hash\"",
        read: |draft, reader| reader.choice(&BALANCE, &mut draft.settings.balance),
        show: |settings| show::word(&BALANCE, settings.balance),
    },
    Key {
        name: "cpu-affinity",
        kind: "\"off\" or \"slot\"",
        default: "\"off\"",
        since: "0.1",
        reloadable: true,
        help: "Whether the workers of a slot are kept on one CPU: slot 0 on the first that herder may use, \
               and so on, round and round.",
        example: "\"slot\"",
        read: |draft, reader| reader.choice(&CPU_AFFINITY, &mut draft.settings.cpu_affinity),
        show: |settings| show::word(&CPU_AFFINITY, settings.cpu_affinity),
    },
];
