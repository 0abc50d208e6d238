//! Made-up instances that look like real ones do on a day with some trouble.

use herder_wire::status::{
    Counters, Evidence, ExitCause, LastExit, PastReload, Phase, Progress, Socket, State, Status,
    Usage, Verdict, Worker, WorkerState,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MINUTE: u64 = 60_000_000;

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

/// Goes up and down between 0 and 1, differently for each seed.
fn wave(at: Duration, seed: u32) -> f64 {
    let turns = at.as_secs_f64() / 7.0 + f64::from(seed) * 0.37;
    0.5 + 0.5 * (turns * std::f64::consts::TAU).sin() * (turns * 2.3).cos()
}

/// All is well.
pub fn serving(at: Duration, slots: u32) -> Status {
    // As if seconds were tenths: pictures cannot wait.
    let waiting = (wave(at * 10, 1) * 40.0) as u64;
    Status {
        name: "web".to_owned(),
        pid: 731,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_usec: now() - 3 * 24 * 60 * MINUTE,
        generation: 7,
        state: State::Serving,
        status: format!("{slots}/{slots} ready, generation 7"),
        wanted: slots,
        min: slots,
        max: slots,
        ready: slots,
        starting: 0,
        draining: 0,
        sockets: vec![
            socket("web", Some("[::]:443"), "stream", Some((waiting, 4096)), Some(0)),
            socket("admin", Some("/run/web/admin.sock"), "stream", Some((0, 128)), None),
        ],
        stalled_since_usec: None,
        imbalance: Some(1.25),
        reload: None,
        set: Vec::new(),
        reloads: vec![PastReload {
            generation: Some(7),
            at_usec: now() - 190 * MINUTE,
            took_usec: Some(4_300_000),
            verdict: Verdict::Done,
            reason: None,
        }],
        counters: Counters {
            respawns: 2,
            crashes: 1,
            failures: 1,
            retired: 12,
            ..Counters::default()
        },
        usage: usage(0.004, 3 << 20, 1, 24),
        workers: (0..slots).map(|slot| worker(at, slot)).collect(),
    }
}

/// Some slots fail, one worker leaves, the queue is long and the last reload has failed.
pub fn degraded(at: Duration, slots: u32) -> Status {
    let mut status = serving(at, slots);
    status.state = State::Degraded;
    status.status = format!(
        "degraded {}/{slots}: slot 1 was killed by SIGSEGV five times, next try in 4 s",
        slots - 1
    );
    (status.ready, status.starting, status.draining) = (slots - 1, 1, 1);
    status.sockets[0].waiting = Some(2100 + (wave(at * 10, 3) * 1900.0) as u64);
    status.sockets[0].dropped = Some(17);
    status.reloads.insert(
        0,
        PastReload {
            generation: Some(8),
            at_usec: now() - 4 * MINUTE,
            took_usec: Some(2_100_000),
            verdict: Verdict::Failed,
            reason: Some("worker 45 (slot 0) exited with status 1 before it was ready".to_owned()),
        },
    );
    status.counters = Counters {
        respawns: 31,
        crashes: 9,
        failures: 22,
        oom_kills: 3,
        degraded_usec: 11 * MINUTE,
        ..status.counters
    };
    for worker in &mut status.workers {
        match worker.slot {
            1 => {
                worker.state = WorkerState::Starting;
                worker.evidence = None;
                worker.age_usec = 400_000;
                worker.respawns_of_slot = 22;
                worker.last_exit =
                    Some(exit(ExitCause::Dumped, "was killed by SIGSEGV, leaving a core"));
                worker.status = None;
            }
            2 => {
                worker.respawns_of_slot = 3;
                worker.last_exit =
                    Some(exit(ExitCause::OutOfMemory, "was killed for want of memory"));
                worker.oom_kills = Some(1);
            }
            slot if slot % 37 == 11 => {
                worker.respawns_of_slot = 1;
                worker.last_exit = Some(exit(ExitCause::Exited, "exited with status 1"));
            }
            _ => {}
        }
    }
    let leaving = Worker {
        id: 12,
        pid: Some(30_117),
        state: WorkerState::Draining,
        generation: 6,
        status: Some("finishing 3 requests".to_owned()),
        ..worker(at, 0)
    };
    status.workers.push(leaving);
    status
}

/// In the middle of a reload.
pub fn reloading(at: Duration, slots: u32) -> Status {
    let replaced = slots * 2 / 3;
    let mut status = serving(at, slots);
    status.state = State::Reloading;
    status.status = format!("reload {replaced}/{slots}");
    status.generation = 8;
    status.reload = Some(Progress {
        generation: 8,
        phase: Phase::Rolling,
        replaced,
        wanted: slots,
        started_at_usec: now() - 9_000_000,
    });
    for worker in &mut status.workers {
        if worker.slot < replaced {
            (worker.generation, worker.id) = (8, worker.id + u64::from(slots));
            worker.age_usec = 1_000_000 * u64::from(replaced - worker.slot);
        }
    }
    (status.starting, status.draining) = (1, 1);
    let starting = worker(at, replaced);
    status.workers.push(Worker {
        id: starting.id + u64::from(slots),
        pid: Some(52_001),
        state: WorkerState::Starting,
        generation: 8,
        evidence: None,
        diagnosis: None,
        age_usec: 300_000,
        status: None,
        ..starting
    });
    status
}

fn socket(
    name: &str,
    address: Option<&str>,
    kind: &str,
    queue: Option<(u64, u64)>,
    dropped: Option<u64>,
) -> Socket {
    Socket {
        name: name.to_owned(),
        address: address.map(str::to_owned),
        kind: kind.to_owned(),
        waiting: queue.map(|(waiting, _)| waiting),
        limit: queue.map(|(_, limit)| limit),
        dropped,
        slots: None,
        closed: false,
        changes: Vec::new(),
    }
}

fn usage(share: f64, memory: u64, tasks: u64, descriptors: u64) -> Usage {
    Usage {
        cpu_usec: Some((share * 3_600_000_000.0) as u64),
        cpu_share: Some(share),
        cpu_share_over_usec: Some(1_000_000),
        memory_bytes: Some(memory),
        memory_peak_bytes: Some(memory + memory / 3),
        tasks: Some(tasks),
        file_descriptors: Some(descriptors),
    }
}

fn worker(at: Duration, slot: u32) -> Worker {
    let load = wave(at, slot);
    Worker {
        id: u64::from(slot) + 40,
        slot,
        pid: Some(41_200 + slot * 3),
        state: WorkerState::Ready,
        generation: 7,
        evidence: Some(Evidence::Notified),
        diagnosis: None,
        age_usec: 190 * MINUTE - u64::from(slot) * 1_000_000,
        respawns_of_slot: 0,
        last_exit: None,
        usage: usage(load * load, (60 << 20) + (load * 90e6) as u64, 9, 40 + u64::from(slot % 7)),
        oom_kills: Some(0),
        cgroup: Some(format!(
            "system.slice/system-herder.slice/herder@web.service/worker-{}",
            slot + 40
        )),
        status: Some(format!("serving {} requests", (load * 9.0) as u32)),
    }
}

fn exit(cause: ExitCause, text: &str) -> LastExit {
    LastExit {
        text: text.to_owned(),
        cause,
        exit_status: (cause == ExitCause::Exited).then_some(1),
        signal: (cause != ExitCause::Exited).then(|| "SIGSEGV".to_owned()),
        at_usec: now() - 2 * MINUTE,
        lived_usec: 900_000,
        was_ready: false,
    }
}
