"""Trap 8: a start, a reload and a drain that take longer than systemd's timeouts, but make progress, are not interrupted."""

from lab import WEB, Instance, Release, equal, install, systemctl
from load import SlowRequest

install()
Release.deploy("slow", f"sleep 4; exec {WEB}")
LIMITS = "[Service]\nTimeoutStartSec=6\nTimeoutStopSec=6\n"
web = Instance("web", Release.settings + 'workers = 3\nmax-starting = 1\nstop-timeout = "20s"\n', service=LIMITS)
web.listen()
web.start()
web.at_full_strength(3)
web.reload()
web.wait_for_status("generation 2")
equal(web.show("NRestarts"), "0", "restarts")

request = SlowRequest(web, "127.0.0.1:8000", 12)
systemctl("stop", web.service, web.socket)
request.expect_answer()
equal(web.show("Result"), "success", "the result")
