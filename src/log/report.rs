//! What the core reports, as log entries: priority, MESSAGE_ID, fields.
//!
//! Each MESSAGE_ID stands for one kind of event for ever. `journalctl -x` shows the explanation in
//! `herder.catalog`; a test holds the two together.

use super::{Entry, LogLevel};
use herder_core::{Exit, Generation, Manner, Report, SlotId, Span, Wear, WorkerId, signal_name};

/// The entry for a report. A message about a failed instance ends with the `recovery` command.
pub fn entry(report: &Report, pid: Option<u32>, recovery: Option<&str>) -> Entry {
    let (priority, id) = identity(report);
    let mut entry = with_fields(Entry::new(priority, report.to_string()), report);
    entry.message_id = Some(id);
    entry = entry.with("HERDER_EVENT", report.kind());
    if let Some(pid) = pid {
        if matches!(report, Report::Started { .. }) {
            entry.message.push_str(&format!(", pid {pid}"));
        }
        entry = entry.with("HERDER_PID", pid);
    }
    if let (true, Some(command)) = (is_failure_of_the_instance(report), recovery) {
        entry.message.push_str(&format!("; to recover: {command}"));
    }
    entry
}

fn is_failure_of_the_instance(report: &Report) -> bool {
    match report {
        Report::Escalating { .. } => true,
        Report::Stopped { code, took: _ } => *code != 0,
        _ => false,
    }
}

/// The priority of the entry, and its MESSAGE_ID, which never changes.
fn identity(report: &Report) -> (LogLevel, &'static str) {
    use LogLevel::{Error, Info, Notice, Warning};
    match report {
        Report::Started { .. } => (Info, "bae9390874b542e6b9dac6efc7a26e92"),
        Report::Ready { .. } => (Info, "a6cc626602104117bf6a3eb0cd9c5c69"),
        Report::Retiring { .. } => (Info, "a03429b15ec74703b30b8f90ae007887"),
        Report::Ended { manner, .. } => {
            let priority = match manner {
                Manner::Ordered | Manner::Retired => Info,
                Manner::BeforeReady | Manner::Young | Manner::Crashed => Warning,
            };
            (priority, "822bf6189fec44ddb6f605ef22136af3")
        }
        Report::TimedOut { .. } => (Warning, "0f170551085443a997ac142c755d46a3"),
        Report::Hung { .. } => (Warning, "ae0dfca17eea4689bf173810663dcfd8"),
        Report::NotStarted { .. } => (Warning, "39f3cf2fc4e6410b8d31ba0961fcaf5b"),
        Report::BackingOff { .. } => (Warning, "fe62d4ebf76f466bbd8ea637f7ca7e21"),
        Report::Killed { .. } => (Warning, "b5f941c0a36641d6b99a31f2f8199a10"),
        Report::RemainderKilled { .. } => (Warning, "23a0b19a00e04f4ea35f0cca4a15ff1d"),
        Report::Unkillable { .. } => (Error, "3cac521a43804468ae35c2ec50d7cc0d"),
        Report::OutOfMemory { .. } => (Warning, "e71ce5f1c44f49c6aa086ac722155d8f"),
        Report::Recycled { .. } => (Info, "c4002947f7cc42779c9841a1c2c22a0f"),
        Report::NotRecycled { .. } => (Warning, "af906757a6c44208a77af2ccc05999d0"),
        Report::StopRequested { .. } => (Notice, "2a2f02a0bfc048049964ad93434bc343"),
        Report::Serving { .. } => (Notice, "add77e4c7dfa4a91ae050175c3322815"),
        Report::Degraded { .. } => (Warning, "140269122ee347f7b4e0e6d9b7aeea89"),
        Report::Recovered { .. } => (Notice, "1aea76b45f884497a42888e56ecdc00f"),
        Report::Scaled { .. } => (Notice, "4b2d71e8130848a187daca3b22508d7c"),
        Report::Stalled { .. } => (Warning, "329ccfe7e8c94315bd7e2127e3fb69c9"),
        Report::StallOver { .. } => (Notice, "e8b9700dee084d2698b2ec0e87630171"),
        Report::ProbeFails { .. } => (Warning, "83c8bd429b224212914a49b451c2c098"),
        Report::ProbeRecovers { .. } => (Notice, "5021a44de651468abb1d67cb49ff720b"),
        Report::ScaledUp { .. } => (Info, "f8d9f5d941c442f39f86d8d50a7fa852"),
        Report::ScaledDown { .. } => (Info, "d2fcaff3b4b34583bdcddc55c2b469f4"),
        Report::ScaleLimit { .. } => (Warning, "60024573b60f43ceab01247cab2d438d"),
        Report::LeavingIdle { .. } => (Notice, "d983d15fec084822b9b44ec4ff4f2441"),
        Report::ReloadStarted { .. } => (Notice, "0dc80a7ca92b407e8693b44293b16927"),
        Report::CanaryPassed { .. } => (Info, "1e222a02cce34859873e9d5fcbce4154"),
        Report::Reloaded { .. } => (Notice, "ca1d84c87aa340c89071fdd92be85fc1"),
        Report::ReloadFailed { .. } => (Error, "7214ef56503841fb800233975414902a"),
        Report::ReloadAborted { .. } => (Notice, "e1b2bf81e3ca4944ab3c8532dec21bca"),
        Report::RolledBack { complete, .. } => {
            (if *complete { Notice } else { Error }, "9fd34f92b774474ca324f76c9b2ede95")
        }
        Report::ReloadRefused { .. } => (Error, "ffcb386d1a9a4877af75e5aa5ec2a8d9"),
        Report::ReloadSuperseded { .. } => (Notice, "8fa0aa540f2348ec8e232774d5f99c21"),
        Report::Escalating { .. } => (Error, "83be18106ec34e59944d30a476c9f096"),
        Report::Stopping { .. } => (Notice, "48b319529f0d490abbd1753481d03ad3"),
        Report::Stopped { code, .. } => {
            (if *code == 0 { Notice } else { Error }, "97512d4739f24fecb50811d11285ae2c")
        }
    }
}

