# load: busy
"""A hung worker, stopped or spinning, is aborted and replaced in time under load; a healthy one never is, even if herder is stopped."""

import os
import signal
import time

from lab import SLOWNESS, WEB, Instance, equal, expect, install, systemctl, wait_for
from load import Load

HUNG = "ae0dfca17eea4689bf173810663dcfd8"
CLIENTS, WATCHDOG = 3, 2 * SLOWNESS
# A late ping has a moment more (herder(8)); and a busy machine needs time to start a worker.
LIMIT = WATCHDOG + 1 + 2 * SLOWNESS

install()
web = Instance(
    "web",
    f"""command = {WEB.split()!r}
workers = 4
ready = "notify"
watchdog = "{WATCHDOG}s"
stop-timeout = "3s"
min-lifetime = "100ms"
""",
)
web.listen()
web.start()
first = set(web.at_full_strength(4))


def replaced(victim, since, how):
    """When another serves in its place, in seconds since it was made to hang."""
    about = web.worker(victim)
    slot, worker = about["slot"], about["id"]

    def successor():
        workers = web.report()["workers"]
        return any(w["slot"] == slot and w["id"] > worker and w["state"] == "ready" for w in workers)

    wait_for(successor, f"a replacement for {victim}", seconds=LIMIT + 10)
    took = time.monotonic() - since
    print(f"measured: a {how} worker is replaced after {took:.2f} s, with a watchdog of {WATCHDOG} s")
    expect(WATCHDOG / 2 - 0.1 < took < LIMIT, f"replaced after {took} s, with a watchdog of {WATCHDOG} s")
    hung = wait_for(lambda: web.events("worker_hung", worker=worker), "the entry about it")
    equal([entry["MESSAGE_ID"] for entry in hung], [HUNG], "how often it is said to hang")
    ended = wait_for(lambda: web.events("worker_ended", worker=worker), "the entry about its end")
    return hung[0], ended[0]


with Load("127.0.0.1:8000", CLIENTS) as load:
    load.more(200)
    # Stopped: it feels SIGABRT all the same.
    victim = web.workers()[0]
    begin = time.monotonic()
    os.kill(victim, signal.SIGSTOP)
    hung, ended = replaced(victim, begin, "stopped")
    equal(hung["HERDER_REASON"], f"no WATCHDOG=1 for {WATCHDOG}s", "why it is said to hang")
    equal((ended["HERDER_EXIT"], ended["HERDER_MANNER"]), ("SIGABRT", "ordered"), "how it ended")
    load.more(200)

    # Spinning, in the loop that should ping.
    victim = web.workers()[1]
    web.send(victim, "burn 600")
    hung, ended = replaced(victim, time.monotonic(), "spinning")
    equal((ended["HERDER_EXIT"], ended["HERDER_MANNER"]), ("SIGABRT", "ordered"), "how it ended")
    load.more(200)
# Only what the stopped worker had accepted is lost: a client has one request in flight.
expect(len(load.failures) <= CLIENTS, f"{len(load.failures)} failures: {load.failures}")
equal(len(first - set(web.workers())), 2, "workers that were replaced")

report = web.report()
counters = report["counters"]
equal((counters["hung"], counters["respawns"]), (2, 2), "hung workers and respawns")
equal((counters["crashes"], counters["failures"]), (0, 0), "crashes and failures")
exits = [worker["lastExit"]["text"] for worker in report["workers"] if worker["lastExit"]]
equal(exits, [f"hung: no WATCHDOG=1 for {WATCHDOG}s"] * 2, "the last exits")
equal(web.metric("herder_worker_hung_total"), 2, "hung workers in the metrics")

# herder stopped, and the whole unit frozen, for longer than the watchdog: no worker is aborted for that.
before = web.workers()
for stop, go in [
    (lambda: os.kill(web.main_pid, signal.SIGSTOP), lambda: os.kill(web.main_pid, signal.SIGCONT)),
    (lambda: systemctl("freeze", web.service), lambda: systemctl("thaw", web.service)),
]:
    stop()
    # This is about the time for which it is stopped; herder's own watchdog is longer.
    time.sleep(3 * WATCHDOG)
    go()
    end = time.monotonic() + 3 * WATCHDOG
    wait_for(lambda: time.monotonic() > end, "three intervals more", seconds=4 * WATCHDOG)
    equal(web.workers(), before, "the workers after a standstill")
equal(web.report()["counters"]["hung"], 2, "hung workers after all")
equal(web.show("NRestarts"), "0", "restarts of the service")
