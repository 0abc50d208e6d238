//! Made-up instances.

use herder_wire::host::Host;
use herder_wire::status::Status;
use serde_json::{Value, json};

/// What a worker says that would like to be more than text.
pub const EVIL: &str =
    "<script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">";

/// An instance in which slot 0 keeps failing, slot 1 is just being replaced, and the others serve.
pub fn status(name: &str, slots: u32) -> Status {
    let mut workers: Vec<Value> = (0..slots).map(worker).collect();
    workers[0] = json!({
        "id": 99, "slot": 0, "pid": null, "state": "starting", "generation": 3, "evidence": null,
        "ageUSec": 400_000, "respawnsOfSlot": 12, "usage": {}, "oomKills": null, "cgroup": null,
        "status": EVIL,
        "lastExit": {
            "text": "was killed for want of memory", "cause": "out_of_memory", "exitStatus": null,
            "signal": "SIGKILL", "atUSec": 1_795_420_740_000_000_u64, "livedUSec": 20_000_000, "wasReady": true,
        },
    });
    if slots > 1 {
        let mut leaving = worker(1);
        leaving["id"] = json!(2);
        leaving["state"] = json!("draining");
        leaving["generation"] = json!(2);
        workers.push(leaving);
    }
    let serving = slots - 1;
    let counters = json!({
        "respawns": 12, "crashes": 1, "failures": 11, "failedToStart": 1, "diedBeforeReady": 5, "timedOut": 2,
        "diedYoung": 3, "hung": 0, "stalled": 0, "unfit": 0, "retired": 4, "recycled": 2, "recycledForAge": 0, "recycledForMemory": 1, "oomKills": 6, "scaleUps": 0, "scaleDowns": 0, "scaleLimits": 0, "reloadsDone": 2, "reloadsFailed": 1,
        "reloadsRefused": 1, "reloadsSuperseded": 0, "degradedUSec": 61_500_000, "notifyDropped": 0,
        "notifyLost": 0, "logLost": 0,
    });
    serde_json::from_value(json!({
        "name": name, "pid": 100, "version": "0.1.0", "startedAtUSec": 1_795_420_000_000_000_u64, "generation": 3,
        "state": "degraded", "status": format!("degraded {serving}/{slots}: slot 0 was killed for want of memory"),
        "wanted": slots, "min": slots, "max": slots, "ready": serving, "starting": 1, "draining": u32::from(slots > 1),
        "sockets": [
            {"name": "web", "address": "[::]:80", "kind": "stream", "waiting": 17, "limit": 4096, "dropped": 3, "slots": [0, 1], "changes": []},
            {"name": "admin", "address": "/run/web/admin.sock", "kind": "stream", "waiting": 120, "limit": 128, "dropped": null, "changes": []},
            {"name": "queue", "address": null, "kind": "fifo", "waiting": null, "limit": null, "dropped": null, "changes": []},
        ],
        "imbalance": 1.25,
        "reload": null,
        "set": [],
        "reloads": [
            {"generation": 4, "atUSec": 1_795_420_740_000_000_u64, "tookUSec": 1_500_000, "verdict": "failed",
             "reason": "worker 9 (slot 0) exited with status 1 before it was ready"},
            {"generation": 3, "atUSec": 1_795_420_640_000_000_u64, "tookUSec": 12_400_000, "verdict": "done", "reason": null},
            {"generation": null, "atUSec": 1_795_420_540_000_000_u64, "tookUSec": null, "verdict": "refused",
             "reason": "/etc/herder/web.toml:3:1: unknown key `wrokers`"},
        ],
        "counters": counters,
        "usage": {"cpuUSec": 1_234_567, "cpuShare": 0.002, "cpuShareOverUSec": 1_000_000, "memoryBytes": 2_400_000, "memoryPeakBytes": 3_000_000,
                  "tasks": 1, "fileDescriptors": 40},
        "workers": workers,
    }))
    .unwrap()
}

/// Worker 100 + slot; the busier, the higher its slot.
fn worker(slot: u32) -> Value {
    let share = f64::from(slot % 100) / 100.0;
    json!({
        "id": slot + 100, "slot": slot, "pid": slot + 5000, "state": "ready", "generation": 3, "evidence": "notified",
        "ageUSec": (u64::from(slot) + 61) * 1_000_000, "respawnsOfSlot": 0, "lastExit": null,
        "usage": {
            "cpuUSec": (slot + 1) * 1_500_000, "cpuShare": share, "cpuShareOverUSec": 1_000_000, "memoryBytes": (u64::from(slot) % 40 + 5) * 4_000_000,
            "memoryPeakBytes": (u64::from(slot) % 40 + 8) * 4_000_000, "tasks": 4, "fileDescriptors": 12,
        },
        "oomKills": 0, "cgroup": null, "status": format!("{} requests", slot * 10),
    })
}

/// As `/status.json` says it.
pub fn json(host: &Host) -> String {
    serde_json::to_string(host).unwrap()
}
