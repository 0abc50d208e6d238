//! What is done about workers that run and do nothing, and how that is found out.

use super::super::key::Key;
use super::super::read::{OR_FOREVER, POSITIVE, Reader, quote};
use super::super::show;
use super::{NO_DEFAULT, SPAN};
use herder_core::Span;

/// A span that is no limit when it is 0 or never ends.
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
        since: "0.1",
        reloadable: true,
        help: "A worker that sends no WATCHDOG=1 (sd_watchdog_enabled(3)) for so long hangs: it is aborted and replaced. \
           0 is no watchdog.",
        example: "\"30s\"",
        read: |draft, reader| limit(reader, &mut draft.settings.policy.watchdog),
        show: |settings| settings.policy.watchdog.and_then(show::span),
    },
    Key {
        name: "stall-timeout",
        kind: SPAN,
        default: NO_DEFAULT,
        since: "0.1",
        reloadable: true,
        help: "Connections that wait for so long without one being accepted show that a worker hangs, if the socket is its \
           own, else that the instance is stalled. 0 is no limit.",
        example: "\"1min\"",
        read: |draft, reader| limit(reader, &mut draft.settings.policy.stall_timeout),
        show: |settings| settings.policy.stall_timeout.and_then(show::span),
    },
    Key {
        name: "probe.http",
        kind: "a URL, `http://ADDRESS[:PORT][/PATH]`, in a string",
        default: NO_DEFAULT,
        since: "0.1",
        reloadable: true,
        help: "What is asked to find out whether workers are well; any status from 200 to 399 is fine. With {slot} or {worker} \
               in it the answer is about that worker, else about the instance, and is only reported.",
        example: "\"http://127.0.0.1:90{slot}/healthz\"",
        read: |draft, reader| {
            if let Some(url) = reader.line() {
                draft.settings.probe.http = Some(url);
            }
        },
        show: |settings| settings.probe.http.as_ref().map(|url| quote(url.to_string())),
    },
    Key {
        name: "probe.exec",
        kind: "a list of strings, the program first",
        default: NO_DEFAULT,
        since: "0.1",
        reloadable: true,
        help: "A command that succeeds while a worker is well: the one of HERDER_SLOT, HERDER_WORKER and HERDER_WORKER_PID.",
        example: "[\"/srv/app/healthy\"]",
        read: |draft, reader| {
            if let Some(argv) = reader.argv() {
                draft.settings.probe.exec = Some(argv.into_iter().map(|(text, _)| text).collect());
            }
        },
        show: |settings| settings.probe.exec.as_ref().map(|argv| show::list(argv.iter())),
    },
    Key {
        name: "probe.interval",
        kind: SPAN,
        default: "\"10s\"",
        since: "0.1",
        reloadable: true,
        help: "How long after an answer, or after a worker is ready, the probe asks again.",
        example: "\"30s\"",
        read: |draft, reader| reader.span(POSITIVE, &mut draft.settings.probe.interval),
        show: |settings| show::span(settings.probe.interval),
    },
    Key {
        name: "probe.timeout",
        kind: SPAN,
        default: "\"1s\"",
        since: "0.1",
        reloadable: true,
        help: "How long a probe may take; then it has failed, and its command is killed.",
        example: "\"5s\"",
        read: |draft, reader| reader.span(POSITIVE, &mut draft.settings.probe.timeout),
        show: |settings| show::span(settings.probe.timeout),
    },
    Key {
        name: "probe.failures",
        kind: "a number, at least 1",
        default: "3",
        since: "0.1",
        reloadable: true,
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
