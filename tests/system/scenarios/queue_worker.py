"""The queue of the examples: workers without a socket, which finish their job when they are told to stop or are replaced."""

import os
import pathlib
import shutil
import signal

from lab import Instance, alive, contains, equal, expect, install, processes_of, systemctl, wait_for, write

install()
EXAMPLE = pathlib.Path("/usr/share/doc/herder/examples/queue")
QUEUE = pathlib.Path("/var/lib/queue")


def deploy(release, broken=False):
    directory = pathlib.Path("/srv/queue/releases") / release
    shutil.copytree(EXAMPLE, directory)
    if broken:
        write(directory / "worker.py", "import nothing\n")
    link = pathlib.Path("/srv/queue/next")
    link.symlink_to(directory)
    link.rename("/srv/queue/current")


def put(name, seconds):
    """A job, as the page of the example puts one there."""
    write(QUEUE / ".new", f"{seconds}\n")
    (QUEUE / ".new").rename(QUEUE / name)


def doing(name):
    """The pid of the worker that does this job, when one does."""
    workers = lambda: queue.report()["workers"]
    at_it = lambda: [worker["pid"] for worker in workers() if worker["status"] == f"doing {name}"]
    return wait_for(at_it, f"a worker that does {name}: {workers()}")[0]


def done(name):
    """By how many workers this job was done."""
    return queue.messages().count(f"{name} is done by worker ")


deploy("1")
queue = Instance("queue", (EXAMPLE / "herder.toml").read_text(), listen=(), service=(EXAMPLE / "service.conf").read_text())
queue.start()
queue.at_full_strength(2)

# Each job is done once, by a worker that is free.
for number in range(6):
    put(f"job-{number}", 1)
wait_for(lambda: not list(QUEUE.iterdir()), "the end of six jobs")
equal([done(f"job-{number}") for number in range(6)], [1] * 6, "how often each job was done")

# A worker that is killed leaves its job to another.
put("killed", 3)
victim = doing("killed")
os.kill(victim, signal.SIGKILL)
expect(doing("killed") != victim, "the job is still the victim's")
wait_for(lambda: done("killed") == 1, "the end of the job of a worker that was killed")
queue.at_full_strength(2)

# A reload replaces those that have nothing to do, and leaves this one its time.
put("replaced", 4)
old = doing("replaced")
deploy("2")
queue.reload()
expect(alive(old), "the worker was ended in the middle of its job")
equal(done("replaced"), 0, "the job is done already")
wait_for(lambda: done("replaced") == 1, "the end of the job of a worker that is replaced")
wait_for(lambda: not alive(old), "the end of the worker")
equal(len(queue.workers()), 2, "workers")

# A version that does not start changes nothing.
before = queue.workers()
deploy("broken", broken=True)
equal(queue.reload(check=False).returncode, 1, "the exit status of a reload to a broken version")
equal(queue.workers(), before, "the workers after it")

# Nor does a stop end a job.
put("stopped", 3)
doing("stopped")
everything = processes_of(queue.service)
systemctl("stop", queue.service)
equal(done("stopped"), 1, "the job that was under way, done")
equal(list(QUEUE.iterdir()), [], "what is left in the queue")
equal(queue.show("Result"), "success", "the result of the service")
equal([pid for pid in everything if alive(pid)], [], "processes left behind")
equal(queue.events("worker_killed"), [], "workers that did not stop in time")
contains(queue.messages(), "as ordered")
