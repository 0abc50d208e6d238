"""The package: its units are clean, its examples work as shipped, and purging it leaves nothing."""

import pathlib
import socket
import subprocess

from lab import FILES, SYSTEMD, WEB, Instance, contains, equal, expect, install, messages, run, systemctl, wait_for, write
from load import get

IGNORED = (
    "/var/lib/dpkg",
    "/var/log",
    "/var/cache",
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/tmp",
    "/var/tmp",
    str(FILES),
    "/root",
    "/var/lib/systemd/catalog",
    "/var/lib/private",
    "/var/lib/systemd/timers",
    "/etc/.pwd.lock",
)


def everything():
    prune = [word for path in IGNORED for word in ("-path", path, "-prune", "-o")]
    return set(subprocess.check_output(["find", "/", *prune, "-print"], text=True).splitlines())


before = everything()
install()
EXAMPLES = pathlib.Path("/usr/share/doc/herder/examples")

# The manual's steps: the example drop-ins with the name filled in, then enable.
for example, to in {
    "listen.conf": "herder@NAME.socket.d/listen.conf",
    "service.conf": "herder@NAME.service.d/service.conf",
    "admin.socket": "NAME-admin.socket",
}.items():
    write("/etc/systemd/system/" + to.replace("NAME", "site"), (EXAMPLES / example).read_text().replace("NAME", "site"))
# More restarts than a person would make in ten seconds.
for unit in ("socket", "service"):
    write(f"/etc/systemd/system/herder@site.{unit}.d/limit.conf", "[Unit]\nStartLimitIntervalSec=0\n")
site = Instance("site", f"command = {WEB.split()!r}\nworkers = 2\n", listen=())

# Nothing to complain about but keys that 252 does not know, and the manual pages of systemd, which these machines lack.
verified = run(
    "systemd-analyze",
    "verify",
    site.service,
    site.socket,
    "herder-rearm@site.service",
    "site-admin.socket",
    check=False,
).stdout
newer = ("RestartSteps", "RestartMaxDelaySec", "RestartMode", "DelegateSubgroup")
known = [f"Unknown key '{key}'" for key in newer] if SYSTEMD < 254 else []
complaints = [
    line for line in verified.splitlines() if "Command 'man" not in line and not any(key in line for key in known)
]
equal(complaints, [], "complaints of systemd-analyze verify")
# Trap 4: an unknown Type= would have become simple.
equal((site.show("Type"), site.show("CanReload")), ("notify", "yes"), "the type, and whether it can reload")
security = run("systemd-analyze", "security", "--no-pager", site.service, quiet=True).stdout.strip().splitlines()[-1]
expect(float(security.split(": ")[1].split()[0]) <= 2.5, security)

systemctl("enable", "--now", site.service, "site-admin.socket")
equal(get("127.0.0.1:8080").status, 200, "an answer on the address of the example")
equal(get("/run/site-admin.sock").status, 200, "an answer on the second socket")
site.at_full_strength(2)
run("herder", "status", "site")

# An instance without sockets works; masking its socket unit keeps systemd from saying at each load that it is empty.
queue = Instance("queue", f"command = {WEB.split()!r}\nworkers = 1\nsockets = []\n", listen=())
queue.start()
queue.at_full_strength(1)
systemctl("stop", queue.service)
systemctl("mask", queue.socket)
said = len(messages("--unit", queue.socket))
systemctl("enable", "--now", queue.service)
queue.at_full_strength(1)
equal(len(messages("--unit", queue.socket)), said, "the length of what systemd says about a masked socket")


def is_free():
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8080))
        except OSError:
            return False
        return True


def restart(*units):
    """Once more if the address was still in use: systemd 257 removes the directories of PrivateTmp= in a forked process, which
    for a moment holds copies of its sockets (2 restarts in 120, more on a busy host; none without PrivateTmp=, none on 252).
    Stopping the service forks another, so it is waited for its end."""
    if systemctl("restart", *units, check=False).returncode != 0:
        contains(messages("--unit", site.socket), "Address already in use")
        systemctl("stop", site.service, site.socket)
        wait_for(is_free, "the address is free")
        systemctl("start", site.socket, site.service)


# Trap 24: the socket, the service and both can be restarted, in any order of words.
for units in ([site.socket], [site.service], [site.service, site.socket], [site.socket, site.service]):
    restart(*units)
    equal(get("127.0.0.1:8080").status, 200, f"an answer after the restart of {units}")

# journalctl -x knows the entries of herder.
contains(
    run("journalctl", "--catalog", "--boot", "--no-pager", "--unit", site.service, quiet=True).stdout,
    "Defined-By: herder",
)
expect(
    any("herder" in line for line in run("journalctl", "--list-catalog", quiet=True).stdout.splitlines()),
    "no entry of herder in the catalog",
)

# Installing it again, as an upgrade does, touches no running instance.
site.wait_until("active")
main = site.main_pid
install()
equal(site.main_pid, main, "herder's pid after an upgrade")
site.reload()

run("dpkg", "--purge", "herder")
equal([site.state, queue.state], ["inactive", "inactive"], "the instances after the package was removed")
for path in (
    "/etc/systemd/system/herder@site.socket.d",
    "/etc/systemd/system/herder@site.service.d",
    "/etc/systemd/system/site-admin.socket",
    "/etc/herder",
):
    run("rm", "-r", path)
systemctl("disable", "site-admin.socket", check=False)
run("find", "/etc/systemd/system", "-name", "*site-admin.socket", "-delete")
run("find", "/etc/systemd/system", "-type", "d", "-empty", "-delete")
left = {path for path in everything() - before if "__pycache__" not in path}
equal(sorted(left), [], "what the package left behind")
