"""What workers send changes nothing for systemd, for herder or for other workers."""

from lab import FILES, Instance, equal, expect, install, run, wait_for

MISBEHAVE = f"{FILES}/misbehave"

install()


def instance(name, *steps, settings=""):
    command = f"command = {[MISBEHAVE, *steps]!r}"
    started = Instance(name, f'{command}\nworkers = 2\nready = "notify"\n{settings}', listen=())
    started.start()
    started.at_full_strength(2)
    return started


# Trap 20: more lines in one STATUS= are not more assignments for systemd, whether the worker sends them as such or not.
evil = instance(
    "evil",
    "ready",
    "notify",
    r"STATUS=harmless\nMAINPID=1\nWATCHDOG_USEC=5",
    "notify",
    r"MAINPID=1",
    "notify",
    "FDSTORE=1",
    "notify",
    "NOTIFYACCESS=all",
    "notify",
    "ERRNO=5",
)
wait_for(lambda: "harmless" in run("herder", "status", "evil").stdout, "the worker's status text in herder status")
main = evil.main_pid
expect("harmless" not in evil.status, f"a worker's text is systemd's status: {evil.status}")
equal(evil.show("WatchdogUSec"), "30s", "the watchdog")
equal(evil.show("NRestarts"), "0", "restarts")
equal(evil.show("StatusErrno"), "0", "the errno")

# WATCHDOG=trigger ends that worker, as it ends a service, and no other worker.
stuck = instance("stuck", "ready", "wait", "3000", "notify", "WATCHDOG=trigger", settings='min-lifetime = "1s"\n')
before = set(stuck.workers())
wait_for(lambda: before.isdisjoint(stuck.workers()) and stuck.workers(), "other workers")
expect("hung: it said WATCHDOG=trigger" in run("herder", "status", "stuck").stdout, "how the ones before ended")
equal(stuck.show("NRestarts"), "0", "restarts")

# STOPPING=1 retires that worker; the service goes on.
retiring = instance("retiring", "ready", "wait", "2000", "notify", "STOPPING=1", "wait", "200", "exit", "0")
before = set(retiring.workers())
wait_for(lambda: before.isdisjoint(retiring.workers()) and retiring.workers(), "other workers")
equal(retiring.state, "active", "the service whose workers say STOPPING=1")
equal(retiring.show("NRestarts"), "0", "restarts")
expect("crashed" not in retiring.status, retiring.status)

# 10,000 bytes of STATUS: cut or refused, but neither lost in PID 1 nor harmful.
long = instance("long", "ready", "status-of", "10000")
long.at_full_strength(2)
expect(len(long.status) < 1000, "the status is short")
run("herder", "status", "long")

# A flood of messages: herder still answers, pings its watchdog and keeps its other workers.
flood = instance("flood", "ready", "flood", "300000")
run("herder", "status", "flood", seconds=10)
flood.at_full_strength(2)
equal(flood.show("NRestarts"), "0", "restarts")

# Control characters and colours of a worker's text do not reach a terminal.
colour = instance("colour", "ready", "notify", "STATUS=\x1b[31mred\x07")
shown = wait_for(lambda: "red" in (text := run("herder", "status", "colour").stdout) and text, "the status text")
expect("\x1b[31m" not in shown and "\x07" not in shown, f"control characters in {shown!r}")

# herder is still the main process.
equal(evil.main_pid, main, "herder's pid")
