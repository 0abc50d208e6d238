//! What is done about workers that run and do nothing.

use super::super::key::Key;
use super::super::read::OR_FOREVER;
use super::super::show;
use super::{NO_DEFAULT, SPAN};
use crate::herd::Span;

pub const KEYS: &[Key] = &[Key {
    name: "watchdog",
    kind: SPAN,
    default: NO_DEFAULT,
    since: "0.1",
    reloadable: true,
    help: "A worker that sends no WATCHDOG=1 (sd_watchdog_enabled(3)) for so long hangs: it is aborted and replaced. \
           0 is no watchdog.",
    example: "\"30s\"",
    read: |draft, reader| {
        let mut span = draft.settings.policy.watchdog.unwrap_or_default();
        reader.span(OR_FOREVER, &mut span);
        let is_one = !matches!(span, Span::ZERO | Span::MAX);
        draft.settings.policy.watchdog = is_one.then_some(span);
    },
    show: |settings| settings.policy.watchdog.and_then(show::span),
}];
