//! The catalog explains every kind of entry, and speaks only of fields the entry has.

use super::super::{change, socket};
use super::*;
use herder_core::{Evidence, Hang};
use std::collections::{BTreeMap, BTreeSet};

const CATALOG: &str = include_str!("../../systemd/herder.catalog");

fn ended(exit: Exit, manner: Manner, lived: Span) -> Report {
    let (worker, slot, generation) = (WorkerId(7), SlotId(3), Generation(2));
    let was_ready = manner != Manner::BeforeReady;
    Report::Ended { worker, slot, generation, exit, manner, lived, was_ready, why: None }
}

/// One of each.
fn reports() -> Vec<Report> {
    let (worker, slot, span) = (WorkerId(7), SlotId(3), Span::secs(4));
    let (old, new) = (Generation(1), Generation(2));
    let generation = new;
    let text = || "because".to_owned();
    vec![
        Report::Started { worker, slot, generation },
        Report::Ready { worker, slot, generation, evidence: Evidence::Notified, after: span },
        Report::Retiring { worker, slot, generation },
        ended(Exit::Code(1), Manner::Crashed, span),
        Report::TimedOut { worker, slot, generation, after: span, why: Some(text()) },
        Report::Hung { worker, slot, generation, lived: span, why: Hang::Silent(span) },
        Report::NotStarted { worker, slot, generation, why: text() },
        Report::BackingOff { slot, failures: 5, delay: span },
        Report::Killed { worker, slot, generation, after: span },
        Report::Unkillable { worker, slot, generation },
        Report::RemainderKilled { worker, slot, generation },
        Report::OutOfMemory { worker, slot, generation, processes: 2 },
        Report::Recycled { worker, slot, generation, by: WorkerId(9), why: Wear::Asked },
        Report::NotRecycled { worker, slot, generation, why: text() },
        Report::StopRequested { worker, slot, generation },
        Report::Serving { ready: 3, wanted: 4 },
        Report::Degraded { ready: 3, wanted: 4, why: text() },
        Report::Recovered { wanted: 4, after: span },
        Report::Scaled { from: 4, to: 5 },
        Report::Stalled { waiting: 3, after: span },
        Report::StallOver { after: span },
        Report::ProbeFails { failures: 3, why: text() },
        Report::ProbeRecovers { after: span },
        Report::ScaledUp { from: 4, to: 6, waiting: 37 },
        Report::ScaledDown { from: 6, to: 5 },
        Report::ScaleLimit { most: 6, waiting: 37 },
        Report::LeavingIdle { after: span },
        Report::ReloadStarted { from: old, to: new },
        Report::CanaryPassed { worker, slot, to: new },
        Report::Reloaded { to: new, took: span },
        Report::ReloadFailed { to: new, reason: text() },
        Report::ReloadAborted { to: new },
        Report::RolledBack { to: old, complete: true },
        Report::ReloadRefused { reason: text() },
        Report::ReloadSuperseded { old, new },
        Report::Escalating { code: 69, reason: text() },
        Report::Stopping { workers: 4 },
        Report::Stopped { code: 0, took: span },
    ]
}

/// The catalog's entries by their id: header and text.
fn catalog() -> BTreeMap<&'static str, &'static str> {
    let mut entries = BTreeMap::new();
    for entry in CATALOG.split("\n-- ").skip(1) {
        let (id, text) = entry.split_once('\n').unwrap();
        assert!(entries.insert(id, text).is_none(), "{id} is explained twice");
        assert!(!text.contains("@@@"), "@FIELD@ behind one @ too many in {id}");
    }
    entries
}

