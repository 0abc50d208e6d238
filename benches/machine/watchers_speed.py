# seconds: 420
# load: busy
"""How much longer the replacement of a dead worker takes while a hundred clients watch, one of which reads nothing."""

import multiprocessing
import os
import selectors
import signal
import statistics
import time

from lab import Instance, install, wait_for
from varlink import Connection

# Many short rounds, so that other work of the machine slows down both kinds alike.
WATCHERS, ROUNDS, KILLS = 100, 20, 15

install()
# A worker writes first of all that it runs, so that only the start itself is measured.
script = 'echo $$ > "$RUNTIME_DIRECTORY/started"; exec sleep 1000'
settings = f"""command = ["/bin/sh", "-c", '''{script}''']
workers = 2
ready = "exec"
min-lifetime = "1ms"
sockets = []
"""
web = Instance("web", settings, listen=())
os.makedirs(web.runtime, exist_ok=True)
web.drop_in(web.service, "[Service]\nRuntimeDirectoryPreserve=yes\nDynamicUser=no\nUser=daemon\n")
os.mkfifo(web.runtime / "started")
os.chmod(web.runtime / "started", 0o666)
started = open(web.runtime / "started", "r+b", buffering=0)
web.start()
web.at_full_strength(2)
there = 0
while there < 2:
    there += len(started.read(64).split())


def latencies():
    """From SIGKILL to the first instruction of the replacement, in seconds."""
    for _ in range(KILLS):
        victim = web.workers()[0]
        begin = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        started.read(64)
        yield time.monotonic() - begin
        wait_for(lambda: len(web.workers()) == 2, "two workers")


def watch(ready, done, count):
    """The readers, in a process of the lowest priority, because their work is not herder's."""
    os.nice(19)
    connections = [Connection(web.runtime / "control") for _ in range(WATCHERS)]
    waiting = selectors.DefaultSelector()
    for number, connection in enumerate(connections):
        if number % 2:
            connection.send("io.herder.Control.Watch", more=True, intervalUSec=100_000)
        else:
            connection.send("io.herder.Control.Events", more=True)
        # The first reads nothing, ever.
        if number:
            connection.socket.setblocking(False)
            waiting.register(connection.socket, selectors.EVENT_READ)
    ready.set()
    while not done.is_set():
        for key, _ in waiting.select(0.1):
            data = key.fileobj.recv(1 << 20)
            count.value += data.count(b"\0")
            if not data:
                waiting.unregister(key.fileobj)


def ratio():
    """How much longer a replacement takes with watchers: rounds with and without take turns."""
    without, with_them = [], []
    told = multiprocessing.Value("L", 0)
    for _ in range(ROUNDS):
        without += latencies()
        ready, done = multiprocessing.Event(), multiprocessing.Event()
        readers = multiprocessing.Process(target=watch, args=(ready, done, told), daemon=True)
        readers.start()
        ready.wait()
        before = told.value
        with_them += latencies()
        # The readers get the CPU time that is left, so on a busy host their messages may come later.
        wait_for(lambda: told.value - before > KILLS, "messages for the watchers")
        done.set()
        readers.join()
    for name, values in (("without watchers", without), (f"with {WATCHERS}", with_them)):
        quartiles = " ".join(f"{value * 1000:.2f}" for value in statistics.quantiles(values))
        print(f"measured: from SIGKILL to the replacement's first instruction {name}: quartiles {quartiles} ms")
    return statistics.median(with_them) / statistics.median(without)


print(f"measured: with {WATCHERS} watchers that takes {ratio():.2f} times as long")
