# machine: container vm
# seconds: 600
# load: busy
"""A worker that leaks, and then one that is old, is replaced while clients send requests, and every request is answered."""

from lab import VM, WEB, Instance, contains, equal, expect, install, wait_for
from load import Load

install()
# A start may take long where the machine is emulated and the host is busy, and is no failure then.
START = f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\nstart-timeout = "5min"\nstop-timeout = "5min"\n'
web = Instance("web", f'{START}max-memory = "40M"\nenvironment.WEB_LEAK = "{96 if VM else 32}"\n')
web.listen()
web.start()
web.at_full_strength(2)


def never_fewer():
    """Looked at again and again while something is waited for."""
    report = web.report()
    expect(report["ready"] == 2, f"{report['ready']} of 2 ready: {report['status']}")
    return report["counters"]


with Load("127.0.0.1:8000", clients=3) as load:
    wait_for(lambda: never_fewer()["recycledForMemory"] >= 2, "both workers, which leak, are replaced", 300)
    load.more(20)
load.expect_no_failure(300)
entries = web.events("worker_recycled")
equal({entry["HERDER_CAUSE"] for entry in entries}, {"max-memory"}, "why workers were replaced")
contains(entries[0]["MESSAGE"], " of max-memory, worker ")
about = web.report()["counters"]
equal((about["failures"], about["crashes"], about["respawns"], about["oomKills"]), (0, 0, 0, 0), "what went wrong")
equal(web.show("NRestarts"), "0", "restarts of the service")

expect(web.metric("herder_worker_recycled_total") >= 2, "replaced workers in the metrics")

# The same for age; the settings of the file are those of a new generation.
web.configure(f'{START}max-age = "4s"\n')
web.reload()
with Load("127.0.0.1:8000", clients=3) as load:
    wait_for(lambda: never_fewer()["recycledForAge"] >= 6, "six workers that were old are replaced", 120)
    load.more(20)
load.expect_no_failure(100)
equal(web.report()["counters"]["failures"], 0, "failures")
expect({"max-memory", "max-age"} == {entry["HERDER_CAUSE"] for entry in web.events("worker_recycled")}, "the reasons")
