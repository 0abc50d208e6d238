"""`systemctl stop` lets workers finish, tells each of them once, and leaves no process."""

import pathlib

from lab import (
    FILES,
    SCRIPTS,
    WEB,
    Instance,
    Release,
    alive,
    equal,
    expect,
    install,
    processes_of,
    systemctl,
    wait_for,
    write,
)
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

# Trap 9: KillMode=mixed, so only herder sends SIGTERM to workers, and to each of them once.
notes = pathlib.Path("/run/notes")
write(notes, "", mode=0o666)
command = ["/usr/bin/python3", f"{SCRIPTS}/workers/note_sigterm.py", str(notes)]
noting = Instance(
    "noting",
    f'command = {command!r}\nworkers = 3\nready = "notify"\n',
    listen=(),
    service=f"[Service]\nReadWritePaths={notes}\n",
)
noting.start()
noting.at_full_strength(3)
main = noting.main_pid
systemctl("stop", noting.service)
equal(notes.read_text().split(), [str(main)] * 3, "the senders of SIGTERM to the three workers")

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
