"""What an application server must do under herder, tried with real ones (matrix/servers.toml), and whether herder-servers(7)
tells it as it is.

The applications (matrix/apps) all answer with one line, `RELEASE PID PARENT ARRIVED`: which release they belong to, which
process answers, that one's parent, and when the request reached them, in seconds since 1970. /slow takes one second, and
makes the file slow-request in the runtime directory when it arrives.
"""

import gzip
import os
import pathlib
import shutil
import signal
import subprocess
import tomllib

import fastcgi
import load
from lab import SCRIPTS, Instance, alive, equal, expect, install, journal, processes_of, run, systemctl, wait_for
from load import Load, SlowLoad, SlowRequest, get

ADDRESS = "127.0.0.1:8000"
WORKERS = 3
CLIENTS = 2
MATRIX = SCRIPTS / "matrix"
PAGE = pathlib.Path("/usr/share/man/man7/herder-servers.7.gz")


def check(group):
    """Tries every server of a group, prints the table of what it did, and compares it with the manual's."""
    install()
    servers = tomllib.loads((MATRIX / "servers.toml").read_text())
    promised = table(gzip.open(PAGE, "rt").read())
    differences = []
    for name, data in servers.items():
        if data["group"] == group:
            found = Server(name, data).row()
            print(f"measured: {name:10} " + ", ".join(f"{title} {cell}" for title, cell in found.items()))
            differences += [
                f"{name}, {title}: it is “{found[title]}”, and herder-servers(7) says “{cell}”"
                for title, cell in promised[name].items()
                if not kept(cell, found[title])
            ]
    expect(not differences, "\n".join(differences))


def table(page):
    """The table of the page: the name of a server to a dictionary of its other cells by their titles."""
    text = page[page.index("\n.TS\n") : page.index("\n.TE\n")].replace("\\fB", "").replace("\\fR", "").replace("\\-", "-")
    titles, *rows = [line.split("\t") for line in text.splitlines() if "\t" in line]
    return {row[0]: dict(zip(titles[1:], row[1:])) for row in rows}


def kept(promise, found):
    # A request that is only sometimes lost may not be lost in this run; and only the relevant part of a version is compared.
    return found == promise or (promise == "mostly" and found == "yes") or found.startswith(tuple(promise.split(", ")))


