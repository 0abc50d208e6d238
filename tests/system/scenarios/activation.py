# machine: container vm
# seconds: 240
"""The first connection starts the instance, and every worker gets exactly what the manual promises."""

import os

from lab import FILES, WEB, Instance, capable, contains, environ_of, equal, expect, install, systemctl, wait_for, write
from load import get

install()
# A second socket, with a name of its own, from a unit of its own (trap 3: which comes first is undefined).
write(
    "/etc/systemd/system/admin.socket",
    "[Socket]\nListenStream=/run/admin.sock\nFileDescriptorName=admin\nService=herder@web.service\n",
)
web = Instance("web", f"command = {WEB.split()!r}\nworkers = 3\n", listen=("127.0.0.1:8000", "127.0.0.1:8001"))
systemctl("start", web.socket, "admin.socket")
equal(web.state, "inactive", "the service before the first connection")

first = get("127.0.0.1:8000", "/info").json()
web.wait_until("active")
workers = web.at_full_strength(3)
expect(first["pid"] in workers, f"{first['pid']} answered, which is none of {workers}")

# `systemctl status` shows the same line.
contains(systemctl("status", web.service).stdout, 'Status: "3/3 ready, generation 1')

infos = {}


def every_worker_has_answered():
    for address in ("127.0.0.1:8000", "127.0.0.1:8001", "/run/admin.sock"):
        info = get(address, "/info").json()
        infos[info["pid"]] = info
    return len(infos) == 3


wait_for(every_worker_has_answered, "an answer of each worker")
equal(sorted(infos), workers, "the workers that answered")
main = environ_of(web.main_pid)
for pid, info in infos.items():
    environ = info["environ"]
    # Trap 2: the worker's own pid. These names are what libsystemd, in the worker, made of it.
    equal(environ["LISTEN_PID"], str(pid), "LISTEN_PID")
    equal(sorted(info["fds"].values()), ["admin", "web", "web"], "the sockets libsystemd sees")
    equal(sorted(info["fds"]), ["3", "4", "5"], "their descriptors")
    equal([info["fds"][fd] for fd in "345"], main["LISTEN_FDNAMES"].split(":"), "their order, as systemd gave it")
    # Only its own: stdin, stdout, stderr and these.
    listed = {fd for fd, target in info["open"].items() if not target.startswith("/proc/")}
    equal(listed, {"0", "1", "2", "3", "4", "5"}, f"open descriptors in {info['open']}")
    equal(info["open"]["0"], "/dev/null", "stdin")
    # Trap 1, and everything else that speaks to systemd in herder's name.
    for name in ("LISTEN_PIDFDID", "WATCHDOG_PID", "WATCHDOG_USEC", "FDSTORE", "MAINPID", "SYSTEMD_EXEC_PID"):
        expect(name not in environ, f"a worker has {name}={environ.get(name)}")
    expect(environ["NOTIFY_SOCKET"] != main["NOTIFY_SOCKET"], "a worker has herder's NOTIFY_SOCKET")
    for name in ("INVOCATION_ID", "JOURNAL_STREAM", "RUNTIME_DIRECTORY"):
        equal(environ[name], main[name], name)
    equal(info["sid"], pid, "its session")
    equal(info["oom_score_adj"], 0, "its oom_score_adj")
    equal(int(info["status"]["SigBlk"], 16), 0, "its signal mask")
    expect(61184 <= info["uid"] <= 65519, f"the uid {info['uid']} is not a dynamic one")
equal({info["environ"]["HERDER_SLOT"] for info in infos.values()}, {"0", "1", "2"}, "the slots")
equal({info["environ"]["HERDER_GENERATION"] for info in infos.values()}, {"1"}, "the generations")
equal(len({info["environ"]["HERDER_WORKER"] for info in infos.values()}), 3, "the number of worker ids")
equal(web.show("OOMScoreAdjust"), "-500", "OOMScoreAdjust=")
if capable("CAP_SYS_RESOURCE"):
    equal(int(open(f"/proc/{web.main_pid}/oom_score_adj").read()), -500, "herder's own oom_score_adj")
else:
    print("not looked at: herder's own oom_score_adj, for this machine may not lower one")

# An off-the-shelf Rust worker on the listenfd crate, and a selection by name.
os.chmod(FILES, 0o755)
rust = Instance(
    "rust", f'command = ["{FILES}/listenfd-worker"]\nworkers = 2\nsockets = ["rust"]\n', listen=("127.0.0.1:8002",)
)
rust.listen()
print(get("127.0.0.1:8002").body.decode())
rust.at_full_strength(2)
