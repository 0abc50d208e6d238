//! How workers that hang are found.

use super::super::in_toml;
use super::super::key::{Applies, Key, NO_DEFAULT, SPAN};
use super::super::read::{OR_FOREVER, POSITIVE, Reader};
use herder_core::Span;

/// Reads a span that is no limit when it is 0 or `infinity`.
pub fn limit(reader: &mut Reader<'_>, into: &mut Option<Span>) {
    let mut span = into.unwrap_or_default();
    reader.span(OR_FOREVER, &mut span);
    *into = (!matches!(span, Span::ZERO | Span::MAX)).then_some(span);
}

pub const KEYS: &[Key] = &[
    Key {
        name: "watchdog",
        kind: SPAN,
        default: NO_DEFAULT,
        applies: Applies::AtReload,
        help: "A worker that sends no WATCHDOG=1 (sd_watchdog_enabled(3)) for so long hangs: it is aborted and replaced. \
           0 is no watchdog.",
        example: "\"30s\"",
        read: |draft, reader| limit(reader, &mut draft.settings.policy.watchdog),
        show: |settings| settings.policy.watchdog.and_then(in_toml::span),
    },
    Key {
        name: "stall-timeout",
        kind: SPAN,
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "Connections that wait for so long without one being accepted show that a worker hangs, if the socket is its \
           own, else that the instance is stalled. 0 is no limit.",
        example: "\"1min\"",
        read: |draft, reader| limit(reader, &mut draft.settings.policy.stall_timeout),
        show: |settings| settings.policy.stall_timeout.and_then(in_toml::span),
    },
    Key {
        name: "probe.http",
        kind: "a URL, `http://ADDRESS[:PORT][/PATH]`, in a string",
        default: NO_DEFAULT,
        applies: Applies::AtReload,
        help: "What is asked to find out whether workers are well; any status from 200 to 399 is fine. With {slot} or {worker} \
               in it the answer is about that worker, else about the instance, and is only reported.",
        example: "\"http://127.0.0.1:90{slot}/healthz\"",
        read: |draft, reader| {
            if let Some(url) = reader.line() {
                draft.settings.probe.http = Some(url);
            }
        },
        show: |settings| settings.probe.http.as_ref().map(|url| in_toml::quote(url.to_string())),
    },
    Key {
        name: "probe.exec",
        kind: "a list of strings, the program first",
        default: NO_DEFAULT,
        applies: Applies::AtReload,
        help: "A command that succeeds while a worker is well: the one of HERDER_SLOT, HERDER_WORKER and HERDER_WORKER_PID.",
        example: "[\"/srv/app/healthy\"]",
        read: |draft, reader| {
            if let Some(argv) = reader.argv() {
                draft.settings.probe.exec = Some(argv.into_iter().map(|(text, _)| text).collect());
            }
        },
        show: |settings| settings.probe.exec.as_ref().map(|argv| in_toml::list(argv.iter())),
    },
    Key {
        name: "probe.interval",
        kind: SPAN,
        default: "\"10s\"",
        applies: Applies::AtOnce,
        help: "How long after an answer, or after a worker is ready, the probe asks again.",
        example: "\"30s\"",
        read: |draft, reader| reader.span(POSITIVE, &mut draft.settings.probe.interval),
        show: |settings| in_toml::span(settings.probe.interval),
    },
    Key {
        name: "probe.timeout",
        kind: SPAN,
        default: "\"1s\"",
        applies: Applies::AtOnce,
        help: "How long a probe may take; then it has failed, and its command is killed.",
        example: "\"5s\"",
        read: |draft, reader| reader.span(POSITIVE, &mut draft.settings.probe.timeout),
        show: |settings| in_toml::span(settings.probe.timeout),
    },
    Key {
        name: "probe.failures",
        kind: "a number, at least 1",
        default: "3",
        applies: Applies::AtOnce,
        help: "So many failures in a row, and the worker is taken for hung, or the instance is degraded.",
        example: "5",
        read: |draft, reader| {
            if let Some(number) = reader.integer(1..=1_000) {
                draft.settings.probe.failures = number;
            }
        },
        show: |settings| Some(settings.probe.failures.to_string()),
    },
];
