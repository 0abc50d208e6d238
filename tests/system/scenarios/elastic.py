# machine: container
# seconds: 300
"""The number of workers goes from none to the maximum and back several times, and herder itself exits and is started again:
every request is answered, whenever it arrives."""

import random
import threading
import time

from lab import SCRIPTS, Instance, contains, equal, expect, install, run, systemctl, systemctl_value, wait_for
from load import get

ADDRESS = "127.0.0.1:8000"
COMMAND = f'command = ["/usr/bin/python3", "{SCRIPTS}/workers/one.py"]\nready = "accepting"\n'
MOST = 16

install()
web = Instance("web", f'{COMMAND}workers = {{ min = 0, max = {MOST} }}\nidle-timeout = "2s"\n')
web.listen()
web.start()
equal(web.status, "no worker needed, generation 1", "the status at rest")
equal(web.workers(), [], "workers at rest")


def at_rest():
    wait_for(lambda: web.report()["wanted"] == 0 and not web.workers(), "no worker is there", 90)


def burst(clients, seconds):
    """Sends this many requests at once, and returns the worker that answered each of them."""
    answers, failures = [], []

    def client():
        try:
            answers.append(int(get(ADDRESS, f"/?{seconds}").body))
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    most = wait_for(lambda: (wanted := web.report()["wanted"]) == MOST and wanted, f"{MOST} workers are wanted", 60)
    for thread in threads:
        thread.join()
    equal(failures, [], "requests that failed")
    equal(len(answers), clients, "answers")
    return most, len(set(answers))


for round in range(2):
    most, served = burst(400, 0.2)
    print(f"measured: {most} workers wanted, {served} served")
    expect(served > MOST / 2, f"only {served} workers served")
    at_rest()
    web.wait_for_status("no worker needed, generation 1")
counters = web.report()["counters"]
print(counters)
equal(counters["scaleDowns"], 2 * MOST, "steps down")
for bad in ("crashes", "failures", "respawns"):
    equal(counters[bad], 0, bad)
expect(web.events("scaled_up") and web.events("scaled_down") and web.events("scale_limit"), "no entries about scaling")

# herder itself exits and is started again. `herder check` warns of the start limit of the shipped unit.
web.configure(f'{COMMAND}workers = {{ min = 0, max = 2 }}\nidle-timeout = "200ms"\nexit-idle-time = "300ms"\n')
contains(run("herder", "check", str(web.file)).stdout, "systemd allows that: NO, herder@web.service may be started 8 times")
web.drop_in(web.service, "[Unit]\nStartLimitIntervalSec=0\n")
systemctl("daemon-reload")
expect("systemd allows" not in run("herder", "check", str(web.file)).stdout, "the limit is off, and check does not see it")
systemctl("stop", web.service)
web.listen()

# Connections arrive just before, while and just after the last worker, and then herder, exits.
lives, asked = set(), 0
random.seed(web.main_pid + time.time_ns())
began = time.monotonic()
# On a busy machine herder takes longer to exit.
while asked < 40 or len(lives) < 8:
    equal(get(ADDRESS, "/").status, 200, "status")
    asked += 1
    lives.add(web.show("InvocationID"))
    expect(asked < 200, f"herder was started only {len(lives)} times")
    time.sleep(random.uniform(0.3, 1.2))
print(f"measured: {len(lives)} lives of herder with {asked} connections, {time.monotonic() - began:.0f} s")
web.wait_until("inactive")
equal(web.show("Result"), "success", "how it ended")
equal(web.show("NRestarts"), "0", "restarts")
equal(systemctl_value(web.socket, "ActiveState"), "active", "the socket")
status = systemctl("status", web.service, check=False).stdout
contains(status, "TriggeredBy: ● herder@web.socket")
contains(status, "inactive (dead)")
contains(status, 'Status: "nothing to do until the next connection"')
contains(web.messages(), "nothing to do for 300ms")

# Many connections at once, just after herder has exited.
for _ in range(5):
    web.wait_until("inactive")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(get(ADDRESS, "/?0.01").status)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(answers, [200] * 20, "answers")
