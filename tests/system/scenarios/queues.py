# seconds: 1500
# load: busy
"""Each worker has its own accept queue, which systemd and herder hold open: event loops share the load evenly, and of those
killed nothing is lost but what they had accepted."""

import shutil
import time

from lab import SCRIPTS, SYSTEMD, Instance, equal, expect, install, run, systemctl, wait_for
from storm import Storm, kill_many, spread

WORKERS, CONNECTIONS = 4, 20_000
# They take long, and systemd has no part in them.
KILLS = 2_000 if SYSTEMD >= 257 else 300
ADDRESS = ("127.0.0.1", 8000)


def instance(name, queues, sockets):
    command = ["/usr/bin/python3", "-I", "-S", f"{SCRIPTS}/workers/loop.py", f"/run/herder/{name}"]
    settings = f'command = {command!r}\nworkers = {WORKERS}\nready = "notify"\nqueues = "{queues}"\n'
    settings += 'min-lifetime = "1ms"\ncrash-limit.burst = 1000\n'
    port = "127.0.0.1:8000"
    new = Instance(name, settings, listen=(port,) * sockets, socket="ReusePort=yes\n" if sockets > 1 else "")
    new.listen()
    new.start()
    new.at_full_strength(WORKERS)
    return new


def distribution():
    with Storm(ADDRESS) as storm:
        wait_for(lambda: storm.answered >= CONNECTIONS, f"{CONNECTIONS} answers", 240)
    equal(storm.failures, {}, "failures")
    return spread(storm.slots, WORKERS)


install()
shared = instance("shared", "shared", 1)
uneven = distribution()
systemctl("stop", shared.socket, shared.service)

web = instance("web", "per-worker", WORKERS)
even = distribution()
print(f"measured: max/mean of {CONNECTIONS} connections to {WORKERS} event loops: {uneven:.3f} shared, {even:.3f} per-worker")
expect(even <= 1.1, f"max/mean {even}")
slots = [socket["slots"] for socket in web.report()["sockets"]]
equal(slots, [[slot] for slot in range(WORKERS)], "the slots of the sockets")

# The replacement of a killed worker serves the queue that it leaves.
with Storm(ADDRESS, pause=0.002) as storm:
    wait_for(lambda: storm.answered > 100, "the first answers")
    began = time.monotonic()
    kill_many(web.workers, web.runtime, KILLS, 900)
    took = time.monotonic() - began
    before = storm.answered
    wait_for(lambda: storm.answered > before + 500, "answers after the last kill", 60)
lost = storm.never_accepted(web.runtime)
print(f"measured: {KILLS} workers killed in {took:.0f} s: {storm.answered} connections answered, {len(storm.failures)} lost that a worker had accepted")
equal(lost, {}, "lost connections that no worker had accepted")
equal(len(storm.slots), WORKERS, "slots that answered")

# Fewer workers, more, others, none for a while: nothing is lost at all.
web.at_full_strength(WORKERS)
with Storm(ADDRESS, pause=0.01) as storm:
    wait_for(lambda: storm.answered > 100, "the first answers")
    run("herder", "scale", "web", "3")
    equal(len(web.workers()), 3, "workers")
    before = storm.answered
    wait_for(lambda: storm.answered > before + 200, "answers from three")
    run("herder", "scale", "web", "4")
    web.reload()
    systemctl("restart", web.service)
    before = storm.answered
    wait_for(lambda: storm.answered > before + 200, "answers after the restart", 60)
equal(storm.failures, {}, "failures")

# What is missing is said with what to write.
systemctl("stop", web.socket, web.service)
shutil.rmtree(f"/etc/systemd/system/{web.socket}.d")
web.drop_in(web.socket, "[Socket]\nListenStream=127.0.0.1:8000\n")
systemctl("daemon-reload")
web.listen()
expect(web.start(check=False).returncode != 0, "one socket is enough for queues of one's own")
advice = next(line for line in web.messages().splitlines() if "have systemd make one for each" in line)
command = advice.split(": d=", 1)[1]
run("/bin/sh", "-c", f"systemctl reset-failed {web.socket} {web.service}; d={command}")
web.start()
web.at_full_strength(WORKERS)
equal(len(web.report()["sockets"]), WORKERS, "sockets after following the advice")
