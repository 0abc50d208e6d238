"""A small event loop (epoll) that answers with the number of its slot, and says which connections it has accepted.

    loop.py DIRECTORY

appends the client's address to DIRECTORY/accepted, a line for each connection. DIRECTORY/accepting-PID is there once it is
ready; while its one byte is 1, a connection may have been accepted that is not written down yet. SIGTERM lets it answer what it
has accepted, and end.
"""

import mmap
import os
import select
import signal
import socket
import sys

directory, slot = sys.argv[1], os.environ["HERDER_SLOT"]
accepted = os.open(f"{directory}/accepted", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

listeners = {fd: socket.socket(fileno=fd) for fd in range(3, 3 + int(os.environ["LISTEN_FDS"]))}
connections = {}
leaving = []
signal.signal(signal.SIGTERM, lambda *_: leaving.append(True))
# A signal that comes before epoll_wait() is heard there.
awake, wake = os.pipe()
os.set_blocking(wake, False)
signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
epoll = select.epoll()
epoll.register(awake, select.EPOLLIN)
for fd, listener in listeners.items():
    # The flag belongs to the socket, so every process that has it is affected; all of them run this loop.
    listener.setblocking(False)
    epoll.register(fd, select.EPOLLIN)


def accept(listener):
    accepting[0] = 1
    try:
        connection, (host, _) = listener.accept()
        os.write(accepted, f"{host}\n".encode())
    except OSError:
        return
    finally:
        accepting[0] = 0
    connection.setblocking(False)
    connections[connection.fileno()] = connection
    epoll.register(connection.fileno(), select.EPOLLIN)


def answer(connection):
    del connections[connection.fileno()]
    try:
        if connection.recv(1024):
            connection.send(f"{slot}\n".encode())
    except OSError:
        pass
    connection.close()


with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.connect(os.environ["NOTIFY_SOCKET"])
    manager.send(b"READY=1")
name = f"{directory}/accepting-{os.getpid()}"
fd = os.open(f"{name}.new", os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(fd, 1)
accepting = mmap.mmap(fd, 1)
os.rename(f"{name}.new", name)

while not leaving or connections:
    if leaving and listeners:
        for fd, listener in listeners.items():
            epoll.unregister(fd)
            listener.close()
        listeners = {}
    for fd, _ in epoll.poll(maxevents=16):
        if fd in listeners:
            accept(listeners[fd])
        elif fd in connections:
            answer(connections[fd])