fn is_id(word: &str) -> bool {
    word.len() == 32 && word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[test]
fn every_kind_of_report_has_an_id_of_its_own() {
    let ids: BTreeSet<&str> = reports().iter().map(|report| identity(report).1).collect();
    assert_eq!(ids.len(), reports().len());
    assert!(ids.iter().all(|id| is_id(id)));
    let in_source: BTreeSet<&str> =
        include_str!("report.rs").split('"').filter(|word| is_id(word)).collect();
    assert_eq!(ids, in_source, "reports() has one of each");
    let kinds: BTreeSet<&str> = reports().iter().map(Report::kind).collect();
    assert_eq!(kinds.len(), ids.len());
    assert!(kinds.iter().all(|kind| kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
}

#[test]
fn the_catalog_explains_every_kind_of_report_and_no_other() {
    let entries = catalog();
    let explained: BTreeSet<&str> = entries.keys().copied().collect();
    let mut reported: BTreeSet<&str> = reports().iter().map(|report| identity(report).1).collect();
    for id in [change::ID, socket::ID] {
        assert!(reported.insert(id) && is_id(id));
    }
    assert_eq!(explained, reported);
    for (id, text) in entries {
        let (header, body) = text.split_once("\n\n").unwrap();
        for line in ["Subject: ", "Defined-By: herder", "Documentation: "] {
            assert!(header.contains(line), "{id} has no {line}");
        }
        assert!(body.trim().len() > 80, "{id} explains nothing");
        assert!(text.lines().all(|line| line.len() <= 100), "{id} has a long line");
    }
}

#[test]
fn the_catalog_uses_only_fields_the_entry_has() {
    let mut entries: Vec<_> =
        reports().iter().map(|report| entry(report, Some(4711), None)).collect();
    entries.push(change::change("Scale", "for 4 workers", 1000, 4711));
    entries.push(socket::example());
    for entry in entries {
        let text = catalog()[entry.message_id.unwrap()];
        let mut fields: BTreeSet<&str> = entry.fields.iter().map(|(name, _)| *name).collect();
        // The log adds these to every entry; a pid is only known of an entry about one worker.
        fields.extend(["HERDER_INSTANCE", "MESSAGE"]);
        if !fields.contains("HERDER_WORKER") {
            fields.remove("HERDER_PID");
        }
        for (at, _) in text.match_indices("@HERDER_") {
            let used = text[at + 1..].split('@').next().unwrap();
            assert!(fields.contains(used), "{entry:?}: the catalog uses @{used}@");
        }
    }
}

#[test]
fn every_field_is_one_journald_takes() {
    for report in reports() {
        let entry = entry(&report, Some(4711), None);
        let names: BTreeSet<&str> = entry.fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), entry.fields.len(), "{report:?} has a field twice");
        assert!(names.into_iter().all(herder_wire::journal::is_field_name));
    }
}

#[test]
fn what_says_that_the_instance_failed_says_how_to_recover_it() {
    let command = super::super::recovery("web");
    assert_eq!(
        command,
        "systemctl reset-failed herder@web.socket herder@web.service \
         && systemctl start herder@web.socket"
    );
    let message = |report: &Report| entry(report, None, Some(&command)).message;
    let failed = Report::Stopped { code: 69, took: Span::ZERO };
    assert!(message(&failed).ends_with(&command));
    for report in reports() {
        let escalating = matches!(report, Report::Escalating { .. });
        assert_eq!(message(&report).ends_with(&command), escalating, "{report:?}");
        let id = identity(&report).1;
        if escalating || matches!(report, Report::Stopped { .. }) {
            let text = catalog()[id].replace('\n', " ");
            assert!(
                text.contains("systemctl reset-failed herder@@HERDER_INSTANCE@.socket"),
                "{id}"
            );
            assert!(text.contains("systemctl start herder@@HERDER_INSTANCE@.socket"), "{id}");
        }
    }
}

#[test]
fn a_worker_is_found_by_its_pid() {
    let report =
        Report::Started { worker: WorkerId(7), slot: SlotId(3), generation: Generation(1) };
    let entry = entry(&report, Some(4711), None);
    assert_eq!(entry.message, "worker 7 (slot 3, generation 1) started, pid 4711");
    assert!(entry.fields.contains(&("HERDER_PID", "4711".to_owned())));
}

#[test]
fn an_ending_is_told_in_words_and_as_fields() {
    let kill = Exit::Signal { number: 9, core: false };
    for (exit, word, cause) in [
        (Exit::Code(3), "3", "exited"),
        (kill, "SIGKILL", "killed"),
        (Exit::Signal { number: 11, core: true }, "SIGSEGV", "dumped"),
        (Exit::OutOfMemory, "SIGKILL", "out_of_memory"),
    ] {
        let entry = entry(&ended(exit, Manner::Young, Span::secs(2)), None, None);
        assert_eq!(entry.priority, LogLevel::Warning);
        for field in [
            ("HERDER_EVENT", "worker_ended"),
            ("HERDER_GENERATION", "2"),
            ("HERDER_EXIT", word),
            ("HERDER_CAUSE", cause),
            ("HERDER_MANNER", "young"),
            ("HERDER_WAS_READY", "yes"),
            ("HERDER_USEC", "2000000"),
        ] {
            assert!(entry.fields.contains(&(field.0, field.1.to_owned())), "{field:?}");
        }
    }
}

#[test]
fn the_manual_lists_every_kind_of_event() {
    let page = include_str!("../../man/herder.8");
    let kinds = page.split_once("The kinds of events:").unwrap().1.split_once(".El").unwrap().0;
    let listed: Vec<&str> =
        kinds.lines().filter_map(|line| line.strip_prefix(".It Li ")?.split(' ').next()).collect();
    let mut reported: Vec<&str> = reports().iter().map(Report::kind).collect();
    reported.extend([socket::KIND, change::KIND]);
    assert_eq!(listed, reported);
}

/// The history of a slot is what `journalctl HERDER_SLOT=3` finds.
#[test]
fn every_entry_about_a_worker_says_where_it_is_and_by_which_settings() {
    for report in reports().iter().filter(|report| report.worker().is_some()) {
        let entry = entry(report, Some(4711), None);
        for name in ["HERDER_SLOT", "HERDER_WORKER", "HERDER_GENERATION", "HERDER_PID"] {
            assert!(entry.fields.iter().any(|(field, _)| *field == name), "{report:?}: {name}");
        }
    }
}

/// A figure reads the same in the log as in `herder status`.
#[test]
fn the_core_and_the_commands_write_figures_the_same_way() {
    let steps = (0..64).flat_map(|power| {
        let base = 1_u64 << power;
        [base - 1, base, base + base / 3, base + base / 7]
    });
    let round = [1_000, 1_500_000, 90_000_000, 3_600_000_000, 86_400_000_000, u64::MAX];
    for value in steps.chain(round) {
        assert_eq!(herder_core::Span(value).to_string(), herder_wire::units::span(value));
        assert_eq!(herder_core::Size(value).to_string(), herder_wire::units::size(value));
    }
}
