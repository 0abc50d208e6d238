"""A journal that does not read: herder goes on respawning and reloading, and reports the loss later."""

import os
import signal

from lab import FILES, Instance, equal, install, journal, systemctl_value, wait_for
from load import get

install()
# Workers that write nothing themselves: their stdout is the journal's stream, which is none of herder's business.
web = Instance("web", f'command = ["{FILES}/listenfd-worker"]\nworkers = 3\nmin-lifetime = "10ms"\n')
web.listen()
web.start()
web.at_full_strength(3)
main = web.main_pid
journald = int(systemctl_value("systemd-journald.service", "MainPID"))
os.kill(journald, signal.SIGSTOP)
try:
    # Far more entries than the journal's socket takes.
    for _ in range(150):
        victim = web.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: victim not in web.workers() and len(web.workers()) == 3, "a replacement")
    web.at_full_strength(3)
    web.reload(seconds=60)
    equal(get("127.0.0.1:8000").status, 200, "an answer")
finally:
    os.kill(journald, signal.SIGCONT)
equal(web.main_pid, main, "herder's pid")
equal(web.show("NRestarts"), "0", "restarts")
victim = web.workers()[0]
os.kill(victim, signal.SIGKILL)
lost = wait_for(
    lambda: [entry["HERDER_LOST"] for entry in journal("--unit", web.service) if "HERDER_LOST" in entry],
    "herder says how many entries were lost",
)
print(f"lost, as herder says: {lost}")
