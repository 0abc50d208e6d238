//! What is done about workers that run and do nothing.

use super::super::key::Key;
use super::super::read::{OR_FOREVER, Reader};
use super::super::show;
use super::{NO_DEFAULT, SPAN};
use crate::herd::Span;

/// A span that is no limit when it is 0 or never ends.
fn limit(reader: &mut Reader<'_>, into: &mut Option<Span>) {
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
];