class Server:
    def __init__(self, name, data):
        self.name, self.data = name, data
        self.root = pathlib.Path("/srv") / name
        self.ask = fastcgi.asks_for(MATRIX / "apps" / data["script"]) if data["protocol"] == "fastcgi" else load.ask
        # Enough that some worker has one when it is told to finish. One that takes one at a time is then left for the others.
        self.slow = WORKERS if data.get("one-at-a-time") else 8
        self.releases = 0
        self.deploy()
        preset = data.get("preset", name)
        settings = f'preset = "{preset}"\n' if preset else ""
        settings += f'directory = "{self.root}/current"\nworkers = {WORKERS}\n{data["settings"]}'
        # Some servers tell of every request, and an entry of herder's that is left out for it would be missed here.
        # (An interval of 0 should mean that, and means the default.)
        service = "[Service]\nLogRateLimitIntervalSec=1s\nLogRateLimitBurst=100000\n"
        self.instance = Instance(name, settings, listen=(ADDRESS,), socket=data.get("socket", ""), service=service)

    def row(self):
        """The results: yes, no or mostly for each check, and how a worker ends."""
        row = {"version": subprocess.check_output(self.data["version"], shell=True, text=True).strip()}
        for title in ("start", "crash", "reload", "broken reload", "stop"):
            try:
                row[title] = getattr(self, title.replace(" ", "_"))() or "yes"
            except AssertionError as error:
                print(f"{self.name}, {title}: {error}")
                row[title] = "no"
        row["ends with"] = self.ends()
        systemctl("stop", self.instance.socket, self.instance.service)
        return row

    def start(self):
        """The first connection starts it and is answered."""
        self.instance.listen()
        equal(self.release(), 1, "the release that answers first")
        self.instance.at_full_strength(WORKERS)
        # For the moment when a worker is told to finish.
        run("herder", "log-level", self.name, "debug")

    def crash(self):
        """A worker that is killed is replaced, and only what it was just doing is lost."""
        victim = self.instance.workers()[0]
        with self.load() as load:
            load.more(20)
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: victim not in self.instance.workers(), "the end of the victim")
            self.instance.at_full_strength(WORKERS)
            load.more(20)
        expect(len(load.failures) <= CLIENTS, f"more than each client's request of the moment failed: {load.failures}")

    def reload(self):
        """Every worker is replaced while clients ask, some of them for what takes a second; each of them is answered."""
        lost = []
        for _ in range(3):
            before = self.instance.workers()
            with self.load() as load, self.slow_load() as slow:
                load.more(20)
                slow.more(2)
                self.deploy()
                self.instance.reload()
                self.drained()
                load.more(20)
                equal(self.release(), self.releases, "the release after a reload")
            equal(set(before) & set(self.instance.workers()), set(), "workers that a reload left alone")
            failures = load.failures + slow.failures
            expect(len(failures) <= WORKERS, f"more than a request was lost for each worker: {failures}")
            lost += failures
            told = self.told_to_finish()
            if busy := [pid for pid in before if any(answer.was_with(pid, told[pid]) for answer in slow.answers)]:
                print(f"{load.ok} requests and {len(slow.answers)} slow ones, which {len(busy)} workers had when told to finish")
                print(f"lost: {lost}")
                return "mostly" if lost else "yes"
        raise AssertionError("no worker had a slow request when it was told to finish")

    def broken_reload(self):
        """A release that cannot be loaded never gets a request: systemctl reload fails, and nothing has changed."""
        before = self.instance.workers()
        with self.load() as load, self.slow_load() as slow:
            load.more(20)
            self.deploy(broken=True)
            equal(self.instance.reload(check=False).returncode, 1, "the exit status of a reload to a broken release")
            load.more(20)
        load.expect_no_failure()
        slow.expect_no_failure()
        self.instance.wait_for_status(f"{WORKERS}/{WORKERS} ready")
        equal(self.instance.workers(), before, "the workers after a reload to a broken release")
        self.deploy()

    def stop(self):
        """systemctl stop waits for the request that is under way, and leaves nothing behind."""
        request = SlowRequest(self.instance, ADDRESS, 1, self.ask)
        everything = processes_of(self.instance.service)
        systemctl("stop", self.instance.socket)
        request.expect_answer()
        equal(self.instance.state, "inactive", "the service, which stops with its socket")
        equal(self.instance.show("Result"), "success", "its result")
        equal([pid for pid in everything if alive(pid)], [], "processes left behind")
        equal(self.instance.events("worker_killed"), [], "workers that did not stop in time")

    def ends(self):
        """How workers end that are told to: an exit status or a signal."""
        ordered = self.instance.events("worker_ended", manner="ordered", was_ready="yes")
        return ", ".join({event["HERDER_EXIT"] for event in ordered})

    def load(self):
        return Load(ADDRESS, CLIENTS, ask=self.ask)

    def slow_load(self):
        return SlowLoad(ADDRESS, self.slow, self.ask)

    def release(self):
        """Which one answers."""
        return int(get(ADDRESS, ask=self.ask).body.split()[0])

    def deploy(self, broken=False):
        """Makes the next release current."""
        self.releases += 1
        directory = self.root / "releases" / str(self.releases)
        directory.mkdir(parents=True)
        source, target, unloadable = self.data["app"]
        shutil.copy(MATRIX / "apps" / (unloadable if broken else source), directory / target)
        link = self.root / "next"
        link.symlink_to(directory)
        link.rename(self.root / "current")

    def drained(self):
        """After a reload: those that were told to finish have ended."""
        return wait_for(lambda: len(pids := self.instance.workers()) == WORKERS and pids, f"{WORKERS} workers")

    def told_to_finish(self):
        """The pids of workers, and when each was told, in seconds since 1970."""
        pids = {event["HERDER_WORKER"]: int(event["HERDER_PID"]) for event in self.instance.events("worker_started")}
        told = {}
        for entry in journal("--unit", self.instance.service, "_COMM=herder", "PRIORITY=7"):
            if entry["MESSAGE"].startswith("action: drain worker "):
                told[pids[entry["MESSAGE"].split()[-1]]] = int(entry["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6
        return told
