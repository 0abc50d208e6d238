# systemd: 257
"""systemd's own varlinkctl understands the control socket: it introspects every interface and calls every method."""

import json
import selectors
import subprocess

from lab import WEB, Instance, contains, equal, expect, install, run, wait_for, write
from varlink import Connection, Interface

HERDER, SERVICE = "io.herder.Control", "io.systemd.service"

install()
web = Instance("web", f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n')
web.listen()
web.start()
web.at_full_strength(2)
CONTROL = web.runtime / "control"
ADDRESS = f"unix:{CONTROL}"

# What it says of itself.
contains(run("varlinkctl", "info", ADDRESS).stdout, HERDER)
names = run("varlinkctl", "list-interfaces", ADDRESS).stdout.split()
equal(sorted(names), sorted(["org.varlink.service", HERDER, SERVICE]), "the interfaces")
interfaces = {}
for name in names:
    text = run("varlinkctl", "introspect", ADDRESS, name, quiet=True).stdout
    interfaces[name] = Interface(text)
    equal(interfaces[name].name, name, "the name in its description")
    # As it came over the wire, with its comments.
    with Connection(CONTROL) as connection:
        reply = connection.call("org.varlink.service.GetInterfaceDescription", interface=name)
    write("/run/description", reply["parameters"]["description"])
    run("varlinkctl", "validate-idl", "/run/description", quiet=True)
    equal(Interface(reply["parameters"]["description"]).methods, interfaces[name].methods, "its methods")
listed = run("varlinkctl", "list-methods", ADDRESS).stdout.split()
described = [f"{name}.{method}" for name, interface in interfaces.items() for method in interface.methods]
equal(sorted(listed), sorted(described), "its methods as a list")

called = set()


def objects(text):
    """JSON objects after each other, as varlinkctl prints several replies."""
    decoder, text = json.JSONDecoder(), text.replace("\x1e", " ").strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].strip()


