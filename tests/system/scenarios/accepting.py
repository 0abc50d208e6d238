# machine: container vm
# seconds: 240
"""Servers without support for herder, in the sandbox of the shipped unit: herder sees that they accept, or what is wrong."""

import json
import os
import pathlib

from lab import FILES, Instance, contains, equal, expect, install, run, wait_for, write

install()
# Debian's kernels have it; 1 is what other distributions ship: only ancestors may look into a process.
yama = pathlib.Path("/proc/sys/kernel/yama/ptrace_scope")
if yama.exists() and os.access(yama, os.W_OK):
    yama.write_text("1\n")
print("ptrace_scope", yama.read_text().strip() if yama.exists() else "(no Yama)")

MISBEHAVE = f"{FILES}/misbehave"
HTTP = """
import http.server, socket
server = http.server.HTTPServer(("", 0), http.server.SimpleHTTPRequestHandler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
"""
ASYNCIO = """
import asyncio, socket
async def main():
    server = await asyncio.start_server(lambda r, w: w.close(), sock=socket.socket(fileno=3))
    await server.serve_forever()
asyncio.run(main())
"""
# A master that serves nothing itself: two forked workers that do, one of them at a time.
PREFORK = """
import os, socket, time
listener = socket.socket(fileno=3)
for _ in range(2):
    if os.fork() == 0:
        while True:
            listener.accept()[0].close()
while True:
    time.sleep(1000)
"""
SERVERS = {
    "http": ["/usr/bin/python3", "-c", HTTP],
    "asyncio": ["/usr/bin/python3", "-c", ASYNCIO],
    "prefork": ["/usr/bin/python3", "-c", PREFORK],
    **{how: [MISBEHAVE, how] for how in ("accept", "poll", "select", "epoll")},
    "grandchild": [MISBEHAVE, "child", "child", "thread", "accept"],
    "shell": ["/bin/sh", "-c", f"{MISBEHAVE} epoll; exit 0"],
}


def settings(command, more=""):
    return f"command = {json.dumps(command)}\nworkers = 2\n{more}"


for port, (name, command) in enumerate(SERVERS.items(), 8000):
    # LISTEN_PID would name the shell, which starts the server as a child of its own.
    more = 'listen-pid = "omit"\n' if name == "shell" else ""
    instance = Instance(name, settings(command, more), listen=(f"127.0.0.1:{port}",))
    instance.start()
    instance.wait_for_status("2/2 ready")
    workers = instance.report()["workers"]
    equal({worker["evidence"] for worker in workers}, {"accepting"}, f"the evidence of {name}")
    entries = instance.events("worker_ready")
    equal({entry["HERDER_EVIDENCE"] for entry in entries}, {"accepting"}, f"the journal's evidence of {name}")
    usec = max(int(entry["HERDER_USEC"]) for entry in entries)
    print(f"{name}: ready after {usec / 1000:.1f} ms at most")

# A new version that does anything else replaces no worker, and the failed reload says what it does.
web = Instance("web", settings([MISBEHAVE, "epoll"], 'start-timeout = "2s"\n'), listen=("127.0.0.1:9000",))
web.start()
before = web.at_full_strength(2)
WRONG = {
    "it listens on 127.0.0.1:": [MISBEHAVE, "elsewhere"],
    "it has closed descriptor 3, web": ["/bin/sh", "-c", f"exec {MISBEHAVE} accept 3<&-"],
    "which is sh (pid ": ["/bin/sh", "-c", f"{MISBEHAVE} accept; exit 0"],
    "has the socket and has not passed it on to misbehave": ["/bin/sh", "-c", f"{MISBEHAVE} accept 3<&-; exit 0"],
    "it has descriptor 3, web": [MISBEHAVE, "wait", "60000"],
}
for words, command in WRONG.items():
    web.configure(settings(command, 'start-timeout = "2s"\n'))
    done = web.reload(check=False)
    equal(done.returncode, 1, "the exit status of the reload")
    wait_for(lambda: words in web.status, f"{words!r} in the status, which is {web.status!r}")
    contains(web.events("worker_timed_out")[-1]["HERDER_REASON"], words)
    contains(run("herder", "status", "web").stdout, words)
    equal(web.workers(), before, "the workers")
expect(all(worker["evidence"] == "accepting" for worker in web.report()["workers"]), "the evidence is the old one")

# A worker that herder cannot look at is assumed to be ready. Its program may be executed and not read.
hidden = pathlib.Path("/srv/hidden")
write(hidden, "")
hidden.write_bytes(pathlib.Path(MISBEHAVE).read_bytes())
hidden.chmod(0o711)
secret = Instance("secret", settings([str(hidden), "epoll"]), listen=("127.0.0.1:9001",))
secret.start()
secret.wait_for_status("2/2 ready")
equal({worker["evidence"] for worker in secret.report()["workers"]}, {"assumed"}, "the evidence of one that hides")
