"""A herder that hangs is ended and restarted by systemd's watchdog; one that starts or drains for long is not."""

import os
import signal

from lab import WEB, Instance, Release, alive, equal, expect, install, processes_of, systemctl, wait_for
from load import SlowRequest, get

install()
web = Instance("web", f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n')
web.listen()
web.start()
web.at_full_strength(2)
hung, everything = web.main_pid, processes_of(web.service)
os.kill(hung, signal.SIGSTOP)
# WatchdogSec= as shipped, 30 s; then TimeoutAbortSec= for a process that, stopped, cannot even abort.
wait_for(lambda: web.main_pid not in (0, hung) and web.state == "active", "herder is restarted", seconds=60)
expect(
    "Result=watchdog" in systemctl("show", web.service, "--property=Result").stdout or "watchdog" in web.messages(),
    "the watchdog did it",
)
# Trap 10: none of the old processes is left beside the new ones.
equal([pid for pid in everything if alive(pid)], [], "processes left behind")
web.at_full_strength(2)
equal(get("127.0.0.1:8000").status, 200, "an answer from the new workers")
equal(web.show("NRestarts"), "1", "restarts")

# Trap 11: no ping before READY=1, none after STOPPING=1. A start and a drain of more than twice WatchdogSec= go well.
Release.deploy("slow", f"sleep 4; exec {WEB}")
slow = Instance(
    "slow", Release.settings + "workers = 1\n", listen=("127.0.0.1:8001",), service="[Service]\nWatchdogSec=2\n"
)
slow.listen()
slow.start()
slow.at_full_strength(1)
request = SlowRequest(slow, "127.0.0.1:8001", 5)
systemctl("stop", slow.service, slow.socket)
request.expect_answer()
equal(slow.show("Result"), "success", "the result")
equal(slow.show("NRestarts"), "0", "restarts")
