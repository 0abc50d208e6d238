"""While a hundred clients watch, one of which reads nothing, dead workers are replaced, and the clients that read hear of it."""

import multiprocessing
import os
import selectors
import signal

from lab import Instance, equal, install, wait_for
from varlink import Connection

WATCHERS, KILLS = 100, 15

install()
# A worker writes first of all that it runs.
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


def kill_and_wait():
    """Kills workers, one after the other; each time the replacement has to say that it runs."""
    for _ in range(KILLS):
        os.kill(web.workers()[0], signal.SIGKILL)
        started.read(64)
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


kill_and_wait()
told = multiprocessing.Value("L", 0)
ready, done = multiprocessing.Event(), multiprocessing.Event()
readers = multiprocessing.Process(target=watch, args=(ready, done, told), daemon=True)
readers.start()
ready.wait()
before = told.value
kill_and_wait()
# The clients that read have the lowest priority, so on a busy machine the messages come to them later.
wait_for(lambda: told.value - before > KILLS, "messages for the clients that watch")
done.set()
readers.join()
equal(web.report()["counters"]["failures"], 0, "failures")
