"""What `herder import` makes of other managers' files is what systemd and herder run: sockets, users, limits and workers."""

import grp
import pwd
import stat

from lab import WEB, Instance, contains, equal, expect, install, pathlib, run, systemctl, write
from load import get

install()
run("useradd", "--system", "app")
app = pwd.getpwnam("app")

# supervisord gave the socket of an fcgi-program to each process as its standard input.
write(
    "/etc/supervisor/conf.d/site.conf",
    f"""
[supervisord]
environment=WEB_TEXT="from {{supervisord}}, 100%%"

[fcgi-program:site]
command={WEB} ; as it was
socket=unix:///run/site/site.sock
socket_owner=root:app
socket_mode=0660
socket_backlog=7
numprocs=2
process_name=%(program_name)s_%(process_num)02d
user=app
umask=027
stopsignal=TERM
stopwaitsecs=20
stdout_logfile=/var/log/site.log
environment=NUMBER="%(process_num)02d",PATH="/srv/bin:%(ENV_PATH)s",RUN="of %(ENV_INVOCATION_ID)s"

[program:queue]
command=/bin/sleep infinity
autostart=false
""",
)
# A Procfile in the application's directory. It says neither how many processes to run nor as which user.
write("/srv/shop/Procfile", f"web: WEB_TEXT='a shop' {WEB} --port $PORT\nrelease: /bin/false\n")
write("/srv/shop/.env", "FROM_DOTENV=yes\n")
# The pool's user, group and clients; this machine has no php-cgi.
write(
    "/etc/php/pool.d/www.conf",
    """
[www]
user = www-data
group = www-data
listen = /run/php/www.sock
listen.owner = www-data
listen.group = app
pm = static
pm.max_children = 3

[local]
user = www-data
listen = 127.0.0.1:9000
listen.allowed_clients = 127.0.0.1
rlimit_files = 4321
process.priority = 5
pm = static
pm.max_children = 3
""",
)
for file in ("/etc/supervisor/conf.d/site.conf", "/srv/shop/Procfile", "/etc/php/pool.d/www.conf"):
    prefix = ("--prefix", "shop-") if file.endswith("Procfile") else ()
    run("herder", "import", "--output", "/", *prefix, file)
again = run("herder", "import", "--output", "/", "/srv/shop/Procfile", "--prefix", "shop-", check=False)
equal(again.returncode, 1, "the exit status where something is there already")
contains(again.stdout, "/etc/herder/shop-web.toml")
systemctl("daemon-reload")


class Imported(Instance):
    """An instance whose files are there already."""

    def __init__(self, name):
        self.name, self.service, self.socket = name, f"herder@{name}.service", f"herder@{name}.socket"
        self.runtime = pathlib.Path("/run/herder", name)
        run("herder", "check", f"/etc/herder/{name}.toml")


def owner_of(path):
    status = pathlib.Path(path).stat()
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    return pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name, mode


site = Imported("site")
systemctl("enable", "--now", site.socket)
equal(owner_of("/run/site/site.sock"), ("root", "app", "660"), "the owner of the socket")
equal(run("systemctl", "show", "--property", "Backlog", "--value", site.socket).stdout.strip(), "7", "its backlog")
info = get("/run/site/site.sock", "/info").json()
site.at_full_strength(2)
equal((info["uid"], info["text"]), (app.pw_uid, "from {supervisord}, 100%"), "the user and a variable of the workers")
expect(info["open"]["0"].startswith("socket:"), f"standard input is {info['open']['0']}")
expect(info["environ"]["NUMBER"] in ("00", "01"), f"NUMBER={info['environ']['NUMBER']}")
expect(info["environ"]["PATH"].startswith("/srv/bin:/usr/"), f"PATH={info['environ']['PATH']}")
equal(info["environ"]["RUN"], "of " + info["environ"]["INVOCATION_ID"], "what a shell has looked up")
equal(int(info["status"]["Umask"], 8), 0o027, "the umask")
equal(info["environ"]["LISTEN_PID"], str(info["pid"]), "LISTEN_PID, behind a shell that became the worker")
site.reload()
site.wait_for_status("2/2 ready, generation 2")

shop = Imported("shop-web")
systemctl("enable", "--now", shop.socket)
info = get("127.0.0.1:5000", "/info").json()
equal((info["text"], info["cwd"]), ("a shop", "/srv/shop"), "the variable at the front, and the directory")
equal((info["environ"]["FROM_DOTENV"], info["environ"]["PORT"]), ("yes", "5000"), ".env, and the port")

queue = Imported("queue")
systemctl("start", queue.service)
queue.at_full_strength(1)

# Socket units alone, with what the pools said about them.
systemctl("start", "herder@www.socket", "herder@local.socket")
equal(owner_of("/run/php/www.sock"), ("www-data", "app", "660"), "the owner of the pool's socket")
shown = systemctl("show", "herder@local.socket", "--property=IPAddressAllow,IPAddressDeny").stdout
for part in ("IPAddressAllow=127.0.0.1/32", "0.0.0.0/0", "::/0"):
    contains(shown, part)
contains(systemctl("show", "herder@local.service", "--property=User").stdout, "User=www-data")
pool = pathlib.Path("/etc/herder/local.toml").read_text()
for line in ("limits.nofile = 4321", "nice = 5"):
    contains(pool, line)
