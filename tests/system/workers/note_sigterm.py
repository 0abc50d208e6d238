"""A worker that writes the sender of each SIGTERM into the given file, and ends when a second has passed without another."""

import signal
import sys

from systemd import daemon

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
daemon.notify("READY=1")
sent = signal.sigwaitinfo({signal.SIGTERM})
while sent:
    with open(sys.argv[1], "a") as notes:
        notes.write(f"{sent.si_pid}\n")
    sent = signal.sigtimedwait({signal.SIGTERM}, 1)
