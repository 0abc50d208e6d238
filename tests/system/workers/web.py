"""A small correct HTTP worker for systemd's protocols: it tells what it was started with, and drains on SIGTERM.

Paths: / answers at once, /info says what herder handed over, /slow?SECONDS answers late.
On SIGUSR1 it does what the file `order` in the runtime directory says, so that a test can choose the worker (lab.py, order).
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

# Read before anything else opens a descriptor; that of the listing itself is closed by the time it is checked.
OPEN_AT_START = {}
for number in os.listdir("/proc/self/fd"):
    try:
        OPEN_AT_START[number] = os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:
        pass
with open("/proc/self/status") as status:
    STATUS = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)

from systemd import daemon

NAMES = daemon.listen_fds_with_names(unset_environment=False)
TEXT = os.environ.get("WEB_TEXT", "hello")
# In KiB, at each request.
LEAK = int(os.environ.get("WEB_LEAK", "0"))


def info():
    return {
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "sid": os.getsid(0),
        "uid": os.getuid(),
        "cwd": os.getcwd(),
        "text": TEXT,
        "fds": NAMES,
        "open": OPEN_AT_START,
        "environ": dict(os.environ),
        "status": STATUS,
        "oom_score_adj": int(open("/proc/self/oom_score_adj").read()),
    }


class Connections:
    """The threads that serve, and which of them only wait for a next request."""

    def __init__(self):
        self.lock = threading.Lock()
        self.idle = set()
        self.threads = set()
        self.draining = False

    def serve(self, connection):
        thread = threading.Thread(target=self.talk, args=(connection,))
        with self.lock:
            self.threads.add(thread)
        thread.start()

    def talk(self, connection):
        with connection:
            while self.exchange(connection):
                pass
        with self.lock:
            self.threads.discard(threading.current_thread())

    def exchange(self, connection):
        """One request; whether another may follow."""
        request = self.receive(connection)
        if not request:
            return False
        if LEAK:
            KEPT.append(os.urandom(LEAK << 10))
        target = request.split(" ", 2)[1]
        path, _, query = target.partition("?")
        if path == "/slow":
            # A test wants to know that the request has arrived.
            open(os.path.join(os.environ["RUNTIME_DIRECTORY"], "slow-request"), "w").close()
            time.sleep(float(query))
        body = (json.dumps(info()) if path == "/info" else f"{TEXT} from {os.getpid()}\n").encode()
        last = self.draining or "connection: close" in request.lower()
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: {'close' if last else 'keep-alive'}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        return not last

    def receive(self, connection):
        data = b""
        with self.lock:
            # A connection accepted before the drain began is still waiting for its first request: that one is served.
            self.idle.add(connection)
        try:
            while b"\r\n\r\n" not in data:
                part = connection.recv(65536)
                if not part:
                    return None
                data += part
        except OSError:
            return None
        finally:
            with self.lock:
                self.idle.discard(connection)
        return data.decode()

    def wait(self):
        while self.threads:
            time.sleep(0.01)

    def drain(self):
        with self.lock:
            self.draining = True
        # Clients get the time to send what they are about to; then idle connections end.
        deadline = time.monotonic() + 1
        while self.threads and time.monotonic() < deadline:
            time.sleep(0.02)
        with self.lock:
            for connection in self.idle:
                connection.shutdown(socket.SHUT_RD)
            threads = list(self.threads)
        for thread in threads:
            thread.join()


KEPT = []


def obey():
    """One order: hold MB, burn SECONDS, open FILES, threads COUNT, exit STATUS, or run COMMAND, outside of this process's session."""
    order, _, value = open(os.path.join(os.environ["RUNTIME_DIRECTORY"], "order")).read().partition(" ")
    if order == "hold":
        # Each page is written to, because memory that is only allocated is not used.
        block = bytearray(int(value) << 20)
        block[::4096] = b"x" * len(block[::4096])
        KEPT.append(block)
    elif order == "burn":
        end = time.monotonic() + float(value)
        while time.monotonic() < end:
            pass
    elif order == "open":
        KEPT.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(int(value)))
    elif order == "threads":
        for _ in range(int(value)):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    elif order == "exit":
        os._exit(int(value))
    elif order == "run":
        # Forks twice, as daemons do: the second process has a session of its own, and its parent has ended.
        subprocess.run(["setsid", "sh", "-c", f"({value}) < /dev/null > /dev/null 2>&1 &"], check=True)
    daemon.notify(f"STATUS=done: {order} {value}")


def main():
    listeners = [socket.socket(fileno=fd) for fd in NAMES]
    for listener in listeners:
        # Others accept from the same queue: between select and accept the connection may be gone.
        listener.setblocking(False)
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    connections = Connections()
    # Half of what it may be, as sd_watchdog_enabled(3) advises; from the loop, or it would prove nothing.
    watchdog = int(os.environ["WATCHDOG_USEC"]) / 2e6 if "WATCHDOG_USEC" in os.environ else None
    ping = time.monotonic()
    daemon.notify("READY=1\nSTATUS=serving")
    while True:
        readable, _, _ = select.select([wake, *listeners], [], [], watchdog and max(0, ping - time.monotonic()))
        if watchdog and time.monotonic() >= ping:
            daemon.notify("WATCHDOG=1")
            ping = time.monotonic() + watchdog
        if wake in readable:
            if signal.SIGTERM in os.read(wake, 512):
                break
            # Meanwhile the other workers accept. Accepted connections are answered first, or an order that kills this worker
            # would make a request fail.
            connections.wait()
            obey()
            continue
        for listener in readable:
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                continue
            connection.setblocking(True)
            connections.serve(connection)
    for listener in listeners:
        listener.close()
    connections.drain()
    daemon.notify("STOPPING=1")


if __name__ == "__main__":
    sys.exit(main())
