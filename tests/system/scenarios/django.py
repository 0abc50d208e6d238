# tree: servers
# seconds: 240
# load: busy
"""The Django site of the examples behind nginx, under each of its three servers: reloaded, broken and killed while clients ask."""

import os
import pathlib
import shutil
import signal

from lab import Instance, contains, equal, install, run, systemctl, wait_for, write
from load import Load, get

ADDRESS = "127.0.0.1:80"
WORKERS = 3

install()
EXAMPLE = pathlib.Path("/usr/share/doc/herder/examples/django")


def deploy(release, broken=False):
    """As the page of the example says; every release has the same packages."""
    directory = pathlib.Path("/srv/django/releases") / release
    shutil.copytree(EXAMPLE / "project", directory / "project")
    (directory / "venv").symlink_to("/opt/python")
    if broken:
        write(directory / "project/urls.py", "import nothing\n")
    link = pathlib.Path("/srv/django/next")
    link.symlink_to(directory)
    link.rename("/srv/django/current")
    return directory


def settings(file):
    """As shipped, but for the number of workers, which is no test of this machine's size."""
    return (EXAMPLE / file).read_text().replace('workers = "auto"', f"workers = {WORKERS}")


def releases(workers):
    """Which ones they run."""
    return {os.path.basename(os.readlink(f"/proc/{pid}/cwd")) for pid in workers}


def replaced():
    """After a reload: those that were told to drain have ended."""
    return wait_for(lambda: len(pids := site.workers()) == WORKERS and pids, f"{WORKERS} workers")


directory = deploy("1")
collect = ["collectstatic", "--no-input", "--pythonpath", str(directory), "--settings", "project.settings"]
run("/opt/python/bin/django-admin", *collect)
site = Instance("django", settings("herder.toml"), listen=())
site.drop_in(site.socket, (EXAMPLE / "socket.conf").read_text())
systemctl("daemon-reload")
site.listen()
shutil.copy(EXAMPLE / "nginx.conf", "/etc/nginx/sites-available/django")
pathlib.Path("/etc/nginx/sites-enabled/default").unlink()
pathlib.Path("/etc/nginx/sites-enabled/default").symlink_to("../sites-available/django")
systemctl("start", "nginx")
contains(get(ADDRESS, "/static/site.css").body.decode(), "body {")
equal(site.state, "inactive", "the service, for a file that nginx has")
contains(get(ADDRESS).body.decode(), "Django, worker")
site.at_full_strength(WORKERS)

for file in ("herder.toml", "gunicorn.toml", "waitress.toml"):
    with Load(ADDRESS) as load:
        # Another server is a reload as well.
        load.more(100)
        site.configure(settings(file))
        deploy(file)
        site.reload()
        equal(releases(replaced()), {file}, "what the workers run after a reload")
        load.more(100)

        # A release that Django cannot import is never given a request.
        deploy(f"broken-{file}", broken=True)
        before = site.workers()
        equal(site.reload(check=False).returncode, 1, "the exit status of a reload to a broken site")
        contains(site.messages(), "No module named 'nothing'")
        equal(site.workers(), before, "the workers after a reload to a broken site")
        load.more(100)
        deploy(f"mended-{file}")

        # nginx asks another worker then.
        victim = site.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: victim not in site.workers(), "the end of the victim")
        site.at_full_strength(WORKERS)
        load.more(100)
    load.expect_no_failure(400)
