# tree: servers
# seconds: 240
# load: busy
"""How long the requests of one burst wait: PHP with herder, compared with php-fpm's own `pm = dynamic`, both with 2 to 16
processes."""

import glob
import pathlib
import subprocess

from burst import COUNT, MOST, Burst
from lab import install, wait_for, write

FPM, HERDER = "/run/fpm.sock", "/run/cgi.sock"

install()
burst = Burst()

# www.conf as Debian ships it, except for the number of processes.
pool = f"""[global]
error_log = /run/fpm.log
[www]
user = www-data
group = www-data
listen = {FPM}
pm = dynamic
pm.max_children = {MOST}
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
"""
write("/run/fpm.conf", pool)
program = max(glob.glob("/usr/sbin/php-fpm*"))
fpm = subprocess.Popen([program, "--nodaemonize", "--fpm-config", "/run/fpm.conf"])
wait_for(lambda: pathlib.Path(FPM).is_socket(), "php-fpm listens")
php = burst.herder(HERDER)

# The first requests are slower, because the program is loaded by them.
for address in (FPM, HERDER):
    for _ in range(20):
        burst.one(address)


def measure(name, address, pid):
    late, spent = burst.play(address, pid)
    figures = sum(late), late[-COUNT // 20], spent
    print(f"measured: {name}: late by {figures[0]:.1f} s in all, one in twenty by {figures[1]:.2f} s, {spent:.0f} s of processes")
    return figures


theirs = measure("php-fpm dynamic", FPM, fpm.pid)
ours = measure("herder", HERDER, php.main_pid)
print("measured: herder to php-fpm: " + ", ".join(f"{mine / other:.2f}" for mine, other in zip(ours, theirs)))
fpm.terminate()
