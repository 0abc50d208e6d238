"""The control socket: garbage and half-open connections disturb no other client, and only permitted users may change it."""

import json
import os
import socket

from lab import WEB, Instance, contains, equal, expect, install, run

install()
web = Instance("web", f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n')
web.listen()
web.start()
before = web.at_full_strength(2)
PATH = str(web.runtime / "control")


def client():
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(20)
    connection.connect(PATH)
    return connection


def call(method, parameters=None):
    with client() as connection:
        connection.sendall(json.dumps({"method": method, "parameters": parameters or {}}).encode() + b"\0")
        data = b""
        while not data.endswith(b"\0"):
            part = connection.recv(65536)
            expect(part, "closed without a reply")
            data += part
        return json.loads(data[:-1])


equal(call("org.varlink.service.GetInfo")["parameters"]["vendor"] != "", True, "GetInfo")
contains(
    call("org.varlink.service.GetInterfaceDescription", {"interface": "io.herder.Control"})["parameters"][
        "description"
    ],
    "method Reload",
)
equal(
    call("io.herder.Control.Nothing")["error"], "org.varlink.service.MethodNotFound", "the error of an unknown method"
)
equal(
    call("com.example.Nothing")["error"], "org.varlink.service.InterfaceNotFound", "the error of an unknown interface"
)

# Garbage ends the connection that sent it.
for garbage in (b"GET / HTTP/1.1\r\n\r\n\0", b"\0\0\0", b"[]\0", b"\xff\xfe\0", b'{"method": 5}\0', b"x" * 200_000):
    with client() as connection:
        try:
            connection.sendall(garbage)
            while connection.recv(4096):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass
# A user that fills the socket with half requests does not lock out root or herder's own user.
NOBODY = 65534
holding, held = os.pipe(), os.pipe()
if os.fork() == 0:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    connections = [client() for _ in range(100)]
    for connection in connections:
        try:
            connection.sendall(b'{"method": "io.herder')
        except (BrokenPipeError, ConnectionResetError):
            pass
    os.write(held[1], b"x")
    os.close(holding[1])
    os.read(holding[0], 1)
    os._exit(0)
os.read(held[0], 1)
run("herder", "status", "web")
web.reload()
web.wait_for_status("generation 2")
os.close(holding[1])
os.wait()

# Another user may look but not change anything; root and herder's own user may.
as_nobody = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
run(*as_nobody, "herder", "status", "web")
refused = run(*as_nobody, "herder", "reload", "web", check=False)
equal(refused.returncode, 4, "the exit status of a reload by a stranger")
equal(len(web.workers()), 2, "workers")
web.wait_for_status("generation 2")
