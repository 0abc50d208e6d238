//! The counters of an instance: one row each, from which come the field of the snapshot and the help
//! text of the metrics. A test holds the comments in `io.herder.Control` to the same texts.

use serde::{Deserialize, Serialize};

macro_rules! counters {
    ($($(#[$attribute:meta])* $name:ident: $help:literal;)+) => {
        /// Sums since herder started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct Counters {
            $(#[doc = $help] $(#[$attribute])* pub $name: u64,)+
        }

        /// What each counter counts, in one sentence.
        #[allow(non_upper_case_globals, reason = "named as the fields they describe")]
        pub mod help {
            $(#[doc = $help] pub const $name: &str = $help;)+
        }

        /// A set of counters for each row that counts 1 in this row only, and the row's help text.
        #[cfg(test)]
        pub fn one_each() -> Vec<(Counters, &'static str)> {
            vec![$((Counters { $name: 1, ..Counters::default() }, $help)),+]
        }
    };
}

counters! {
    respawns: "Workers started to take the place of one that had ended by itself.";
    crashes: "Workers that ended by themselves after they had served for min-lifetime.";
    failures: "Workers that could not be started, were not ready in time, or died young; the sum of the next four.";
    failed_to_start: "Workers for which there never was a process.";
    died_before_ready: "Workers that ended before they were ready.";
    timed_out: "Workers that were not ready within start-timeout.";
    died_young: "Workers that ended soon after they were ready, before min-lifetime.";
    hung: "Workers that sent no WATCHDOG=1 within the time that watchdog allows, and were aborted.";
    stalled: "Workers that let connections wait in sockets of their own for longer than stall-timeout, and were aborted.";
    unfit: "Workers whose probe failed too often in a row, and which were aborted.";
    retired: "Workers that ended by themselves, normally.";
    recycled: "Workers replaced although they served, one at a time: on request, or for one of the next two reasons.";
    recycled_for_age: "Workers replaced because they had served for max-age.";
    recycled_for_memory: "Workers replaced because they had grown beyond max-memory.";
    oom_kills: "Processes of workers that the kernel killed for want of memory.";
    scale_ups: "Steps to more workers, because connections waited.";
    scale_downs: "Steps to fewer workers, because fewer were enough.";
    scale_limits: "Times that more workers were needed than the bounds of workers allow.";
    reloads_done: "Reloads that replaced every worker.";
    reloads_failed: "Reloads that failed.";
    reloads_refused: "Reloads whose settings were not accepted.";
    reloads_superseded: "Reloads that gave way to a newer one.";
    #[serde(rename = "degradedUSec")]
    degraded_usec: "Time with fewer workers ready than wanted because of failures.";
    notify_dropped: "Messages to notify sockets that did not come from the socket's worker, and were dropped.";
    notify_lost: "Messages that systemd did not take in time, and were dropped.";
    log_lost: "Log entries that the journal or standard error did not take in time, and were dropped.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::DESCRIPTION;
    use crate::openmetrics::{Format, render};
    use crate::status::example::example;

    #[test]
    fn the_interface_explains_each_counter_with_the_same_words() {
        let (_, rest) = DESCRIPTION.split_once("type Counters (\n").unwrap();
        let (rows, _) = rest.split_once("\n)").unwrap();
        let comments = rows.lines().filter_map(|line| line.trim_start().strip_prefix("# "));
        let helps = one_each().into_iter().map(|(_, help)| help.trim_end_matches('.'));
        assert_eq!(comments.collect::<Vec<_>>(), helps.collect::<Vec<_>>());
    }

    #[test]
    fn each_counter_is_in_the_metrics() {
        let metrics = |counters| {
            let mut status = example(1);
            status.counters = counters;
            render(&[status], Format::OpenMetrics)
        };
        let none = metrics(Counters::default());
        for (counters, help) in one_each() {
            // The metrics have its parts.
            let is_sum = counters.failures == 1;
            assert_eq!(metrics(counters) == none, is_sum, "{help}");
        }
    }
}
