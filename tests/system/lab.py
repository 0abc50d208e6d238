"""What the scenarios share: the installed package, instances of herder@, conditions with a deadline, the journal.

A scenario is a program that runs as root in a machine of its own and ends with an exception when something is wrong.
Nothing here cleans up: the machine is thrown away.
"""

import json
import os
import pathlib
import signal
import subprocess
import time

import varlink

FILES = pathlib.Path("/herder-test")
SCRIPTS = FILES / "scripts"
WEB = f"/usr/bin/python3 {SCRIPTS}/workers/web.py"
# A virtual machine is emulated in software: it has every cgroup controller, and needs more time for everything.
VM = os.environ.get("MACHINE") == "vm"
SLOWNESS = 3 if VM else 1
SYSTEMD = int(subprocess.check_output(["systemctl", "--version"], text=True).split()[1])


def run(*command, check=True, seconds=90, quiet=False):
    """Runs a command to its end; what it printed, both streams, is in .stdout, and in the log unless quiet."""
    if not quiet:
        print("$", *command)
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds * SLOWNESS,
    )
    failed = check and done.returncode != 0
    if done.stdout and (failed or not quiet):
        print(done.stdout.rstrip())
    if failed:
        raise AssertionError(f"{' '.join(command)}: exit status {done.returncode}")
    return done


def systemctl(*arguments, check=True, seconds=90):
    return run("systemctl", *arguments, check=check, seconds=seconds)


def wait_for(condition, what, seconds=30):
    """Returns the first true value of condition(); it is asked often, because no event tells when it becomes true."""
    deadline = time.monotonic() + seconds * SLOWNESS
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return value


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(value, wanted, what):
    expect(value == wanted, f"{what}: {value!r} instead of {wanted!r}")


def contains(text, part):
    expect(part in text, f"no {part!r} in:\n{text}")


def write(path, text, mode=0o644):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def install():
    """Installs the package as an operator does, so that the units, the manual and the program under test come from it."""
    run("dpkg", "--install", *map(str, FILES.glob("*.deb")))


def journal(*matches):
    """Entries as dictionaries, oldest first, up to this moment; matches as journalctl takes them."""
    subprocess.run(["journalctl", "--sync"], check=True)
    lines = subprocess.check_output(
        ["journalctl", "--boot", "--output=json", "--all", "--no-pager", *matches], text=True
    )
    return [json.loads(line) for line in lines.splitlines()]


def messages(*matches):
    return "\n".join(str(entry.get("MESSAGE", "")) for entry in journal(*matches))


def processes_of(unit):
    """The pids in a unit's cgroup, none when there is no such cgroup any more."""
    name = systemctl_value(unit, "ControlGroup")
    return members(group(name)) if name else []


def systemctl_value(unit, name):
    return subprocess.check_output(["systemctl", "show", "--property", name, "--value", unit], text=True).strip()


