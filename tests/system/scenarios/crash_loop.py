# seconds: 300
"""Workers that keep dying: herder gives up with 69, systemd restarts it, gives up too, and OnFailure= is told once."""

from lab import Instance, Release, contains, equal, install, run, wait_for, write
from load import connect, get

install()
write("/etc/systemd/system/told@.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo %i >> /run/told'\n")
Release.deploy("crash", "exit 3")
web = Instance("web", Release.settings + "workers = 2\n", service="[Unit]\nOnFailure=told@%i.service\n")
web.listen()
waiting = connect("127.0.0.1:8000")

web.wait_until("failed", seconds=200)
equal(web.show("ExecMainStatus"), "69", "herder's exit status")
said = web.messages()
contains(said, "status=69/UNAVAILABLE")
contains(said, "exited with status 3")
# Trap 14: with the figures of the shipped unit the limit is reached at all.
contains(said, "Start request repeated too quickly")
equal(said.count("status=69/UNAVAILABLE"), 8, "the number of runs, StartLimitBurst=")
# Trap 12: once, not at every run.
wait_for(lambda: open("/run/told").read() == "web\n", "OnFailure=, once")
# herder says how to recover, with the command that really does.
recover = f"systemctl reset-failed {web.socket} {web.service} && systemctl start {web.socket}"
contains(said, recover)
contains(web.status, "3")

# Trap 13: the connection that still waits fails the socket too, and the port is closed.
waiting.close()


def refused():
    try:
        connect("127.0.0.1:8000").close()
    except ConnectionRefusedError:
        return True


wait_for(refused, "the port is closed")
Release.deploy("good")
run("sh", "-c", recover)
equal(get("127.0.0.1:8000").body.split()[0], b"good", "an answer after the recovery")
equal(open("/run/told").read(), "web\n", "OnFailure=")
