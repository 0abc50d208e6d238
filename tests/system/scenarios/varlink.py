# systemd: 257
"""systemd's own varlinkctl understands the control socket; 252 has none."""

import json

from lab import WEB, Instance, contains, equal, install, run

install()
web = Instance("web", f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n')
web.listen()
web.start()
web.at_full_strength(2)
address = f"unix:{web.runtime}/control"
contains(run("varlinkctl", "info", address).stdout, "io.herder.Control")
contains(run("varlinkctl", "introspect", address, "io.herder.Control").stdout, "method Status")
status = json.loads(run("varlinkctl", "call", address, "io.herder.Control.Status", "{}").stdout)
equal(len(status["status"]["workers"]), 2, "workers in the status")
reloaded = json.loads(run("varlinkctl", "call", address, "io.herder.Control.Reload", "{}").stdout)
equal(reloaded["generation"], 2, "the generation after a reload")
web.wait_for_status("2/2 ready, generation 2")
equal(json.loads(run("herder", "status", "--json", "web").stdout)["generation"], 2, "the generation in herder status")
