"""A reload to something broken fails, says why, and changes nothing for clients."""

from lab import Instance, Release, contains, equal, expect, install, run, started_at
from load import Load, get

install()
Release.deploy("good")
SETTINGS = Release.settings + 'workers = 4\nstart-timeout = "3s"\n'
web = Instance("web", SETTINGS)
web.listen()
web.start()
before = [(pid, started_at(pid)) for pid in web.at_full_strength(4)]

BROKEN = {
    "unknown key": (SETTINGS + "worker = 4\n", None, "did you mean"),
    "no such command": (SETTINGS.replace("./run", "./runn"), None, "No such file or directory"),
    "no such directory": (SETTINGS.replace("/srv/app/current", "/srv/app/nowhere"), None, "No such file or directory"),
    "dies at once": (SETTINGS, "exit 3", "exited with status 3"),
    "its child knows why": (SETTINGS, "echo starting; sh -c 'echo no such thing; sleep 0.5'; exit 4", "no such thing"),
    "never ready": (SETTINGS, "exec sleep 1000", "not ready"),
}
with Load("127.0.0.1:8000") as load:
    for number, (name, (settings, script, reason)) in enumerate(BROKEN.items()):
        load.more(300)
        web.configure(settings)
        Release.deploy(f"broken{number}", script) if script else None
        # Trap 5: only a failing ExecReload= makes systemctl reload fail.
        expect(web.reload(check=False).returncode == 1, f"{name}: systemctl reload did not fail")
        # Trap 7: and the reload is over then.
        equal(web.state, "active", f"{name}: the unit after the reload")
        contains(web.messages(), reason)
        told = run("herder", "reload", "web", check=False)
        expect(told.returncode == 1, f"{name}: herder reload did not fail")
        contains(told.stdout, reason)
        contains(run("systemctl", "status", web.service).stdout, "reload")
        web.configure(SETTINGS)
        Release.deploy(f"good{number}")
load.expect_no_failure(1800)
equal([(pid, started_at(pid)) for pid in web.workers()], before, "the workers")
web.wait_for_status("4/4 ready")
equal(get("127.0.0.1:8000").body.split()[0], b"good", "the release")
web.reload()
web.wait_for_status("4/4 ready")
equal(get("127.0.0.1:8000").body.split()[0], b"good5", "the release after mending it")
