"""The units of herder-metrics(1): one port, and one file, for all instances, by a user that can look but not change."""

import http.client
import os
import signal
import stat
import time

from lab import SLOWNESS, WEB, Instance, contains, equal, expect, install, run, systemctl, systemctl_value, wait_for

install()
instances = []
# One runtime directory that every user may read, and one in /run/private.
for name, port, service in (
    ("web", 8000, ""),
    ("shop", 8001, "[Service]\nRuntimeDirectoryPreserve=restart\n"),
):
    settings = f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n'
    instance = Instance(name, settings, listen=(f"127.0.0.1:{port}",), service=service)
    instance.listen()
    instance.start()
    instance.at_full_strength(2)
    instances.append(instance)
web, shop = instances


def get(path, host="127.0.0.1:14373"):
    connection = http.client.HTTPConnection("127.0.0.1", 14373, timeout=10)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


units = ["herder-metrics.socket", "herder-metrics.service", "herder-textfile.timer", "herder-textfile.service"]
equal(run("systemd-analyze", "verify", "--man=no", *units).stdout, "", "what systemd-analyze verify says")
for unit in units[::2]:
    equal(systemctl_value(unit, "UnitFileState"), "disabled", f"the state of {unit} after the installation")

# The first request starts it; it is not root, and can ask the one in /run/private all the same.
equal(os.readlink("/run/herder/shop"), "../private/herder/shop", "where shop is")
systemctl("start", "herder-metrics.socket")
status, text = get("/metrics")
equal(status, 200, "the status of /metrics")
for name in ("web", "shop"):
    contains(text, f'herder_up{{name="{name}"}} 1\n')
    contains(text, f'herder_slot_ready{{name="{name}",slot="1"}} 1\n')
equal(get("/")[0], 200, "the status of the page")
contains(get("/status.json")[1], '"silent":[]')
equal(get("/metrics", host="evil.example")[0], 421, "the status for the name of another host")
equal(get("/metrics", host=os.uname().nodename)[0], 200, "the status for the name of this machine")

# It runs without root and with one capability, and sees no file of the machine.
pid = systemctl_value("herder-metrics.service", "MainPID")
told = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line)
expect("0" not in told["Uid"].split(), f"it runs as {told['Uid']}")
equal(int(told["CapEff"], 16), 1 << 2, "its capabilities: CAP_DAC_READ_SEARCH alone")
for path in ("/etc/shadow", "/etc/herder", "/var/lib/dpkg", "/root/.bashrc"):
    expect(not os.path.exists(f"/proc/{pid}/root{path}"), f"it sees {path}")

# An instance that hangs is reported as down, and does not delay the others.
os.kill(web.main_pid, signal.SIGSTOP)
DOWN = 'herder_up{name="shop"} 1\nherder_up{name="web"} 0\n'


def is_down():
    before = time.monotonic()
    text = get("/metrics")[1]
    took = time.monotonic() - before
    # It gives up after 1.5 seconds; the rest is for a machine that is busy with other work.
    expect(took < 10 * SLOWNESS, f"it took {took} s")
    return DOWN in text


# What was asked within the same second is not asked again.
wait_for(is_down, "web to be down in the answer", seconds=20)

# The textfile collector's file. As root it checks that it asks herder and not a worker, which takes systemctl.
directory = "/var/lib/prometheus/node-exporter"
os.makedirs(directory)
systemctl("start", "herder-textfile.service")
with open(f"{directory}/herder.prom") as file:
    text = file.read()
    equal(stat.S_IMODE(os.fstat(file.fileno()).st_mode), 0o644, "the mode of the file")
contains(text, DOWN)
equal(os.listdir(directory), ["herder.prom"], "what is in the directory")
os.kill(web.main_pid, signal.SIGCONT)
systemctl("start", "herder-textfile.timer")


def both_up():
    with open(f"{directory}/herder.prom") as file:
        return 'herder_up{name="web"} 1\n' in (text := file.read()) and 'herder_up{name="shop"} 1\n' in text


wait_for(both_up, "the timer to write that both are up", seconds=60)
