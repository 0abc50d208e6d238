"""A user of one's own in place of the dynamic one: `User=` in a drop-in is enough."""

import pwd

from lab import WEB, Instance, equal, install, run
from load import get

install()
run("useradd", "--system", "app")
uid = pwd.getpwnam("app").pw_uid
web = Instance("web", f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n', service="[Service]\nUser=app\n")
web.listen()
equal(get("127.0.0.1:8000", "/info").json()["uid"], uid, "the workers' uid")
web.at_full_strength(2)
web.reload()
web.wait_for_status("generation 2")
equal((web.runtime / "control").stat().st_uid, uid, "the owner of the control socket")
# That user may reload without root.
run("setpriv", "--reuid", "app", "--regid", "app", "--clear-groups", "herder", "reload", "web")
web.wait_for_status("generation 3")
