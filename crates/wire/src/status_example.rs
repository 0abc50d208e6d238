//! A made-up instance, for the tests of whatever shows a [`Status`].

use super::*;

/// An instance of `slots` workers that has seen every kind of value: slot 0 keeps failing, slot 1 is
/// just being replaced, the others serve.
pub fn example(slots: u32) -> Status {
    let mut workers: Vec<Worker> = (0..slots).map(worker).collect();
    if let Some(first) = workers.first_mut() {
        first.pid = None;
        first.state = WorkerState::Starting;
        first.evidence = None;
        first.diagnosis = Some("it listens on [::]:3000".to_owned());
        first.age_usec = 400_000;
        first.respawns_of_slot = 12;
        first.last_exit = Some(out_of_memory());
        first.usage = Usage::default();
        first.oom_kills = None;
        first.status = Some("evil\n\x1b[2J<script>alert(1)</script>".to_owned());
    }
    if slots > 1 {
        let leaving = Worker {
            id: 2,
            slot: 1,
            pid: Some(4002),
            state: WorkerState::Draining,
            generation: 2,
            age_usec: 3_723_400_000,
            ..worker(1)
        };
        workers.insert(2, leaving);
    }
    Status {
        name: "web".to_owned(),
        pid: 100,
        version: "0.1.0".to_owned(),
        started_at_usec: 1_795_420_000_000_000,
        generation: 3,
        state: State::Degraded,
        status: format!(
            "degraded {}/{slots}: slot 0 was killed for want of memory",
            slots.max(1) - 1
        ),
        wanted: slots,
        min: slots,
        max: slots,
        ready: slots.max(1) - 1,
        starting: slots.min(1),
        draining: u32::from(slots > 1),
        sockets: vec![
            Socket {
                name: "web".to_owned(),
                address: Some("[::]:80".to_owned()),
                kind: "stream".to_owned(),
                waiting: Some(17),
                limit: Some(4096),
                dropped: Some(3),
                slots: Some(vec![0, 1]),
                closed: false,
                changes: Vec::new(),
            },
            Socket {
                name: "admin".to_owned(),
                address: Some("/run/web/admin.sock".to_owned()),
                kind: "stream".to_owned(),
                waiting: Some(0),
                limit: Some(128),
                dropped: None,
                slots: None,
                closed: false,
                changes: vec![SocketChange {
                    kind: ChangeKind::Backlog,
                    harmful: true,
                    text: "the backlog of admin is 128 and was 4096".to_owned(),
                }],
            },
            Socket {
                name: "queue".to_owned(),
                address: None,
                kind: "fifo".to_owned(),
                waiting: None,
                limit: None,
                dropped: None,
                slots: None,
                closed: false,
                changes: Vec::new(),
            },
        ],
        stalled_since_usec: None,
        imbalance: Some(1.25),
        reload: None,
        set: vec![Changed {
            key: "stop-timeout".to_owned(),
            value: Some("\"2min\"".to_owned()),
            before: Some("\"30s\"".to_owned()),
        }],
        reloads: vec![reload(Some(4), Verdict::Failed), reload(Some(3), Verdict::Done)],
        counters: Counters {
            respawns: 12,
            crashes: 1,
            failures: 11,
            failed_to_start: 1,
            died_before_ready: 5,
            timed_out: 2,
            died_young: 3,
            hung: 0,
            stalled: 0,
            unfit: 0,
            retired: 4,
            recycled: 2,
            recycled_for_age: 0,
            recycled_for_memory: 1,
            oom_kills: 6,
            scale_ups: 0,
            scale_downs: 0,
            scale_limits: 0,
            reloads_done: 2,
            reloads_failed: 1,
            reloads_refused: 1,
            reloads_superseded: 0,
            degraded_usec: 61_500_000,
            notify_dropped: 0,
            notify_lost: 0,
            log_lost: 0,
        },
        usage: Usage {
            cpu_usec: Some(1_234_567),
            cpu_share: Some(0.002),
            cpu_share_over_usec: Some(1_000_000),
            memory_bytes: Some(2_400_000),
            memory_peak_bytes: Some(3_000_000),
            tasks: Some(1),
            file_descriptors: Some(40),
        },
        workers,
    }
}

fn worker(slot: u32) -> Worker {
    let id = u64::from(slot) + 100;
    Worker {
        id,
        slot,
        pid: Some(5000 + slot),
        state: WorkerState::Ready,
        generation: 3,
        evidence: Some(Evidence::Notified),
        diagnosis: None,
        age_usec: 61_000_000 + u64::from(slot) * 1_000_000,
        respawns_of_slot: 0,
        last_exit: None,
        usage: Usage {
            cpu_usec: Some(u64::from(slot + 1) * 1_500_000),
            cpu_share: Some(f64::from(slot % 20) / 20.0),
            cpu_share_over_usec: Some(1_000_000),
            memory_bytes: Some(u64::from(slot + 1) * 10_000_000),
            memory_peak_bytes: Some(u64::from(slot + 1) * 12_000_000),
            tasks: Some(4),
            file_descriptors: Some(12),
        },
        oom_kills: Some(0),
        cgroup: Some(format!("system.slice/herder@web.service/worker-{id}")),
        status: Some(format!("{} requests", slot * 10)),
    }
}

fn out_of_memory() -> LastExit {
    LastExit {
        text: "was killed for want of memory".to_owned(),
        cause: ExitCause::OutOfMemory,
        exit_status: None,
        signal: Some("SIGKILL".to_owned()),
        at_usec: 1_795_420_740_000_000,
        lived_usec: 20_000_000,
        was_ready: true,
    }
}

fn reload(generation: Option<u64>, verdict: Verdict) -> PastReload {
    PastReload {
        generation,
        at_usec: 1_795_420_740_000_000,
        took_usec: Some(1_500_000),
        verdict,
        reason: (verdict != Verdict::Done).then(|| "worker 9 exited with status 1".to_owned()),
    }
}
