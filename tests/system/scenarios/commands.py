# seconds: 180
"""Every command about an instance that cannot answer ends within 2 s, and says in a sentence what to do."""

import os
import pty
import signal
import subprocess
import time

from lab import WEB, Instance, contains, equal, expect, install, run, wait_for

install()
# It is to hang for as long as all commands take; systemd's watchdog would end that after 15 to 30 s.
web = Instance(
    "web",
    f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n',
    service="[Service]\nWatchdogSec=0\n",
)
web.listen()
web.start()
worker = web.at_full_strength(2)[0]
stopped = Instance("stopped", f'command = {WEB.split()!r}\nworkers = 2\n', listen=("127.0.0.1:8001",))
idle = Instance("idle", f'command = {WEB.split()!r}\nworkers = 2\n', listen=("127.0.0.1:8002",))
idle.listen()
broken = Instance("broken", "nonsense = 1\n", listen=("127.0.0.1:8003",))
expect(broken.start(check=False).returncode != 0, "it starts with such settings")

COMMANDS = {
    "status": ["status", "{}"],
    "status --json": ["status", "--json", "{}"],
    "health": ["health", "{}"],
    "events": ["events", "{}"],
    "top": ["top", "{}"],
    "reload": ["reload", "{}"],
    "reload --previous": ["reload", "--previous", "{}"],
    "reload --abort": ["reload", "--abort", "{}"],
    "scale": ["scale", "{}", "3"],
    "recycle": ["recycle", "{}", "--slot", "0"],
    "stop-worker": ["stop-worker", "{}", "1"],
    "log-level": ["log-level", "{}", "info"],
    "metrics": ["metrics", "{}"],
}
READ_ONLY = ("status", "status --json", "health", "events", "top", "metrics")
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def ask(name, instance, before=()):
    """Runs it in a terminal, as an operator does: the exit status, what it said, and how long it took."""
    command = [*before, "herder", *(word.format(instance) for word in COMMANDS[name])]
    begin = time.monotonic()
    master, slave = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color"}
    child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True)
    os.close(slave)
    said = b""
    os.set_blocking(master, False)
    while child.poll() is None and time.monotonic() < begin + 10:
        time.sleep(0.005)
        try:
            said += os.read(master, 65536)
        except OSError:
            pass
    took = time.monotonic() - begin
    child.kill()
    try:
        said += os.read(master, 65536)
    except OSError:
        pass
    os.close(master)
    text = said.decode(errors="replace")
    print(f"$ {' '.join(command)} → {child.returncode} after {took:.2f} s: {text.strip()}")
    return child.returncode, text, took


wrong = []


def must(name, instance, status, advice, before=()):
    got, said, took = ask(name, instance, before)
    status = 2 if name == "health" else status
    if got != status:
        wrong.append(f"{name} {instance}: exit status {got} instead of {status}: {said!r}")
    if took > 2:
        wrong.append(f"{name} {instance}: took {took:.2f} s")
    if not any(words in said for words in advice):
        wrong.append(f"{name} {instance}: none of {advice} in {said!r}")


for name in COMMANDS:
    # Not started, but set up; the way out is to start it.
    must(name, "stopped", 3, ["systemctl start herder@stopped.service"])
    # No client has connected yet, so the service need not run.
    must(name, "idle", 3, ["its socket listens, and the first connection starts it"])
    # systemd has given it up; starting is not enough.
    must(name, "broken", 3, ["systemctl reset-failed herder@broken.socket herder@broken.service"])
    # No such instance at all: which there are, or where its settings belong.
    must(name, "missing", 4, ["/etc/herder/missing.toml", "herder status", "web"])
    if name not in READ_ONLY:
        # An instance that this user may not change.
        must(name, "web", 4, ["root", "control-group"], NOBODY)
web.wait_for_status("2/2 ready, generation 1")

# herder stopped by a signal: it takes connections into its queue and answers none.
os.kill(web.main_pid, signal.SIGSTOP)
for name in COMMANDS:
    must(name, "web", 1, ["systemctl restart herder@web.service"])
os.kill(web.main_pid, signal.SIGCONT)
for name in ("status", "health", "metrics"):
    equal(ask(name, "web")[0], 0, f"the exit status of {name} afterwards")

# A private runtime directory: others cannot even see it.
run("chmod", "0700", "/run/herder")
for name in COMMANDS:
    must(name, "web", 4, ["root", "control-group"], NOBODY)
expect(not wrong, "\n".join(["", *wrong]))