def call(method, more=False, fails=None, **parameters):
    """All replies to a call, each held to the description; if it is to fail, the error's name."""
    called.add(method)
    options = ["--json=short", *(["--more"] if more else [])]
    command = ["varlinkctl", *options, "call", ADDRESS, method, json.dumps(parameters)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    print("$", *command, "→", done.returncode, done.stdout[:300], done.stderr)
    equal(done.returncode != 0, fails is not None, f"the failure of {method}: {done.stderr}")
    if fails:
        contains(done.stderr + done.stdout, fails)
        return None
    replies = list(objects(done.stdout))
    interface, name = method.rsplit(".", 1)
    for reply in replies:
        interfaces[interface].check_reply(name, reply)
    return replies if more else replies[0]


def stream(method, cause, **parameters):
    """The first replies of a stream that has no end, while something happens."""
    called.add(method)
    command = ["varlinkctl", "--json=short", "--more", "call", ADDRESS, method, json.dumps(parameters)]
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        if cause:
            # Nothing tells when it has begun to listen, so changes are made until it reports one.
            readable = selectors.DefaultSelector()
            readable.register(reader.stdout, selectors.EVENT_READ)
            while not readable.select(0):
                cause()
        lines = [reader.stdout.readline() for _ in range(2)]
    finally:
        reader.kill()
        reader.wait()
    replies = list(objects("".join(lines)))
    interface, name = method.rsplit(".", 1)
    for reply in replies:
        interfaces[interface].check_reply(name, reply)
    expect(replies, f"nothing from {method}")
    return replies


about = call(f"{HERDER}.Describe")["description"]
equal((about["name"], about["pid"], about["file"]), ("web", web.main_pid, str(web.file)), "what it is")
status = call(f"{HERDER}.Status")["status"]
equal(sorted(worker["pid"] for worker in status["workers"]), web.workers(), "the workers in the status")

equal(call(f"{HERDER}.Watch")["status"]["ready"], 2, "ready workers, watched without `more`: once")
watched = stream(f"{HERDER}.Watch", None, intervalUSec=200_000)
equal(watched[0]["status"]["wanted"], 2, "workers wanted, as watched")

equal(call(f"{HERDER}.Scale", workers=3)["wanted"], 3, "workers wanted after scaling")
web.at_full_strength(3)
steps = call(f"{HERDER}.Scale", more=True, workers=2)
equal((steps[-1]["wanted"], steps[-1]["ready"]), (2, 2), "the last step of scaling")
web.at_full_strength(2)

before = web.workers()
equal(call(f"{HERDER}.Recycle", slot=0)["replaced"], 1, "workers that were recycled")
wait_for(lambda: len(set(before) & set(web.workers())) == 1, "another worker in one slot")
steps = call(f"{HERDER}.Recycle", more=True)
equal((steps[-1]["replaced"], steps[-1]["wanted"]), (2, 2), "the last step of recycling all")
wait_for(lambda: not set(before) & set(web.workers()), "other workers in both slots")
call(f"{HERDER}.Recycle", slot=77, fails="NotFound")

victim = next(worker for worker in web.report()["workers"] if worker["state"] == "ready")
call(f"{HERDER}.StopWorker", worker=victim["id"])
expect(victim["pid"] not in web.workers(), "the worker is there after the reply")
call(f"{HERDER}.StopWorker", worker=victim["id"], fails="NotFound")
web.at_full_strength(2)

contains(call(f"{HERDER}.Set", settings=["stop-timeout=7s"])["message"], "stop-timeout")
changed = [{"key": "stop-timeout", "value": '"7s"', "before": '"30s"'}]
equal(call(f"{HERDER}.Status")["status"]["set"], changed, "what is set")
call(f"{HERDER}.Set", settings=["nice=3"], fails=f"{HERDER}.Failed")

equal(call(f"{HERDER}.Reload")["generation"], 2, "the generation after a reload")
steps = call(f"{HERDER}.Reload", more=True)
equal((steps[-1]["generation"], steps[-1]["replaced"]), (3, 2), "the last step of a reload")
expect(len(steps) > 1, f"a reload with `more` had no steps: {steps}")
equal(call(f"{HERDER}.Reload", previous=True)["wanted"], 2, "workers wanted after the way back")
call(f"{HERDER}.AbortReload")
web.configure("nonsense = 1\n")
call(f"{HERDER}.Reload", fails="ReloadRefused")

call(f"{HERDER}.SetLogLevel", level="debug")
equal(call(f"{HERDER}.Describe")["description"]["logLevel"], "debug", "the log level")
call(f"{HERDER}.SetLogLevel", level="shout", fails="InvalidParameter")
call(f"{SERVICE}.SetLogLevel", level=6)
equal(call(f"{SERVICE}.GetLogLevel")["level"], 6, "the log level as the generic interface tells it")
call(f"{SERVICE}.Ping")
call(f"{SERVICE}.Reload", fails="ReloadRefused")
web.configure(f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n')
call(f"{SERVICE}.Reload")
web.at_full_strength(2)


def something_happens():
    call(f"{HERDER}.Recycle", slot=0)


of_recycling = {"change_requested", "worker_started", "worker_ready", "worker_recycled", "worker_ended"}
kinds = {reply["event"]["kind"] for reply in stream(f"{HERDER}.Events", something_happens)}
expect(kinds <= of_recycling, f"{kinds}: other events than those of a recycling")

call("org.varlink.service.GetInfo")
call("org.varlink.service.GetInterfaceDescription", interface=HERDER)

# Errors have the names that the protocol defines.
for method, parameters, error in (
    (f"{HERDER}.Nothing", {}, "org.varlink.service.MethodNotFound"),
    ("com.example.Nothing", {}, "org.varlink.service.InterfaceNotFound"),
    ("org.varlink.service.GetInterfaceDescription", {"interface": "com.example"}, "org.varlink.service.InterfaceNotFound"),
    (f"{HERDER}.Scale", {}, "org.varlink.service.InvalidParameter"),
    (f"{HERDER}.Scale", {"workers": "three"}, "org.varlink.service.InvalidParameter"),
    (f"{HERDER}.Scale", {"workers": -1}, "org.varlink.service.InvalidParameter"),
    (f"{HERDER}.Scale", {"workers": 1, "extra": 2}, "org.varlink.service.InvalidParameter"),
    (f"{HERDER}.Events", {}, "org.varlink.service.ExpectedMore"),
):
    with Connection(CONTROL) as connection:
        equal(connection.call(method, **parameters).get("error"), error, f"the error of {method} {parameters}")
web.at_full_strength(2)

left = set(described) - called
equal(left, set(), "methods that were not called")
