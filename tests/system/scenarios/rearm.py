# seconds: 240
"""herder-rearm@, which is off by default, opens the port of a failed instance again."""

import threading

from lab import Instance, Release, contains, install, run, wait_for
from load import get

install()
Release.deploy("crash", "exit 3")
# Few restarts, to be there sooner; everything else as shipped.
web = Instance(
    "web", Release.settings + "workers = 1\n", service="[Unit]\nOnFailure=herder-rearm@%i.service\nStartLimitBurst=2\n"
)
web.listen()


def visit():
    try:
        return get("127.0.0.1:8000").body
    except OSError:
        return None


def visit_until_closed():
    visit()
    return run("systemctl", "is-failed", web.socket, check=False).returncode == 0


threading.Thread(target=visit, daemon=True).start()
web.wait_until("failed", seconds=100)
wait_for(visit_until_closed, "the socket fails")
Release.deploy("good")
wait_for(lambda: (visit() or b"").startswith(b"good"), "an answer, without help of an operator", seconds=100)
contains(run("systemctl", "status", web.socket).stdout, "active (running)")
