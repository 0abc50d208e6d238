//! How the number of workers changes by itself to fit the load.

use super::super::draft::{Count, Draft};
use super::super::in_toml;
use super::super::key::{Applies, Key, NO_DEFAULT, SPAN};
use super::super::read::{OR_FOREVER, POSITIVE, Reader};
use super::super::value::{Assignment, Data, Value};
use herder_core::Span;
use herder_wire::control::MOST_WORKERS;
use std::borrow::Cow;

/// The default of `idle-timeout`.
pub const IDLE_TIMEOUT: Span = Span::secs(60);

pub const KEYS: &[Key] = &[
    Key {
        name: "idle-timeout",
        kind: SPAN,
        default: "1min, where `workers` has bounds",
        applies: Applies::AtOnce,
        help: "How long a worker that is not needed stays, at the least, where `workers` has bounds; with a `min` of 0 \
               the last one, too.",
        example: "\"10s\"",
        read: |draft, reader| {
            let mut span = IDLE_TIMEOUT;
            reader.span(POSITIVE, &mut span);
            draft.settings.idle_timeout = Some(span);
        },
        show: |settings| {
            settings.policy.scaling.and_then(|scaling| in_toml::span(scaling.idle_timeout))
        },
    },
    Key {
        name: "exit-idle-time",
        kind: SPAN,
        default: NO_DEFAULT,
        applies: Applies::AtOnce,
        help: "How long there is no worker, and no connection, before herder itself ends; systemd starts it again with \
               the next connection. For a `min` of 0 and sockets from systemd.",
        example: "\"10min\"",
        read: |draft, reader| {
            let mut span = Span::MAX;
            reader.span(OR_FOREVER, &mut span);
            draft.settings.exit_idle_time = Some(span).filter(|&span| span != Span::MAX);
        },
        show: |settings| settings.policy.scaling?.exit_idle_time.and_then(in_toml::span),
    },
];

/// The entries of `{ min = 2, max = 16 }`, or of `2..16` as on a command line. `min=2` is one entry: a shell
/// makes two such words of `workers={min=2,max=16}` without quotes.
pub fn bounds(value: &Value) -> Option<Cow<'_, [Assignment]>> {
    let text = match &value.data {
        Data::Table(entries) => return Some(Cow::Borrowed(entries)),
        Data::Text(text) => text,
        Data::Integer(_) | Data::Scalar(..) | Data::List(_) => return None,
    };
    let at = &value.at;
    let bound = |name: &str, text: &str| Assignment {
        name: name.to_owned(),
        at: at.clone(),
        value: Value::text(at.clone(), text),
    };
    let entries = match (text.split_once(".."), text.split_once('=')) {
        (Some((min, max)), _) => vec![bound("min", min), bound("max", max)],
        (None, Some((name @ ("min" | "max"), value))) => vec![bound(name, value)],
        (None, _) => return None,
    };
    Some(entries.into())
}

/// Reads the entries that [`bounds`] found.
pub fn read_bounds(draft: &mut Draft, reader: &mut Reader<'_>, entries: &[Assignment]) {
    if entries.is_empty() {
        return reader.wrong_value(
            "has neither `min` nor `max`, and has to be a number, \"auto\" or bounds",
        );
    }
    // A bound that is left out keeps its value of an earlier source. The default of `min` is 1: a service that
    // may have no worker at all has to ask for it.
    let mut min = draft.workers.unwrap_or(Count::Number(1));
    let mut max = draft.most_workers.or(draft.workers).unwrap_or(Count::Auto);
    for entry in entries {
        let bound = match entry.name.as_str() {
            "min" => &mut min,
            "max" => &mut max,
            other => {
                let other = other.escape_debug();
                let message = format!("unknown key `workers.{other}`");
                let advice = "write `workers = { min = 0, max = 16 }`";
                reader.problems.advise(Some(&entry.at), "workers", message, advice);
                continue;
            }
        };
        let mut part = Reader { key: reader.key, value: &entry.value, problems: reader.problems };
        let count = match part.is_word("auto") {
            true => Some(Count::Auto),
            false => part.integer(0..=MOST_WORKERS).map(Count::Number),
        };
        *bound = count.unwrap_or(*bound);
    }
    (draft.workers, draft.most_workers) = (Some(min), Some(max));
}
