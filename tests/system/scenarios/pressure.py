# machine: vm
# systemd: 257
# seconds: 200
"""Workers are added while connections wait, but not if the only CPU is busy or memory is short, where they would not help."""

import os
import signal
import threading

from lab import SCRIPTS, Instance, contains, equal, expect, figures, group_of, install, wait_for
from load import get

ADDRESS, MOST = "127.0.0.1:8000", 16
START = f"""command = ["/usr/bin/python3", "-I", "-S", "{SCRIPTS}/workers/one.py"]
ready = "accepting"
workers = {{ min = 0, max = {MOST} }}
start-timeout = "5min"
idle-timeout = "2s"
"""


class Burst:
    """So many requests at once."""

    def __init__(self, clients, path):
        self.clients, self.path = clients, path
        self.answers, self.failures = [], []
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        try:
            self.answers.append(get(ADDRESS, self.path).status)
        except Exception as error:
            self.failures.append(repr(error))

    def expect_answers(self):
        for thread in self.threads:
            thread.join()
        equal(self.failures, [], "requests that failed")
        equal(self.answers, [200] * self.clients, "answers")


def at_rest():
    wait_for(lambda: web.report()["wanted"] == 0 and not web.workers(), "no worker is there", 120)


install()
web = Instance("web", START)
web.listen()
web.start()

# Requests that sleep need no CPU, so the pressure does not limit the number of workers.
burst = Burst(60, "/?2")
wait_for(lambda: web.report()["wanted"] == MOST, f"{MOST} workers are wanted", 60)
burst.expect_answers()
at_rest()

# One CPU is enough for a few workers.
web.configure(START.replace("min = 0", "min = 2"))
web.reload()
web.at_full_strength(2)
burst, most, status = Burst(30, "/burn?0.5"), 0, ""
while any(thread.is_alive() for thread in burst.threads):
    most = max(most, web.report()["wanted"])
    status = status if "CPUs are short" in status else web.status
burst.expect_answers()
contains(status, "connections wait: no more workers while CPUs are short")
print(f"measured: {most} workers where the CPU is what is short")
expect(most < MOST / 2, f"{most} workers were wanted for one CPU")

# The kernel slows a worker down, because it uses more memory than memory-high.
web.configure(f'{START}memory-high = "40M"\n')
web.reload()
at_rest()
hog = Burst(1, "/hold?200")
(victim,) = wait_for(web.workers, "a worker")
pressure = web.group() / "memory.pressure"


def percent():
    return float(pressure.read_text().split("avg10=")[1].split()[0])


wait_for(lambda: percent() > 30, "memory is short", 60)
burst = Burst(5, "/")
web.wait_for_status("connections wait: no more workers while memory is short", 60)
expect(percent() > 10, f"memory was short for {percent()} % of the time")
equal(web.report()["wanted"], 1, "workers that are wanted")
expect(figures(group_of(victim), "memory.events")["high"] > 0, "it was never above memory-high")
os.kill(victim, signal.SIGKILL)
burst.expect_answers()
hog.threads[0].join()
equal(hog.answers, [], "answers of a worker that was killed")

# When there is enough memory again, workers are added.
wait_for(lambda: percent() < 5, "memory is no longer short", 120)
burst = Burst(20, "/?1")
wait_for(lambda: web.report()["wanted"] > 1, "more than one worker is wanted", 60)
burst.expect_answers()
