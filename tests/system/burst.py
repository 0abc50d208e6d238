"""One burst of requests that PHP answers, each after a while: so many that two processes cannot."""

import pathlib
import threading
import time

from fastcgi import asks_for
from lab import Instance, equal, write
from load import connect

SCRIPT = pathlib.Path("/srv/slow.php")
TAKES, EVERY, COUNT = 0.05, 0.006, 700
MOST = 16


def children(pid):
    return len(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


class Burst:
    def __init__(self):
        write(SCRIPT, f"<?php usleep({int(TAKES * 1e6)}); echo 'done';")
        self.ask = asks_for(SCRIPT)

    def herder(self, address):
        """php-cgi with 2 to 16 workers."""
        scaling = f'workers = {{ min = 2, max = {MOST} }}\nidle-timeout = "10s"\n'
        php = Instance("php", f'preset = "php-cgi"\ncommand = ["php-cgi"]\n{scaling}', listen=(address,))
        php.listen()
        php.start()
        php.at_full_strength(2)
        return php

    def one(self, address):
        with connect(address) as connection:
            equal(self.ask(connection, "/").body, b"done", "the answer")

    def play(self, address, parent):
        """The seconds that each request took more than it takes, sorted, and the seconds of processes; every request is
        answered."""
        late, failures = [], []

        def client():
            began = time.monotonic()
            try:
                self.one(address)
                late.append(time.monotonic() - began - TAKES)
            except Exception as error:
                failures.append(repr(error))

        threads = [threading.Thread(target=client) for _ in range(COUNT)]
        spent, begin = 0, time.monotonic()
        last = begin
        for number, thread in enumerate(threads):
            # Clients do not wait for each other: requests go on coming however slow the answers are.
            time.sleep(max(0, begin + number * EVERY - time.monotonic()))
            thread.start()
            now = time.monotonic()
            spent, last = spent + children(parent) * (now - last), now
        for thread in threads:
            thread.join()
        equal(failures, [], "requests that failed")
        return sorted(late), spent
