//! How many workers, when one is ready, and when they keep failing.

use super::super::draft::Count;
use super::super::in_toml;
use super::super::key::{Applies, Key, SPAN};
use super::super::read::{BOUNDED, POSITIVE};
use super::scaling::{bounds, read_bounds};
use herder_core::{Ready, ReadyWhen, Span};
use herder_wire::control::MOST_WORKERS;

const READY: [(&str, Ready); 5] = [
    ("auto", Ready::Auto),
    ("notify", Ready::Notify),
    ("accepting", Ready::Accepting),
    ("exec", Ready::Exec),
    ("alive", Ready::Alive),
];
const READY_WHEN: [(&str, ReadyWhen); 2] = [("all", ReadyWhen::All), ("any", ReadyWhen::Any)];

pub const KEYS: &[Key] = &[
    Key {
        name: "workers",
        kind: "a number, \"auto\", or a table of `min` and `max`",
        default: "\"auto\"",
        applies: Applies::AtOnce,
        help: "How many workers are wanted. \"auto\" is WEB_CONCURRENCY in herder's environment, else the CPUs that \
               affinity and the cgroup's quota leave. With bounds, `{ min = 2, max = 16 }`, as many as the load asks for.",
        example: "4",
        read: |draft, reader| {
            if let Some(bounds) = bounds(reader.value) {
                return read_bounds(draft, reader, &bounds);
            }
            draft.most_workers = None;
            if reader.is_word("auto") {
                draft.workers = Some(Count::Auto);
            } else if let Some(workers) = reader.integer(0..=MOST_WORKERS) {
                draft.workers = Some(Count::Number(workers));
            }
        },
        show: |settings| {
            let min = settings.policy.workers;
            Some(match settings.policy.scaling {
                None => min.to_string(),
                Some(scaling) => format!("{{ min = {min}, max = {} }}", scaling.max),
            })
        },
    },
    Key {
        name: "ready",
        kind: "\"auto\", \"notify\", \"accepting\", \"exec\" or \"alive\"",
        default: "\"auto\"",
        applies: Applies::AtReload,
        help: "What proves that a worker serves: READY=1 (sd_notify(3)), to be seen waiting on its socket, its successful \
               start, or to be alive for `ready-after`; \"auto\" is the first or the second, without any socket the last.",
        example: "\"notify\"",
        read: |draft, reader| reader.choice(&READY, &mut draft.settings.policy.ready),
        show: |settings| in_toml::word(&READY, settings.policy.ready),
    },
    Key {
        name: "ready-after",
        kind: SPAN,
        default: "\"1s\"",
        applies: Applies::AtOnce,
        help: "How long a worker has to live to be taken for ready without a sign.",
        example: "\"5s\"",
        read: |draft, reader| reader.span(BOUNDED, &mut draft.settings.policy.ready_after),
        show: |settings| match settings.policy.ready {
            Ready::Auto | Ready::Alive => in_toml::span(settings.policy.ready_after),
            Ready::Notify | Ready::Accepting | Ready::Exec => None,
        },
    },
    Key {
        name: "ready-when",
        kind: "\"all\" or \"any\"",
        default: "\"all\"",
        applies: Applies::AtOnce,
        help: "When the service is started for systemd: all workers are ready (or have had one attempt, and one is), or any.",
        example: "\"any\"",
        read: |draft, reader| reader.choice(&READY_WHEN, &mut draft.settings.policy.ready_when),
        show: |settings| in_toml::word(&READY_WHEN, settings.policy.ready_when),
    },
    Key {
        name: "start-timeout",
        kind: SPAN,
        default: "\"1min\"",
        applies: Applies::AtOnce,
        help: "How long a worker may take until it is ready; EXTEND_TIMEOUT_USEC= from it extends this, up to ten times.",
        example: "\"1min 30s\"",
        read: |draft, reader| reader.span(POSITIVE, &mut draft.settings.policy.start_timeout),
        show: |settings| in_toml::span(settings.policy.start_timeout),
    },
    Key {
        name: "min-ready-time",
        kind: SPAN,
        default: "\"0s\" with ready = \"notify\", else \"1s\"",
        applies: Applies::AtOnce,
        help: "How long the first new worker of a reload has to stay ready before the others follow.",
        example: "\"2s\"",
        read: |draft, reader| {
            let mut span = draft.settings.policy.min_ready_time.unwrap_or_default();
            let before = reader.problems.0.len();
            reader.span(BOUNDED, &mut span);
            if reader.problems.0.len() == before {
                draft.settings.policy.min_ready_time = Some(span);
            }
        },
        show: |settings| settings.policy.min_ready_time.and_then(in_toml::span),
    },
    Key {
        name: "min-lifetime",
        kind: SPAN,
        default: "\"10s\"",
        applies: Applies::AtOnce,
        help: "A worker that was ready this long is proved: its death is no failure, and it is replaced without delay.",
        example: "\"30s\"",
        read: |draft, reader| reader.span(POSITIVE, &mut draft.settings.policy.min_lifetime),
        show: |settings| in_toml::span(settings.policy.min_lifetime),
    },
    Key {
        name: "max-starting",
        kind: "a number, at least 1, or \"auto\"",
        default: "no bound",
        applies: Applies::AtOnce,
        help: "How many workers may be on their way to ready at the same time. \"auto\" is the CPUs that affinity and \
               the cgroup's quota leave, at least 2.",
        example: "2",
        read: |draft, reader| {
            draft.max_starting_auto = reader.is_word("auto");
            if draft.max_starting_auto {
                return;
            }
            if let Some(number) = reader.integer(1..=MOST_WORKERS) {
                draft.settings.policy.max_starting = Some(number);
            }
        },
        show: |settings| settings.policy.max_starting.map(|number| number.to_string()),
    },
    Key {
        name: "crash-limit.burst",
        kind: "a number, at least 1",
        default: "5",
        applies: Applies::AtOnce,
        help: "With no worker ready, herder gives up when every slot has failed this often since a worker was last proved.",
        example: "3",
        read: |draft, reader| {
            if let Some(number) = reader.integer(1..=1_000_000) {
                draft.settings.policy.crash_burst = number;
            }
        },
        show: |settings| Some(settings.policy.crash_burst.to_string()),
    },
    Key {
        name: "crash-limit.after",
        kind: SPAN,
        default: "`start-timeout` and 30s",
        applies: Applies::AtOnce,
        help: "With no worker ready, herder gives up when the last was proved this long ago.",
        example: "\"2min\"",
        read: |draft, reader| {
            let after = draft.crash_after.get_or_insert_default();
            reader.span(Span(1)..=Span::MAX, after);
        },
        show: |settings| in_toml::span(settings.policy.crash_after),
    },
];