class Instance:
    """herder@NAME with its settings file and the drop-ins of its socket and service."""

    def __init__(self, name, settings, listen=("127.0.0.1:8000",), socket="", service=""):
        self.name = name
        self.service, self.socket = f"herder@{name}.service", f"herder@{name}.socket"
        self.file = pathlib.Path(f"/etc/herder/{name}.toml")
        self.runtime = pathlib.Path(f"/run/herder/{name}")
        self.configure(settings)
        if listen:
            addresses = "".join(f"ListenStream={address}\n" for address in listen)
            self.drop_in(self.socket, f"[Socket]\n{addresses}{socket}\n")
        if service:
            self.drop_in(self.service, service)
        systemctl("daemon-reload")

    def configure(self, settings):
        write(self.file, settings)

    def drop_in(self, unit, text, name="test"):
        write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)

    def listen(self):
        systemctl("start", self.socket)

    def start(self, **options):
        return systemctl("start", self.service, **options)

    def reload(self, **options):
        return systemctl("reload", self.service, **options)

    def show(self, name):
        return systemctl_value(self.service, name)

    @property
    def state(self):
        return self.show("ActiveState")

    @property
    def main_pid(self):
        return int(self.show("MainPID"))

    @property
    def status(self):
        """The line that herder gave systemd."""
        return self.show("StatusText")

    def at_full_strength(self, workers, seconds=30):
        """So many workers, all ready; returns their pids."""
        self.wait_for_status(f"{workers}/{workers} ready", seconds)
        return wait_for(
            lambda: len(pids := self.workers()) == workers and pids, f"{workers} workers, not {self.workers()}", seconds
        )

    def workers(self):
        """The pids of herder's children."""
        main = self.main_pid
        try:
            return sorted(map(int, pathlib.Path(f"/proc/{main}/task/{main}/children").read_text().split()))
        except FileNotFoundError:
            return []

    def wait_until(self, state, seconds=30):
        wait_for(lambda: self.state == state, f"{self.service} is {state}", seconds)

    def wait_for_status(self, part, seconds=30):
        return wait_for(
            lambda: part in self.status and self.status,
            f"{part!r} in the status of {self.service}, which is {self.status!r}",
            seconds,
        )

    def messages(self):
        """What herder and systemd said about the service."""
        return messages("--unit", self.service)

    def events(self, kind=None, **fields):
        """herder's own entries about this kind of event with these fields, HERDER_ left out; oldest first."""
        matches = {"EVENT": kind, **fields} if kind else fields
        matches = [f"HERDER_{name.upper()}={value}" for name, value in matches.items()]
        entries = journal("--unit", self.service, f"HERDER_INSTANCE={self.name}", *matches)
        return [entry for entry in entries if "HERDER_EVENT" in entry and entry.get("_COMM") == "herder"]

    def report(self):
        """What `herder status --json` says. It waits 1.5 s for herder, which is too short where all is emulated and the host
        is busy; there the same object is asked for without it."""
        if not VM:
            return json.loads(run("herder", "status", "--json", self.name, quiet=True).stdout)
        with varlink.Connection(self.runtime / "control", seconds=60) as connection:
            return connection.call("io.herder.Control.Status")["parameters"]["status"]

    def metrics(self):
        """What `herder metrics` says: `name{label="value"}` as it is written there, to its value."""

        def ask():
            done = run("herder", "metrics", self.name, quiet=True, check=not VM)
            return done.returncode == 0 and done.stdout.splitlines()

        lines = wait_for(ask, f"the metrics of {self.name}")
        samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def metric(self, family):
        """The sum of a family's samples, whatever their labels are."""
        return sum(value for name, value in self.metrics().items() if name.split("{")[0] == family)

    def worker(self, pid):
        """Of that, what it says of the worker with this pid; None when there is none."""
        return next((worker for worker in self.report()["workers"] if worker["pid"] == pid), None)

    def group(self):
        """The unit's directory in the cgroup tree."""
        return group(self.show("ControlGroup"))

    def send(self, pid, order):
        """Lets one web.py do something (see there)."""
        write(self.runtime / "order", order)
        os.kill(pid, signal.SIGUSR1)

    def order(self, pid, order):
        """The same, and returns when it is done."""
        self.send(pid, order)
        done = f"done: {order}"
        wait_for(lambda: (self.worker(pid) or {}).get("status") == done, f"{done!r} of {self.worker(pid)}")


class Release:
    """An application deployed as the manual advises: directories in /srv/app/releases and a link, /srv/app/current."""

    root = pathlib.Path("/srv/app")
    settings = 'directory = "/srv/app/current"\ncommand = ["./run"]\nready = "notify"\n'

    @classmethod
    def deploy(cls, version, script=f"exec {WEB}"):
        """Workers of this release answer with its name, unless the script does something else."""
        directory = cls.root / "releases" / version
        write(directory / "run", f"#!/bin/sh\nexport WEB_TEXT={version}\n{script}\n", 0o755)
        link = cls.root / "next"
        link.symlink_to(directory)
        link.rename(cls.root / "current")


def group(name):
    """A directory of the cgroup tree by its name below the root."""
    return pathlib.Path("/sys/fs/cgroup", name.lstrip("/"))


def group_of(pid):
    """The directory of a process's cgroup."""
    return group(pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().split("::", 1)[1])


def members(group):
    """The pids in a cgroup and all below it; none when it is not there any more."""
    found = []
    for procs in group.rglob("cgroup.procs"):
        try:
            found += [int(pid) for pid in procs.read_text().split()]
        except OSError:
            pass
    return sorted(found)


def figures(group, file):
    """A file of lines KEY VALUE, such as cpu.stat."""
    return {key: int(value) for key, value in map(str.split, (group / file).read_text().splitlines())}


def find_process(*words):
    """The pid of a process with just this command line, or None; its parent may be any process."""
    wanted = "\0".join(words) + "\0"
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (directory / "cmdline").read_text(errors="replace") == wanted:
                return int(directory.name)
        except OSError:
            pass


def started_at(pid):
    """With the pid this names a process for good: field 22 of proc_pid_stat(5)."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]


def capable(name):
    """Whether root has this capability here: the host may lack it, and so its containers."""
    number = {"CAP_SYS_RESOURCE": 24}[name]
    line = next(line for line in open("/proc/self/status") if line.startswith("CapBnd:"))
    return bool(int(line.split()[1], 16) >> number & 1)


def alive(pid):
    return os.path.exists(f"/proc/{pid}")


def environ_of(pid):
    pairs = pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)
