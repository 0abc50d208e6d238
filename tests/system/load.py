"""Traffic that counts: every request either got its whole answer or is a failure with its reason."""

import json
import multiprocessing
import socket
import threading
import time

from lab import SLOWNESS, equal, expect, wait_for


def connect(address):
    """ADDRESS is HOST:PORT or the path of a UNIX socket, as in ListenStream=."""
    if address.startswith("/"):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60 * SLOWNESS)
        connection.connect(address)
        return connection
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), timeout=60 * SLOWNESS)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def ask(connection, path, keep_alive=False):
    """One request and its whole answer on an open connection; EOFError when the peer closed before the first byte."""
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n".encode()
    )
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise EOFError("closed without an answer") if not data else ValueError(f"cut in its head: {data!r}")
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    headers = {key.lower(): value.strip() for key, value in (line.split(":", 1) for line in lines[1:])}

    def more():
        part = connection.recv(65536)
        if not part:
            raise ValueError(f"cut after {len(body)} bytes of the body")
        return part

    if headers.get("transfer-encoding") == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += more()
        body = unchunk(body)
    else:
        while len(body) < int(headers["content-length"]):
            body += more()
    return Answer(int(lines[0].split()[1]), headers, body)


def unchunk(body):
    whole, at = b"", 0
    while size := int(body[at : (line := body.index(b"\r\n", at))], 16):
        whole += body[line + 2 : line + 2 + size]
        at = line + 2 + size + 2
    return whole


def get(address, path="/", ask=ask):
    with connect(address) as connection:
        return ask(connection, path)


class SlowRequest:
    """A request that takes so many seconds; made means that a worker has it."""

    def __init__(self, instance, address, seconds, ask=ask):
        arrived = instance.runtime / "slow-request"
        arrived.unlink(missing_ok=True)
        self.outcome, self.how = None, ask
        self.thread = threading.Thread(target=self.ask, args=(address, seconds), daemon=True)
        self.thread.start()
        wait_for(arrived.exists, "the arrival of a slow request")

    def ask(self, address, seconds):
        try:
            self.outcome = get(address, f"/slow?{seconds}", self.how).status
        except Exception as error:
            self.outcome = repr(error)

    def expect_answer(self):
        self.thread.join()
        equal(self.outcome, 200, "the outcome of a slow request")


class Answered:
    """A slow request that was answered: by which process or parent, when it had come to the worker and when it was over, in
    seconds since 1970."""

    def __init__(self, line, at):
        release, pid, parent, arrived = line.split()
        self.release, self.pids, self.arrived, self.at = int(release), {int(pid), int(parent)}, float(arrived), at

    def was_with(self, pid, at):
        """Whether this worker, or a process of it, had the request then."""
        return pid in self.pids and self.arrived < at < self.at

    def __repr__(self):
        return f"{self.pids} {self.arrived:.3f} to {self.at:.3f}"


class SlowLoad:
    """`with SlowLoad(address, n) as slow:` always has n requests for /slow under way; see matrix.py for what answers them."""

    def __init__(self, address, clients, ask=ask):
        self.address, self.ask = address, ask
        self.answers, self.failures, self.stop = [], [], False
        # Spread over the second that each request takes.
        delays = (number / clients for number in range(clients))
        self.threads = [threading.Thread(target=self.client, args=(delay,), daemon=True) for delay in delays]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop = True
        for thread in self.threads:
            thread.join()

    def client(self, delay):
        time.sleep(delay)
        while not self.stop:
            try:
                with connect(self.address) as connection:
                    answer = self.ask(connection, "/slow")
                equal(answer.status, 200, "the status of a slow request")
                self.answers.append(Answered(answer.body.decode(), time.time()))
            except Exception as error:
                self.failures.append(f"{time.time():.3f} {type(error).__name__}: {error}")

    def more(self, requests, seconds=60):
        wanted = len(self.answers) + requests
        wait_for(lambda: len(self.answers) >= wanted or self.failures, f"{requests} slow requests more", seconds)

    def expect_no_failure(self):
        expect(not self.failures, f"{len(self.failures)} failed slow requests: {self.failures[:10]}")
        expect(self.answers, "no slow request was answered")


class Load:
    """`with Load(address) as load:` keeps asking until the block ends; then load.ok and load.failures are the sum.

    With keep_alive, a connection that the server closes between two requests is opened again and the request repeated
    (RFC 9110, 9.2.2), which is counted in load.reopened; on a new connection nothing is ever repeated.
    """

    def __init__(self, address, clients=3, keep_alive=False, path="/", ask=ask):
        self.address, self.path, self.keep_alive, self.ask = address, path, keep_alive, ask
        self.counts = [multiprocessing.Value("L", 0) for _ in range(clients)]
        self.reopened_counts = [multiprocessing.Value("L", 0) for _ in range(clients)]
        self.stop = multiprocessing.Event()
        self.errors = multiprocessing.SimpleQueue()
        self.failures = []

    @property
    def ok(self):
        return sum(count.value for count in self.counts)

    @property
    def reopened(self):
        return sum(count.value for count in self.reopened_counts)

    def wait_until(self, requests, seconds=120):
        wait_for(
            lambda: self.ok >= requests or not self.errors.empty(),
            f"{requests} requests, {self.ok} are answered",
            seconds,
        )

    def more(self, requests, seconds=60):
        """So many more from now on: the load is really there while something happens."""
        self.wait_until(self.ok + requests, seconds)

    def __enter__(self):
        self.clients = [
            multiprocessing.Process(target=self.client, args=pair, daemon=True)
            for pair in zip(self.counts, self.reopened_counts)
        ]
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop.set()
        while any(client.is_alive() for client in self.clients) or not self.errors.empty():
            if not self.errors.empty():
                self.failures.append(self.errors.get())
            else:
                time.sleep(0.01)
        print(f"load on {self.address}: {self.ok} answered, {len(self.failures)} failed, {self.reopened} reopened")

    def expect_no_failure(self, at_least=1):
        expect(not self.failures, f"{len(self.failures)} failed requests: {self.failures[:10]}")
        expect(self.ok >= at_least, f"only {self.ok} requests, not {at_least}: that proves too little")

    def client(self, count, reopened):
        connection, used = None, False
        while not self.stop.is_set():
            try:
                if connection is None:
                    connection, used = connect(self.address), False
                answer = self.ask(connection, self.path, self.keep_alive)
                if answer.status != 200:
                    raise ValueError(f"status {answer.status}: {answer.body[:200]!r}")
                count.value += 1
                used = True
                if not self.keep_alive or answer.headers.get("connection") == "close":
                    connection.close()
                    connection = None
            except (EOFError, ConnectionResetError, BrokenPipeError) as error:
                connection = None
                if used:
                    reopened.value += 1
                else:
                    self.fail(error)
            except Exception as error:
                connection = None
                self.fail(error)

    def fail(self, error):
        self.errors.put(f"{time.monotonic():.3f} {type(error).__name__}: {error}")
