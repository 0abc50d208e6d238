"""A deploy user without root: by a control socket for its group, by `control-group`, and by `systemctl reload` with polkit."""

import json
import pathlib

from lab import WEB, Instance, contains, equal, expect, install, run, systemctl, wait_for, write

install()
EXAMPLES = pathlib.Path("/usr/share/doc/herder/examples")
SETTINGS = f'command = {WEB.split()!r}\nworkers = 2\nready = "notify"\n'
run("groupadd", "deploy")
run("useradd", "--groups", "deploy", "anna")
run("useradd", "stranger")


def as_user(user, *command):
    """The exit status of a command, and what it said."""
    done = run("setpriv", "--reuid", user, "--regid", user, "--init-groups", *command, check=False)
    return done.returncode, done.stdout


def ask(user, instance, method, **parameters):
    """The reply to a call over the group's socket, or the name of the error that connecting ended with."""
    code = "import json, sys; from varlink import Connection\n"
    code += "try: reply = Connection(sys.argv[1]).call('io.herder.Control.' + sys.argv[2], **json.loads(sys.argv[3]))\n"
    code += "except OSError as error: reply = {'error': type(error).__name__}\n"
    code += "print(json.dumps(reply))"
    arguments = (f"/run/{instance.name}-control.sock", method, json.dumps(parameters))
    return json.loads(as_user(user, "python3", "-c", code, *arguments)[1])


def instance(name, settings, port):
    """With the example's socket, and otherwise as shipped: DynamicUser=, so other users cannot look into its directory."""
    unit = (EXAMPLES / "herder-control.socket").read_text().replace("NAME", name)
    write(f"/etc/systemd/system/{name}-control.socket", unit)
    made = Instance(name, settings, listen=(f"127.0.0.1:{port}",))
    systemctl("enable", "--now", f"{name}-control.socket", made.socket)
    made.start()
    made.at_full_strength(2)
    # Workers get their own socket, and not this one.
    equal([found["name"] for found in made.report()["sockets"]], [name], "the workers' sockets")
    return made


web = instance("web", SETTINGS + 'control-group = "deploy"\n', 8000)
equal(ask("anna", web, "Status")["parameters"]["status"]["ready"], 2, "ready workers, as a deploy user sees it")
equal(ask("anna", web, "Scale", workers=3)["parameters"]["wanted"], 3, "workers wanted by a deploy user")
web.at_full_strength(3)
equal(ask("anna", web, "Reload")["parameters"]["generation"], 2, "the generation after a reload by a deploy user")
equal(ask("stranger", web, "Status")["error"], "PermissionError", "what a stranger gets")
# The same users by the commands, where those can reach the instance.
equal(as_user("anna", "herder", "scale", "web", "2")[0], 0, "the exit status of herder scale by a deploy user")
equal(as_user("stranger", "herder", "scale", "web", "1")[0], 4, "the exit status of herder scale by a stranger")
web.at_full_strength(2)

# Without the setting the group may look, but not touch.
plain = instance("plain", SETTINGS, 8001)
equal(ask("anna", plain, "Status")["parameters"]["status"]["ready"], 2, "ready workers, as seen by a user that may look")
refused = ask("anna", plain, "Scale", workers=3)
equal(refused["error"], "io.herder.Control.NotPermitted", "the error for a user that may not change anything")
expect(refused["parameters"]["reason"], "a refusal without a reason")
plain.at_full_strength(2)

# systemctl reload, by the example's rule: this verb, these units, this group.
reload = ("systemctl", "--no-ask-password", "reload", web.service)
expect(as_user("anna", *reload)[0] != 0, "a deploy user may reload without a rule")
write("/etc/polkit-1/rules.d/50-herder-deploy.rules", (EXAMPLES / "herder-deploy.rules").read_text())
systemctl("restart", "polkit.service")
equal(as_user("anna", *reload)[0], 0, "the exit status of systemctl reload by a deploy user")
web.wait_for_status("generation 3")
for user, verb, unit in (("anna", "stop", web.service), ("anna", "reload", "dbus.service"), ("stranger", "reload", web.service)):
    status, said = as_user(user, "systemctl", "--no-ask-password", verb, unit)
    expect(status != 0, f"{user} may {verb} {unit}: {said}")
web.wait_for_status("2/2 ready, generation 3")
