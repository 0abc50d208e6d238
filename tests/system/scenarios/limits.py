# machine: container vm
# seconds: 400
"""Limits of workers are set on their cgroups and processes; where one cannot be set, no worker starts."""

import pathlib

from lab import VM, WEB, Instance, alive, contains, equal, expect, group_of, install, messages, run, systemctl, wait_for

install()
START = f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n'
GROUP = """
memory-high = "150M"
memory-max = "200M"
memory-swap-max = 0
cpu-weight = 50
cpu-quota = "150%"
tasks-max = 20
"""
PROCESS = """
nice = 5
oom-score-adjust = 200
limits.nofile = "100:200"
limits.core = 0
"""


def held(pid):
    """As the kernel has it."""
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines()
    files = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
    nice = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[16]
    return nice, pathlib.Path(f"/proc/{pid}/oom_score_adj").read_text().strip(), *files


# Limits of the process can be set everywhere.
plain = Instance("plain", START + PROCESS, listen=("127.0.0.1:8001",))
plain.listen()
plain.start()
for pid in plain.at_full_strength(2):
    equal(held(pid), ("5", "200", "100", "200"), "the limits of a worker")
systemctl("stop", plain.service)

# A limit that herder may not set fails the reload, and the old workers stay.
proud = Instance("proud", START, listen=("127.0.0.1:8002",))
proud.listen()
proud.start()
pids = proud.at_full_strength(2)
proud.configure(START + "nice = -5\n")
done = proud.reload(check=False)
expect(done.returncode != 0, "a reload to what may not be set has succeeded")
contains(proud.messages(), "cannot set its nice value to -5: Permission denied")
equal(proud.at_full_strength(2), pids, "the workers after the reload that failed")

# Limits of the cgroup need its controllers.
if not VM:
    proud.configure(START + GROUP)
    done = proud.reload(check=False)
    expect(done.returncode != 0, "a reload to limits that cannot be set has succeeded")
    said = proud.messages()
    for key in ("memory-high", "memory-max", "memory-swap-max", "cpu-weight", "cpu-quota", "tasks-max"):
        contains(said, f"`{key}` is a limit of the workers' cgroups")
    contains(said, "Delegate=")
    equal(proud.at_full_strength(2), pids, "the workers after the reload that was refused")
    systemctl("stop", proud.service)
    done = proud.start(check=False)
    expect(done.returncode != 0, "a start with limits that cannot be set has succeeded")
    equal(proud.show("ExecMainStatus"), "78", "the exit status")
    raise SystemExit

web = Instance("web", START + GROUP)
web.listen()
web.start()


def limits(pid):
    own = group_of(pid)
    files = ("memory.high", "memory.max", "memory.swap.max", "cpu.weight", "cpu.max", "pids.max")
    return [(own / file).read_text().strip() for file in files]


WANTED = [str(150 << 20), str(200 << 20), "0", "50", "150000 100000", "20"]
for pid in web.at_full_strength(2):
    equal(limits(pid), WANTED, "the limits of a worker's cgroup")

# The kernel enforces the limits. (web.py ends when it cannot have a thread.)
victim = web.workers()[0]
web.send(victim, "threads 50")
wait_for(lambda: not alive(victim), "the end of a worker that wants too many threads")
contains(messages("--dmesg"), "fork rejected by pids controller")
web.at_full_strength(2)
# Above memory-high the kernel would slow the worker down.
web.configure(START + 'memory-max = "200M"\nmemory-swap-max = 0\n')
web.reload()
web.send(web.at_full_strength(2)[0], "hold 300")
wait_for(lambda: web.events("worker_out_of_memory"), "the kernel ends a worker that is too large")
web.at_full_strength(2)

# A new generation has its own, also for the group that was made in advance.
web.configure(START + 'memory-max = "10%"\n')
web.reload()
for pid in web.at_full_strength(2):
    high, most, *rest = limits(pid)
    expect(high == "max" and 0 < int(most) < 1 << 40, f"memory.high is {high}, memory.max {most}")
    equal(rest, ["max", "100", "max 100000", "max"], "what is no longer limited")

# Limits of running workers are changed, until the next reload.
pids = web.workers()
run("herder", "set", "web", "memory-high=300M", "cpu-weight=70")
for pid in pids:
    high, _, _, weight, *_ = limits(pid)
    equal((high, weight), (str(300 << 20), "70"), "what was set")
equal(web.workers(), pids, "the workers after that")
changes = {change["key"]: (change["value"], change["before"]) for change in web.report()["set"]}
equal(changes, {"memory-high": ('"300M"', None), "cpu-weight": ("70", None)}, "what is not as in the file")
web.reload()
for pid in web.at_full_strength(2):
    high, _, _, weight, *_ = limits(pid)
    equal((high, weight), ("max", "100"), "what was set, after a reload")
equal(web.report()["set"], [], "what is not as in the file, after a reload")

# Without a part of the tree there are no limits, and so no workers.
web.drop_in(web.service, "[Service]\nDelegate=no\nDelegateSubgroup=\n")
systemctl("daemon-reload")
done = systemctl("restart", web.service, check=False)
expect(done.returncode != 0, "a start with limits that cannot be set has succeeded")
equal(web.show("ExecMainStatus"), "78", "the exit status")
contains(web.messages(), "`memory-max` is a limit of the workers' cgroups, and they get none here")
contains(web.messages(), "add Delegate=cpu memory pids io to [Service]")
