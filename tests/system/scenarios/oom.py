# machine: vm
# seconds: 300
"""A worker past its memory limit is killed alone, replaced, and reported as such; the other workers serve on."""

import os

from lab import WEB, Instance, alive, equal, expect, find_process, figures, group_of, install, messages, wait_for
from load import Load

OUT_OF_MEMORY = "e71ce5f1c44f49c6aa086ac722155d8f"

install()
web = Instance("web", f'command = {WEB.split()!r}\nworkers = 3\nready = "notify"\n')
web.listen()
web.start()
victim, parent, bystander = web.at_full_strength(3)
about = {pid: web.worker(pid) for pid in (victim, parent, bystander)}
equal([worker["oomKills"] for worker in about.values()], [0, 0, 0], "OOM kills at the beginning")


def limit(pid, megabytes):
    """So much more memory than the worker has now."""
    own = group_of(pid)
    now = int((own / "memory.current").read_text())
    (own / "memory.max").write_text(str(now + (megabytes << 20)))


def killed(pid):
    return figures(group_of(pid), "memory.events")["oom_kill"]


with Load("127.0.0.1:8000", clients=2) as load:
    load.more(20)
    # The worker itself.
    limit(victim, 20)
    web.send(victim, "hold 100")
    wait_for(lambda: not alive(victim), "the kernel kills the worker")
    wait_for(lambda: len(web.workers()) == 3, "its replacement")
    web.at_full_strength(3)
    load.more(20)

    # A process that a worker has started, which is by far the largest of its cgroup; the worker lives.
    hungry = ("python3", "-c", "b = bytearray(200 << 20); b[::4096] = b'x' * len(b[::4096])")
    limit(parent, 30)
    web.order(parent, f"run exec {hungry[0]} {hungry[1]} {hungry[2]!r}")
    wait_for(lambda: killed(parent) == 1, "the kernel kills the worker's child")
    wait_for(lambda: find_process(*hungry) is None, "the end of the child")
    load.more(20)
load.expect_no_failure(60)
expect({parent, bystander} <= set(web.workers()), f"{web.workers()}: others than the victim were replaced")
equal(web.show("NRestarts"), "0", "restarts of the service")
equal(web.show("Result"), "success", "the service's result so far")

# In the status. herder hears of the kernel's kill a moment after it, or a second where the machine is emulated.
wait_for(lambda: web.report()["counters"]["oomKills"] == 2, "both kills are counted")
report = web.report()
slots = {worker["slot"]: worker for worker in report["workers"]}
replacement = slots[about[victim]["slot"]]
exit = replacement["lastExit"]
equal((exit["cause"], exit["signal"], exit["wasReady"]), ("out_of_memory", "SIGKILL", True), f"how it ended: {exit}")
expect("memory" in exit["text"], f"its end in words: {exit['text']}")
equal(replacement["oomKills"], 0, "OOM kills of the replacement")
equal(slots[about[parent]["slot"]]["pid"], parent, "the worker that lost a child")
equal(slots[about[parent]["slot"]]["oomKills"], 1, "OOM kills of that")
equal(slots[about[bystander]["slot"]]["oomKills"], 0, "OOM kills of the third")

# The journal tells which worker's process was killed, and that the worker ended by it.
for pid in (victim, parent):
    entry = wait_for(lambda: web.events("worker_out_of_memory", worker=about[pid]["id"]), f"an entry about {pid}")
    equal(len(entry), 1, f"entries about {pid}: {entry}")
    equal(entry[0]["MESSAGE_ID"], OUT_OF_MEMORY, "its MESSAGE_ID")
    fields = [entry[0][f"HERDER_{name}"] for name in ("SLOT", "PID", "PROCESSES")]
    equal(fields, [str(about[pid]["slot"]), str(pid), "1"], "what it says")
ended = web.events("worker_ended", worker=about[victim]["id"])
equal([(entry["HERDER_CAUSE"], entry["HERDER_EXIT"]) for entry in ended], [("out_of_memory", "SIGKILL")], "its end")
equal(web.events("worker_ended", worker=about[parent]["id"]), [], "the end of the one that lost a child")
expect("Memory cgroup out of memory" in messages("--dmesg"), "the kernel says nothing of it")

# In the metrics.
equal(web.metric("herder_worker_oom_kills_total"), 2, "OOM kills in the metrics")
