"""The journal alone tells the history of each slot: each worker, from when to when it ran, how it ended, and its successor."""

import json
import os
import signal

from lab import WEB, Instance, alive, contains, equal, expect, install, journal, run, wait_for

install()
web = Instance("web", f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n')
web.listen()
web.start()

# What the test did: for each slot the workers in their order, each with its end.
lives = {0: [], 1: []}


def slots():
    """The ready workers, by slot."""
    web.at_full_strength(2)
    return {worker["slot"]: worker for worker in web.report()["workers"] if worker["state"] == "ready"}


def ends(slot, how):
    """Notes how the last worker of the slot has ended, and which one the slot has now."""
    pid = lives[slot][-1]["pid"]
    wait_for(lambda: not alive(pid), f"the end of {pid}")
    lives[slot][-1]["end"] = how
    arrived(slot)


def arrived(slot):
    worker = slots()[slot]
    lives[slot].append({name: worker[name] for name in ("id", "pid", "generation")})


for slot in lives:
    arrived(slot)
os.kill(lives[0][-1]["pid"], signal.SIGKILL)
ends(0, ("killed", "SIGKILL", "young"))
run("herder", "recycle", "web", "--slot", "1")
ends(1, ("exited", "0", "ordered"))
web.send(lives[1][-1]["pid"], "exit 3")
ends(1, ("exited", "3", "young"))
web.reload()
ends(0, ("exited", "0", "ordered"))
ends(1, ("exited", "0", "ordered"))
victim = next(worker for worker in web.report()["workers"] if worker["slot"] == 0)
run("herder", "stop-worker", "web", str(victim["id"]))
ends(0, ("exited", "0", "ordered"))
run("systemctl", "stop", web.service, web.socket)
for slot in lives:
    lives[slot][-1]["end"] = ("exited", "0", "ordered")

# Only the journal is read: entries in their order, by the fields that herder(8) lists.
lines = run("journalctl", "--unit", web.service, "--output=json", "--no-pager", quiet=True).stdout.splitlines()
entries = [entry for entry in map(json.loads, lines) if "HERDER_EVENT" in entry]
found = {}
for entry in entries:
    if "HERDER_WORKER" not in entry:
        continue
    workers = found.setdefault(int(entry["HERDER_SLOT"]), {})
    worker = workers.setdefault(int(entry["HERDER_WORKER"]), {"id": int(entry["HERDER_WORKER"])})
    event, at = entry["HERDER_EVENT"], int(entry["__MONOTONIC_TIMESTAMP"])
    if event == "worker_started":
        worker.update(pid=int(entry["HERDER_PID"]), generation=int(entry["HERDER_GENERATION"]), started=at)
    elif event == "worker_ready":
        worker.update(ready=at)
    elif event == "worker_ended":
        end = tuple(entry[f"HERDER_{name}"] for name in ("CAUSE", "EXIT", "MANNER"))
        equal(entry["HERDER_WAS_READY"], "yes", f"whether {worker} had been ready")
        # How long it lived, by herder's clock and by the journal's.
        lived = int(entry["HERDER_USEC"])
        expect(abs(at - worker["started"] - lived) < 500_000, f"{worker} lived {lived} us, the journal says otherwise")
        worker.update(end=end, ended=at)

for slot, wanted in lives.items():
    history = list(found[slot].values())
    print(f"slot {slot}: {history}")
    known = [{name: worker[name] for name in ("id", "pid", "generation", "end")} for worker in history]
    equal(known, wanted, f"the history of slot {slot}")
    for worker, after in zip(history, history[1:]):
        expect(worker["started"] < worker["ready"] < worker["ended"], f"the times of {worker}")
        # On request the new one is ready first, unless it was the worker itself that was to go.
        ordered = worker["end"][2] == "ordered" and worker["id"] != victim["id"]
        expect((after["ready"] < worker["ended"]) == ordered, f"{after} after {worker}")
replaced = [(entry["HERDER_WORKER"], entry["HERDER_REPLACEMENT"]) for entry in entries if "HERDER_REPLACEMENT" in entry]
equal(replaced, [(str(lives[1][0]["id"]), str(lives[1][1]["id"]))], "workers and their requested replacements")

# Each kind of entry is explained: what happened, and what to do.
kinds = {entry["HERDER_EVENT"]: entry["MESSAGE_ID"] for entry in entries}
equal(len(set(kinds.values())), len(kinds), "the number of MESSAGE_IDs")
for kind, identity in kinds.items():
    text = run("journalctl", "--dump-catalog", identity, quiet=True).stdout
    contains(text, "Defined-By: herder")
    expect(len(text.split("\n\n", 1)[1].split()) > 10, f"{kind} is hardly explained: {text}")
explained = run("journalctl", "--unit", web.service, "--catalog", "--no-pager", quiet=True).stdout
contains(explained, f"Worker {lives[0][0]['id']} of web has ended")
expect("@HERDER_" not in explained, "a field that an explanation names is missing in the entry")

# A stream for each worker: its lines bear its name and its pid, and the unit's, and herder's own bear herder's.
script = 'echo "hello from $HERDER_SLOT: $$"; echo "<3>alas" >&2; exec sleep 1000'
settings = f"""command = ["/bin/sh", "-c", {json.dumps(script)}]
workers = 2
ready = "exec"
sockets = []
syslog-identifier = "named/{{slot}}"
"""
named = Instance("named", settings, listen=())
named.start()
named.at_full_strength(2)
for worker in named.report()["workers"]:
    name, pid = f"named/{worker['slot']}", worker["pid"]
    said = wait_for(lambda: len(lines := journal(f"SYSLOG_IDENTIFIER={name}")) == 2 and lines, f"two lines of {name}")
    equal([line["MESSAGE"] for line in said], [f"hello from {worker['slot']}: {pid}", "alas"], f"what {name} said")
    equal({line["_PID"] for line in said}, {str(pid)}, f"the pid of {name}")
    equal({line["_SYSTEMD_UNIT"] for line in said}, {named.service}, f"the unit of {name}")
    equal(said[1]["PRIORITY"], "3", "the priority of a line that begins with <3>")
equal({entry["SYSLOG_IDENTIFIER"] for entry in named.events()}, {"herder"}, "the name of herder's own entries")
