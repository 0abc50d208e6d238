# load: busy
"""A worker that is killed is replaced at once; only the requests that it was answering fail."""

import os
import signal

from lab import WEB, Instance, equal, expect, install, wait_for
from load import Load

CLIENTS, KILLS = 3, 5

install()
web = Instance("web", f'command = {WEB.split()!r}\nworkers = 4\nready = "notify"\nmin-lifetime = "100ms"\n')
web.listen()
web.start()
before = set(web.at_full_strength(4))
main = web.main_pid
with Load("127.0.0.1:8000", CLIENTS) as load:
    load.wait_until(1000)
    for _ in range(KILLS):
        victim = web.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: victim not in web.workers(), "the end of the victim")
        web.at_full_strength(4)
        load.more(500)
equal(web.main_pid, main, "herder's pid")
expect(len(before & set(web.workers())) < 4, "no worker was replaced")
# What the dead worker was answering is lost, and only that: a client has one request in flight.
expect(len(load.failures) <= KILLS * CLIENTS, f"{len(load.failures)} failures: {load.failures}")
expect(load.ok > 3000, f"only {load.ok} requests")
