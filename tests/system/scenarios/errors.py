"""Mistakes that herder finds before a worker runs: a clear message, exit status 78, and no endless restarts."""

import os

from lab import WEB, Instance, contains, equal, expect, install, messages, run, systemctl, wait_for, write
from load import connect, get

install()
COMMAND = f"command = {WEB.split()!r}\nworkers = 1\n"


def fails_with_78(instance, *reasons):
    expect(instance.start(check=False).returncode != 0, f"{instance.service} started")
    equal((instance.state, instance.show("ExecMainStatus")), ("failed", "78"), f"the end of {instance.service}")
    # RestartPreventExitStatus=: trying again does not help.
    equal(instance.show("NRestarts"), "0", "restarts")
    for reason in reasons:
        contains(instance.messages(), reason)
    # `systemctl status`, where an operator looks first, says the same.
    contains(systemctl("status", instance.service, check=False).stdout, reasons[0])


# A service that was started without its socket, which its settings demand.
fails_with_78(Instance("lonely", COMMAND + 'sockets = ["lonely"]\n', listen=()), "systemctl start herder@lonely.socket")

# A socket with Accept=yes: a connection in place of a listener.
SERVICE = """[Service]
Type=notify
RuntimeDirectory=herder/one
ExecStart=/usr/bin/herder run /etc/herder/one-connection.toml
"""
write("/etc/herder/one-connection.toml", COMMAND)
write("/etc/systemd/system/one-connection@.service", SERVICE)
write("/etc/systemd/system/one-connection.socket", "[Socket]\nListenStream=127.0.0.1:8002\nAccept=yes\n")
systemctl("daemon-reload")
systemctl("start", "one-connection.socket")
with connect("127.0.0.1:8002"):
    wait_for(lambda: "Accept=no" in messages("--identifier", "herder"), "herder says what to change about Accept=yes")

# An unknown key, with a suggestion and the place.
fails_with_78(Instance("typo", COMMAND + "worker = 3\n", listen=()), "did you mean", "/etc/herder/typo.toml:3:")
# No settings, and a command that is not there or cannot be executed.
missing = Instance("missing", "", listen=())
missing.file.unlink()
fails_with_78(missing, "/etc/herder/missing.toml")
fails_with_78(Instance("absent", 'command = ["/srv/nothing"]\n', listen=()), "/srv/nothing")
write("/srv/plain", "text", mode=0o644)
fails_with_78(Instance("plain", 'command = ["/srv/plain"]\n', listen=()), "/srv/plain")

# Settings that the service's user cannot read.
secret = Instance("secret", COMMAND, listen=())
secret.file.chmod(0o600)
fails_with_78(secret, "/etc/herder/secret.toml")

# No permission in the runtime directory.
write("/run/herder/other/file", "")
forbidden = Instance(
    "forbidden",
    COMMAND,
    listen=(),
    service="[Service]\nRestart=no\nRuntimeDirectory=\nEnvironment=RUNTIME_DIRECTORY=/run/herder/other\n",
)
expect(forbidden.start(check=False).returncode != 0, "herder started without its runtime directory")
contains(forbidden.messages(), "/run/herder/other")

# Two herders with one name: the second says which process has it and leaves the first alone.
one = Instance("one", COMMAND, listen=("127.0.0.1:8003",))
one.listen()
one.start()
one.at_full_strength(1)
user = os.stat(f"/proc/{one.main_pid}").st_uid
as_the_service = ["nsenter", "-t", one.main_pid, "-m", "setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
command = ["env", "RUNTIME_DIRECTORY=/run/herder/one", "herder", "run", one.file]
second = run(*map(str, as_the_service + command), check=False)
expect(second.returncode not in (0, None), "a second herder with the same name runs")
contains(second.stdout, str(one.main_pid))
# By hand as root: what lies in a directory of the service's user is that user's to change, so root keeps off it.
by_hand = run("herder", "run", str(one.file), check=False)
equal(by_hand.returncode, 78, "the status of root's herder in the user's directory")
contains(by_hand.stdout, f"is owned by user {user}")
equal(get("127.0.0.1:8003").status, 200, "an answer of the first")

# A port that another process has, for an instance that binds it itself.
taken = Instance("taken", COMMAND + 'listen = ["127.0.0.1:8003"]\n', listen=(), service="[Service]\nRestart=no\n")
expect(taken.start(check=False).returncode != 0, "an instance started without its port")
contains(taken.messages(), "127.0.0.1:8003")
contains(taken.messages(), "in use")

# Trap 15: with a connection waiting, the socket starts even the hopeless service again, until the start limit; then the port
# is closed, and the message says how to go on.
typo = Instance("loop", COMMAND + "worker = 3\n", listen=("127.0.0.1:8004",))
typo.listen()
waiting = connect("127.0.0.1:8004")
wait_for(lambda: "failed" == run("systemctl", "is-failed", typo.socket, check=False).stdout.strip(), "the socket fails")
contains(typo.messages(), "systemctl reset-failed")
typo.configure(COMMAND)
run("sh", "-c", f"systemctl reset-failed {typo.socket} {typo.service} && systemctl start {typo.socket}")
equal(get("127.0.0.1:8004").status, 200, "an answer after the recovery")