fn with_fields(entry: Entry, report: &Report) -> Entry {
    match report {
        Report::Started { worker, slot, generation }
        | Report::Retiring { worker, slot, generation }
        | Report::RemainderKilled { worker, slot, generation }
        | Report::Unkillable { worker, slot, generation }
        | Report::StopRequested { worker, slot, generation } => {
            about(entry, *worker, *slot, *generation)
        }
        Report::Ready { worker, slot, generation, evidence, after } => {
            time(about(entry, *worker, *slot, *generation), *after)
                .with("HERDER_EVIDENCE", evidence)
        }
        Report::Ended { worker, slot, generation, exit, manner, lived, was_ready, why } => {
            let entry = time(about(entry, *worker, *slot, *generation), *lived)
                .with("HERDER_EXIT", exit_word(*exit))
                .with("HERDER_CAUSE", cause_word(*exit))
                .with("HERDER_MANNER", manner_word(*manner))
                .with("HERDER_WAS_READY", if *was_ready { "yes" } else { "no" });
            why.iter().fold(entry, |entry, why| entry.with("HERDER_REASON", why))
        }
        Report::TimedOut { worker, slot, generation, after, why } => {
            let entry = time(about(entry, *worker, *slot, *generation), *after);
            entry.with("HERDER_REASON", why.as_deref().unwrap_or("it did not send READY=1"))
        }
        Report::Killed { worker, slot, generation, after } => {
            time(about(entry, *worker, *slot, *generation), *after)
        }
        Report::Hung { worker, slot, generation, lived, why } => {
            let entry = time(about(entry, *worker, *slot, *generation), *lived);
            entry.with("HERDER_REASON", why)
        }
        Report::NotStarted { worker, slot, generation, why }
        | Report::NotRecycled { worker, slot, generation, why } => {
            about(entry, *worker, *slot, *generation).with("HERDER_REASON", why)
        }
        Report::OutOfMemory { worker, slot, generation, processes } => {
            about(entry, *worker, *slot, *generation).with("HERDER_PROCESSES", processes)
        }
        Report::Recycled { worker, slot, generation, by, why } => {
            about(entry, *worker, *slot, *generation)
                .with("HERDER_REPLACEMENT", by.0)
                .with("HERDER_CAUSE", wear_word(*why))
        }
        Report::BackingOff { slot, failures, delay } => {
            time(entry, *delay).with("HERDER_SLOT", slot.0).with("HERDER_FAILURES", failures)
        }
        Report::Serving { ready, wanted } => {
            entry.with("HERDER_READY", ready).with("HERDER_WANTED", wanted)
        }
        Report::Degraded { ready, wanted, why } => entry
            .with("HERDER_READY", ready)
            .with("HERDER_WANTED", wanted)
            .with("HERDER_REASON", why),
        Report::Recovered { wanted, after } => time(entry, *after).with("HERDER_WANTED", wanted),
        Report::Scaled { from, to } => {
            entry.with("HERDER_WANTED_BEFORE", from).with("HERDER_WANTED", to)
        }
        Report::Stalled { waiting, after } => time(entry, *after).with("HERDER_WAITING", waiting),
        Report::ProbeFails { failures, why } => {
            entry.with("HERDER_FAILURES", failures).with("HERDER_REASON", why)
        }
        Report::StallOver { after } | Report::ProbeRecovers { after } => time(entry, *after),
        Report::ScaledUp { from, to, waiting } => entry
            .with("HERDER_WANTED_BEFORE", from)
            .with("HERDER_WANTED", to)
            .with("HERDER_WAITING", waiting),
        Report::ScaledDown { from, to } => {
            entry.with("HERDER_WANTED_BEFORE", from).with("HERDER_WANTED", to)
        }
        Report::ScaleLimit { most, waiting } => {
            entry.with("HERDER_WANTED", most).with("HERDER_WAITING", waiting)
        }
        Report::LeavingIdle { after } => time(entry, *after),
        Report::ReloadStarted { from, to } => {
            entry.with("HERDER_GENERATION_BEFORE", from.0).with("HERDER_GENERATION", to.0)
        }
        Report::CanaryPassed { worker, slot, to } => about(entry, *worker, *slot, *to),
        Report::Reloaded { to, took } => time(entry, *took).with("HERDER_GENERATION", to.0),
        Report::ReloadFailed { to, reason } => {
            entry.with("HERDER_GENERATION", to.0).with("HERDER_REASON", reason)
        }
        Report::ReloadAborted { to } | Report::RolledBack { to, complete: _ } => {
            entry.with("HERDER_GENERATION", to.0)
        }
        Report::ReloadRefused { reason } => entry.with("HERDER_REASON", reason),
        Report::ReloadSuperseded { old, new } => {
            entry.with("HERDER_GENERATION_BEFORE", old.0).with("HERDER_GENERATION", new.0)
        }
        Report::Escalating { code, reason } => {
            entry.with("HERDER_CODE", code).with("HERDER_REASON", reason)
        }
        Report::Stopping { workers } => entry.with("HERDER_WORKERS", workers),
        Report::Stopped { code, took } => time(entry, *took).with("HERDER_CODE", code),
    }
}

