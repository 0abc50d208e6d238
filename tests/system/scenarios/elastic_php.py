# tree: servers
# seconds: 240
"""One burst of requests, live: PHP under herder beside php-fpm's own `pm = dynamic`, both with 2 to 16 processes. Figures are
ratios, because a machine that is busy with something else makes both slower."""

import glob
import pathlib
import subprocess
import threading
import time

from fastcgi import asks_for
from lab import Instance, equal, expect, install, wait_for, write
from load import connect

SCRIPT = pathlib.Path("/srv/slow.php")
TAKES, EVERY, COUNT = 0.05, 0.006, 700
FPM, HERDER = "/run/fpm.sock", "/run/cgi.sock"

install()
write(SCRIPT, f"<?php usleep({int(TAKES * 1e6)}); echo 'done';")
ask = asks_for(SCRIPT)

# www.conf as Debian ships it, but for the number of processes.
pool = f"""[global]
error_log = /run/fpm.log
[www]
user = www-data
group = www-data
listen = {FPM}
pm = dynamic
pm.max_children = 16
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
"""
write("/run/fpm.conf", pool)
program = max(glob.glob("/usr/sbin/php-fpm*"))
fpm = subprocess.Popen([program, "--nodaemonize", "--fpm-config", "/run/fpm.conf"])
wait_for(lambda: pathlib.Path(FPM).is_socket(), "php-fpm listens")

settings = 'preset = "php-cgi"\ncommand = ["php-cgi"]\nworkers = { min = 2, max = 16 }\nidle-timeout = "10s"\n'
php = Instance("php", settings, listen=(HERDER,))
php.listen()
php.start()
php.at_full_strength(2)


def children(pid):
    return len(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def burst(address, parent):
    """The seconds that requests took more than they take, all together, those of the slowest of twenty, and the seconds of
    processes."""
    late, failures = [], []

    def client():
        began = time.monotonic()
        try:
            with connect(address) as connection:
                equal(ask(connection, "/").body, b"done", "the answer")
            late.append(time.monotonic() - began - TAKES)
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=client) for _ in range(COUNT)]
    spent, begin = 0, time.monotonic()
    last = begin
    for number, thread in enumerate(threads):
        # As if from outside: however slow the answers are, requests go on coming.
        time.sleep(max(0, begin + number * EVERY - time.monotonic()))
        thread.start()
        now = time.monotonic()
        spent, last = spent + children(parent) * (now - last), now
    for thread in threads:
        thread.join()
    equal(failures, [], "requests that failed")
    late.sort()
    return sum(late), late[-COUNT // 20], spent


# Both have had something to do before.
for address in (FPM, HERDER):
    for _ in range(20):
        with connect(address) as connection:
            equal(ask(connection, "/").body, b"done", "the answer")
theirs, ours = burst(FPM, fpm.pid), burst(HERDER, php.main_pid)
print(f"measured: php-fpm dynamic: late by {theirs[0]:.1f} s in all, one in twenty by {theirs[1]:.2f} s, {theirs[2]:.0f} s of processes")
print(f"measured: herder: late by {ours[0]:.1f} s in all, one in twenty by {ours[1]:.2f} s, {ours[2]:.0f} s of processes")
print("measured: herder to php-fpm: " + ", ".join(f"{mine / other:.2f}" for mine, other in zip(ours, theirs)))
expect(ours[0] < theirs[0] / 2, "requests waited for half as long as with php-fpm, or longer")
fpm.terminate()
