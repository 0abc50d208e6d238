"""An HTTP worker of the old kind: one connection after the other, and no event loop. A request takes as long as it says:
/?SECONDS of sleep, /burn?SECONDS of CPU time, /hold?MB until so much memory is there. On SIGTERM it finishes the one it has."""

import os
import select
import signal
import socket
import time

listener = socket.socket(fileno=3)
# A connection wakes all waiting workers, and one of them gets it.
listener.setblocking(False)
end, told = os.pipe()
os.set_blocking(told, False)
signal.set_wakeup_fd(told)
signal.signal(signal.SIGTERM, lambda *_: None)
while end not in select.select([listener, end], [], [])[0]:
    try:
        client, _ = listener.accept()
    except BlockingIOError:
        continue
    with client:
        client.setblocking(True)
        request = b""
        while b"\r\n\r\n" not in request and (part := client.recv(65536)):
            request += part
        if not request:
            continue
        path, _, value = request.split()[1].decode().partition("?")
        if path == "/burn":
            until = time.process_time() + float(value)
            while time.process_time() < until:
                pass
        elif path == "/hold":
            bytes(int(value) << 20).replace(b"\0", b"x")
        else:
            time.sleep(float(value or 0))
        body = os.environ["HERDER_WORKER"]
        client.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        client.shutdown(socket.SHUT_WR)
        client.recv(1)
