"""Clients that are known by their addresses, and workers that are killed under them.

Every connection comes from an address of its own (127.0.0.0/8), so that what became of it can be told apart: accepted by a
worker (workers/loop.py writes down which) that was killed before it had answered, or never accepted by any.
"""

import collections
import multiprocessing
import os
import pathlib
import random
import signal
import socket
import time

# 127.1.0.1 and on, a block for each client.
BLOCK = 1 << 20


def source(number):
    number += 127 << 24 | 1 << 16 | 1
    return socket.inet_ntoa(number.to_bytes(4, "big"))


def ask(address, host):
    """The slot that answers a connection from this address."""
    with socket.socket() as connection:
        connection.settimeout(60)
        connection.bind((host, 0))
        connection.connect(address)
        connection.sendall(b"?\n")
        data = b""
        while part := connection.recv(64):
            data += part
    if not data.endswith(b"\n"):
        raise EOFError("closed without an answer")
    return int(data)


class Storm:
    """`with Storm(address, clients) as storm:` keeps asking until the block ends; then storm.slots says how many each slot
    answered, and storm.failures which clients got no answer and why."""

    def __init__(self, address, clients=4, pause=0.0):
        self.address, self.pause = address, pause
        self.stop = multiprocessing.Event()
        self.counts = [multiprocessing.Value("L", 0) for _ in range(clients)]
        self.results = multiprocessing.SimpleQueue()
        self.slots, self.failures = collections.Counter(), {}

    @property
    def answered(self):
        return sum(count.value for count in self.counts)

    def __enter__(self):
        pairs = enumerate(self.counts)
        self.clients = [multiprocessing.Process(target=self.client, args=pair, daemon=True) for pair in pairs]
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        for _ in self.clients:
            slots, failures = self.results.get()
            self.slots.update(slots)
            self.failures.update(failures)
        for client in self.clients:
            client.join()

    def client(self, block, count):
        slots, failures = collections.Counter(), {}
        number = block * BLOCK
        while not self.stop.is_set():
            host = source(number)
            number += 1
            try:
                slots[ask(self.address, host)] += 1
                count.value += 1
            except Exception as error:
                failures[host] = f"{type(error).__name__}: {error}"
            time.sleep(self.pause)
        self.results.put((slots, failures))

    def never_accepted(self, directory):
        """The failures of connections that no worker had accepted."""
        accepted = set(pathlib.Path(directory, "accepted").read_text().split())
        return {host: why for host, why in self.failures.items() if host not in accepted}


def state(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


def kill(pid, directory):
    """Kills a worker that is ready and between two accepts; says whether it did."""
    flag = pathlib.Path(directory, f"accepting-{pid}")
    try:
        flag.stat()
        os.kill(pid, signal.SIGSTOP)
        while state(pid) not in "TZX":
            time.sleep(0.0005)
        if flag.read_bytes() == b"\x01":
            os.kill(pid, signal.SIGCONT)
            return False
        os.kill(pid, signal.SIGKILL)
        flag.unlink()
        return True
    except (ProcessLookupError, FileNotFoundError):
        return False


def kill_many(workers, directory, kills, seconds):
    """Kills random ones of the workers that exist at the time, until this many have been killed."""
    done, deadline = 0, time.monotonic() + seconds
    while done < kills:
        if time.monotonic() > deadline:
            raise AssertionError(f"only {done} of {kills} workers were killed within {seconds} s")
        pid = random.choice(workers())
        done += kill(pid, directory)


def spread(slots, workers):
    """The most that one slot has answered, by the mean of all."""
    return max(slots.values()) * workers / sum(slots.values())
