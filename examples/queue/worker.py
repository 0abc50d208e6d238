"""A worker that fetches jobs from a queue. It has no socket, and needs nothing but Python.

    python3 worker.py DIRECTORY

The queue is a directory, and a job is a file in it: a program that adds a job writes it under another name, beginning with a
dot, and renames it. A worker takes a job by locking its file, and removes it when it is done. The kernel gives the lock
back when a worker dies, however that happens, so a job that was not finished is the next worker's.
"""

import fcntl
import os
import pathlib
import signal
import socket
import sys
import threading

stopping = threading.Event()


def main(queue):
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    notify("READY=1\nSTATUS=waiting for a job")
    while not stopping.is_set():
        # Another worker may be faster; then there is nothing to do here, and a second later it is looked again.
        if not any(do_next(job) for job in sorted(queue.glob("[!.]*"))):
            stopping.wait(1)


def do_next(job):
    """Does this job, unless another worker has it; says whether it did."""
    file = take(job)
    if file is None:
        return False
    with file:
        notify(f"STATUS=doing {job.name}")
        do(job.name, file.read())
        job.unlink()
        notify("STATUS=waiting for a job")
    return True


def take(job):
    """Its file, locked, or None if that is gone or another worker's."""
    try:
        file = job.open()
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It may have been done, and even another job come by this name, between the opening and the locking.
        if os.path.samestat(os.fstat(file.fileno()), job.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    file.close()
    return None


def do(name, text):
    """What a job is. Here: to wait for so many seconds, in steps, as work would go on while SIGTERM arrives."""
    for _ in range(int(text)):
        threading.Event().wait(1)
    print(f"{name} is done by worker {os.environ.get('HERDER_WORKER', '?')}", flush=True)


def notify(state):
    """Sends one sd_notify(3) message, if NOTIFY_SOCKET is set."""
    if path := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            notifications.sendto(state.encode(), path)


main(pathlib.Path(sys.argv[1]))
