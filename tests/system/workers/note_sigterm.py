"""A worker that notes in the file it is given who sends it SIGTERM, and ends when a second has passed without another."""

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
