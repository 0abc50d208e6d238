# machine: container vm
# seconds: 400
"""Each worker has a cgroup of its own with every process that it starts; the cgroup and they go with the worker."""

import os
import signal

from lab import (
    VM,
    WEB,
    Instance,
    alive,
    contains,
    equal,
    expect,
    find_process,
    group,
    group_of,
    install,
    members,
    systemctl,
    wait_for,
)
from load import get

install()
SETTINGS = f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\nstop-timeout = "2s"\n'
web = Instance("web", SETTINGS)


def groups(instance):
    """Directory name to pids, below the unit's."""
    unit = instance.group()
    return {path.name: members(path) for path in unit.iterdir() if path.is_dir()}


def in_their_own(instance, workers=2):
    """Every worker is alone in the cgroup with its number, and herder is in its own."""
    pids = instance.at_full_strength(workers)
    report = instance.report()
    equal(sorted(worker["pid"] for worker in report["workers"]), pids, "the workers in the report")
    for worker in report["workers"]:
        own = group_of(worker["pid"])
        equal(own, instance.group() / f"worker-{worker['id']}", f"the cgroup of {worker}")
        equal(group(worker["cgroup"]), own, "the cgroup in the report")
        equal(members(own), [worker["pid"]], f"the processes in {own}")
        if VM:
            controllers = set((own / "cgroup.controllers").read_text().split())
            expect({"cpu", "memory", "pids", "io"} <= controllers, f"only {controllers} in {own}")
    equal(members(instance.group() / "supervisor"), [instance.main_pid], "the processes beside the workers")
    equal(members(instance.group()), sorted([instance.main_pid, *pids]), "all processes of the unit")
    # One cgroup is made in advance; those of workers that have ended are removed.
    there = {name for name in groups(instance) if name.startswith("worker-")}
    spare = there - {f"worker-{worker['id']}" for worker in report["workers"]}
    expect(len(spare) <= 1, f"cgroups without a worker: {spare}")
    return pids


web.listen()
web.start()
before = in_their_own(web)
equal(web.events("degraded"), [], "entries about a degraded service")

web.reload()
wait_for(lambda: not any(map(alive, before)), "the end of the workers before the reload")
after = in_their_own(web)

# Processes that a worker started are ended with it, also outside its session: by the stop signal, or by SIGKILL at the end
# of stop-timeout.
meek, stubborn = ("sleep", "1001"), ("sleep", "1002")
victim = after[0]
web.order(victim, f"run exec {' '.join(meek)}")
web.order(victim, f"run trap '' TERM; exec {' '.join(stubborn)}")
far = [wait_for(lambda: find_process(*words), f"the process {words}") for words in (meek, stubborn)]
for pid in far:
    expect(os.getsid(pid) != os.getsid(victim), f"{pid} is in the worker's session")
    equal(group_of(pid), group_of(victim), "the cgroup of what the worker started")
left_in = group_of(victim)
os.kill(victim, signal.SIGKILL)
wait_for(lambda: not alive(far[0]), "the end of what listens to SIGTERM", 2)
wait_for(lambda: not alive(far[1]), "the end of what does not, at stop-timeout", 4)
wait_for(lambda: not left_in.exists(), "the end of its cgroup")
equal(len(web.events("remainder_killed")), 1, "entries about processes left behind")
in_their_own(web)

# The same when herder ends the worker: a reload, and a stop.
for words, end in ((("sleep", "1003"), "reload"), (("sleep", "1004"), "stop")):
    web.order(web.workers()[0], f"run trap '' TERM; exec {' '.join(words)}")
    survivor = wait_for(lambda: find_process(*words), f"the process {words}")
    unit = web.group()
    systemctl(end, web.service)
    wait_for(lambda: not alive(survivor), f"the end of {survivor} after a {end}", 4)
expect(not unit.exists(), f"{unit} is left after the stop")
equal(web.show("Result"), "success", "the end of the service")

web.start()
in_their_own(web)
systemctl("restart", web.service)
in_their_own(web)

# SIGKILL to herder: systemd ends the workers, and the unit comes back with what is needed and nothing else.
os.kill(web.main_pid, signal.SIGKILL)
wait_for(lambda: web.show("NRestarts") == "1", "the restart")
web.wait_until("active")
in_their_own(web)

# A new herder finds workers of an earlier one, which have no herder any more.
web.drop_in(web.service, "[Service]\nKillMode=process\n")
systemctl("daemon-reload")
orphans, spared = web.workers(), web.main_pid
os.kill(web.main_pid, signal.SIGKILL)
if VM:
    # systemd cannot start anything in a cgroup that has both processes and controllers: facts, section 0.
    web.drop_in(web.service, "[Service]\nKillMode=mixed\n")
    systemctl("daemon-reload")
    systemctl("stop", web.service)
    systemctl("reset-failed", web.service, check=False)
    web.start()
wait_for(lambda: web.main_pid not in (0, spared) and web.state == "active", "the restart")
wait_for(lambda: not any(map(alive, orphans)), "the end of the orphans")
in_their_own(web)
web.drop_in(web.service, "")
systemctl("daemon-reload")
systemctl("restart", web.service)
in_their_own(web)

# Where clone3 is forbidden, workers move themselves.
web.drop_in(web.service, "[Service]\nRestrictNamespaces=yes\n")
systemctl("daemon-reload")
systemctl("restart", web.service)
pids = in_their_own(web)
os.kill(pids[0], signal.SIGKILL)
wait_for(lambda: pids[0] not in web.workers(), "the end of a worker")
in_their_own(web)
systemctl("stop", web.service)


def warnings(instance):
    about = "no cgroups of their own"
    return [entry for entry in instance.messages().splitlines() if about in entry]


if VM:
    # The rest needs no controllers.
    raise SystemExit

# Without delegation workers run without cgroups of their own, and herder says once how to get them.
bare = Instance(
    "bare", SETTINGS, listen=("127.0.0.1:8001",), service="[Service]\nDelegate=no\nDelegateSubgroup=\n"
)
bare.listen()
bare.start()
pids = bare.at_full_strength(2)
equal({worker["cgroup"] for worker in bare.report()["workers"]}, {None}, "cgroups of workers without delegation")
equal({group_of(pid) for pid in pids}, {bare.group()}, "where they are")
bare.reload()
os.kill(bare.workers()[0], signal.SIGKILL)
bare.at_full_strength(2)
equal(get("127.0.0.1:8001").status, 200, "an answer")
equal(len(warnings(bare)), 1, f"warnings: {warnings(bare)}")
contains(warnings(bare)[0], "add Delegate=cpu memory pids io to [Service] (systemctl edit herder@bare.service)")

# The same where the tree is not writable.
locked = Instance(
    "locked", SETTINGS, listen=("127.0.0.1:8002",), service="[Service]\nProtectControlGroups=yes\n"
)
locked.listen()
equal(get("127.0.0.1:8002").status, 200, "an answer")
locked.at_full_strength(2)
equal(len(warnings(locked)), 1, f"warnings: {warnings(locked)}")
contains(warnings(locked)[0], "remove ProtectControlGroups= from [Service]")
