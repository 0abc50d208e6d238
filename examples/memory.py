#!/usr/bin/python3
"""How much memory a service has, with all its processes: the sum of their PSS.

    memory.py herder@django.service

The proportional set size counts what processes share, such as the program itself and what they have had in common since a
fork, in equal parts for each: so the sum is what would be free without them. Needs root, or the service's user.
"""

import pathlib
import subprocess
import sys


def pss(pid):
    """In bytes, of /proc/PID/smaps_rollup (proc_pid_smaps(5))."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def processes(unit):
    """The pids of a unit, and the name of each."""
    show = ["systemctl", "show", "--property=ControlGroup", "--value", unit]
    group = pathlib.Path("/sys/fs/cgroup") / subprocess.check_output(show, text=True).strip().lstrip("/")
    for file in sorted(group.rglob("cgroup.procs")):
        for pid in file.read_text().split():
            yield int(pid), pathlib.Path(f"/proc/{pid}/comm").read_text().strip()


def main():
    found = [(pss(pid), pid, name) for pid, name in processes(sys.argv[1])]
    for size, pid, name in found:
        print(f"{size / 2**20:7.1f} MiB  {pid} {name}")
    print(f"{sum(size for size, _, _ in found) / 2**20:7.1f} MiB  {len(found)} processes")


if __name__ == "__main__":
    main()
