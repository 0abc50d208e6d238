"""`systemctl stop` lets workers finish, tells each of them once, and leaves no process."""

import os

from lab import FILES, Instance, Release, WEB, alive, equal, expect, install, processes_of, systemctl, wait_for
from load import SlowRequest

install()
web = Instance("web", f'command = {WEB.split()!r}\nworkers = 3\nready = "notify"\n')
web.listen()
web.start()
workers = web.at_full_strength(3)
everything = processes_of(web.service)
expect(set(workers) < set(everything), "the workers are in the unit's cgroup")
request = SlowRequest(web, "127.0.0.1:8000", 4)
systemctl("stop", web.socket)
request.expect_answer()
equal(web.state, "inactive", "the service, which stops with its socket")
equal(web.show("Result"), "success", "its result")
equal([pid for pid in everything if alive(pid)], [], "processes left behind")
expect(not web.runtime.exists(), f"{web.runtime} is left behind")

# Trap 9: KillMode=mixed, so only herder tells them. Each of these notes every SIGTERM, and ends at the second, or after 2 s.
os.makedirs("/run/herder", exist_ok=True)
open("/run/herder/notes", "w").close()
os.chmod("/run/herder/notes", 0o666)
Release.deploy(
    "notes",
    "trap 'echo TERM >> /run/herder/notes; end=1' TERM\n"
    'while [ -z "$end" ]; do sleep 0.1; done; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done',
)
noting = Instance(
    "noting",
    Release.settings.replace('"notify"', '"alive"') + "workers = 3\n",
    listen=(),
    service="[Service]\nReadWritePaths=/run/herder\n",
)
noting.start()
noting.at_full_strength(3)
systemctl("stop", noting.service)
equal(open("/run/herder/notes").read().count("TERM"), 3, "SIGTERMs that three workers got")

# Workers that ignore SIGTERM, and their children, are killed when stop-timeout is over.
steps = [f"{FILES}/misbehave", "ignore-term", "grandchild", "ready"]
stubborn = Instance("stubborn", f'command = {steps!r}\nworkers = 2\nready = "notify"\nstop-timeout = "2s"\n', listen=())
stubborn.start()
stubborn.at_full_strength(2)
wait_for(lambda: len(processes_of(stubborn.service)) == 5, "two grandchildren")
everything = processes_of(stubborn.service)
systemctl("stop", stubborn.service)
equal(stubborn.show("Result"), "success", "the result")
equal([pid for pid in everything if alive(pid)], [], "processes left behind")

# Trap 25: a stop in the middle of a reload.
Release.deploy("good")
web = Instance("web", Release.settings + "workers = 3\n")
systemctl("start", web.service)
web.at_full_strength(3)
Release.deploy("hanging", "exec sleep 1000")
systemctl("reload", "--no-block", web.service)
wait_for(lambda: len(web.workers()) == 4, "the canary")
everything = processes_of(web.service)
systemctl("stop", web.service, seconds=20)
equal(web.show("Result"), "success", "the result")
equal([pid for pid in everything if alive(pid)], [], "processes left behind")