/// What every entry about a worker has, and its pid besides: the history of a slot is a query for
/// HERDER_SLOT.
fn about(entry: Entry, worker: WorkerId, slot: SlotId, generation: Generation) -> Entry {
    entry
        .with("HERDER_SLOT", slot.0)
        .with("HERDER_WORKER", worker.0)
        .with("HERDER_GENERATION", generation.0)
}

/// How long it took, it lived, or it has to wait.
fn time(entry: Entry, span: Span) -> Entry {
    entry.with("HERDER_USEC", span.0)
}

/// `1`, `SIGKILL`
fn exit_word(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => code.to_string(),
        Exit::Signal { number, core: _ } => signal_name(number),
        Exit::OutOfMemory => "SIGKILL".to_owned(),
    }
}

/// What was the reason to replace a worker that served.
fn wear_word(wear: Wear) -> &'static str {
    match wear {
        Wear::Asked => "requested",
        Wear::Age { .. } => "max-age",
        Wear::Memory { .. } => "max-memory",
    }
}

/// As the control interface says it.
fn cause_word(exit: Exit) -> &'static str {
    match exit {
        Exit::Code(_) => "exited",
        Exit::Signal { core: false, .. } => "killed",
        Exit::Signal { core: true, .. } => "dumped",
        Exit::OutOfMemory => "out_of_memory",
    }
}

fn manner_word(manner: Manner) -> &'static str {
    match manner {
        Manner::Ordered => "ordered",
        Manner::BeforeReady => "before-ready",
        Manner::Young => "young",
        Manner::Crashed => "crashed",
        Manner::Retired => "retired",
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
