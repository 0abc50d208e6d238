# seconds: 240
"""The Django site of the examples under uvicorn: started by its socket, reloaded and killed under load."""

import os
import pathlib
import shutil
import signal

from lab import Instance, contains, expect, install, wait_for
from load import Load, get

install()
EXAMPLE = pathlib.Path("/usr/share/doc/herder/examples/django")


def deploy(release):
    directory = pathlib.Path("/srv/django/releases") / release
    shutil.copytree(EXAMPLE / "project", directory / "project")
    (directory / "venv/bin").mkdir(parents=True)
    (directory / "venv/bin/python").symlink_to("/usr/bin/python3")
    link = pathlib.Path("/srv/django/next")
    link.symlink_to(directory)
    link.rename("/srv/django/current")
    return directory


def page():
    return get("127.0.0.1:8000").body.decode()


def replaced(workers):
    """After a reload: those that were told to drain have ended."""
    return wait_for(lambda: len(pids := site.workers()) == workers and pids, f"{workers} workers")


deploy("1")
# The shipped settings, but for the number of workers, which is no test of this machine's size.
settings = (EXAMPLE / "herder.toml").read_text().replace('workers = "auto"', "workers = 3")
site = Instance("django", settings)
site.listen()
contains(page(), "generation 1")
before = site.at_full_strength(3)

with Load("127.0.0.1:8000") as load:
    for generation in (2, 3):
        load.more(1000)
        deploy(str(generation))
        site.reload()
        replaced(3)
        contains(page(), f"generation {generation}")
    load.more(1000)
load.expect_no_failure(3000)
expect(set(before).isdisjoint(replaced(3)), "workers were not replaced")

# A release that Django cannot import is never given a request.
(deploy("broken") / "project/urls.py").write_text("import nothing\n")
with Load("127.0.0.1:8000") as load:
    load.more(200)
    expect(site.reload(check=False).returncode == 1, "a reload to a broken site succeeded")
    load.more(200)
load.expect_no_failure()
contains(page(), "generation 3")

with Load("127.0.0.1:8000") as load:
    load.more(500)
    victim = site.workers()[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in site.workers(), "the end of the victim")
    site.at_full_strength(3)
    load.more(500)
expect(len(load.failures) <= 3, f"more than each client's request of the moment failed: {load.failures}")
