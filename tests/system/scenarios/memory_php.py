# tree: servers
# systemd: 257
# seconds: 300
"""The PHP site of the examples costs as much memory as its page says, and answers as many requests, by php-cgi, where each
process has an opcache of its own, and by php-fpm, where the children of a master share one."""

import re
import statistics
import time

import fastcgi
import memory
from example import Application, composer
from lab import Instance, expect, install, write
from load import Load

# As many seconds at a time, so many times by turns: so that what else the machine does meets all of them alike.
SECONDS, ROUNDS = 2, 7
# Between what the page says and what is found here: how much faster code is than compiling it depends on the processor,
# and a shared machine is not fair. What the page recommends holds for any such ratios.
FACTOR = 1.5

install()


site = Application("php", composer)
site.deploy("1")
ask = fastcgi.asks_for(site.root / "releases/1/public/index.php")


def php_cgi(*options, requests=10000):
    command = "".join(f', "{option}"' for option in options)
    settings = site.settings().replace("workers = 8", f'command = ["php-cgi"{command}]\nworkers = 8')
    return settings.replace('"10000"', f'"{requests}"')


def php_fpm(masters, children):
    """The example's php-fpm.conf has the socket's name and the number in it."""
    conf = (site.files / "php-fpm.conf").read_text()
    conf = conf.replace("listen = /run/php.sock", "listen = ${SOCKET}")
    conf = conf.replace("pm.max_children = 8", f"pm.max_children = {children}")
    write(f"/etc/herder/php-fpm-{children}.conf", conf)
    settings = site.settings("php-fpm.toml").replace("php-fpm.conf", f"php-fpm-{children}.conf")
    return settings.replace("workers = 1", f"workers = {masters}") + 'environment.SOCKET = "{path}"\n'


page = site.files / "README.md"
memory.compare(
    page,
    {
        "php-cgi, `workers = 8`": php_cgi(),
        "php-fpm with 4 children, `workers = 2`": php_fpm(2, 4),
        "php-fpm with 8 children, `workers = 1`": php_fpm(1, 8),
    },
    ask,
)

servers = {
    "php-fpm, one opcache": php_fpm(1, 8),
    "php-cgi, an opcache each": php_cgi(),
    "php-cgi, an opcache each for 500 requests": php_cgi(requests=500),
    "php-cgi, no opcache": php_cgi("-d", "opcache.enable=0"),
}
for number, settings in enumerate(servers.values()):
    instance = Instance(f"s{number}", settings, listen=(f"/run/s{number}.sock",))
    instance.listen()
    instance.start()


def rate(number):
    with Load(f"/run/s{number}.sock", clients=4, ask=ask) as load:
        load.more(50)
        before, since = load.ok, time.monotonic()
        time.sleep(SECONDS)
        answered, took = load.ok - before, time.monotonic() - since
    load.expect_no_failure()
    return answered / took


rounds = [[rate(number) for number in range(len(servers))] for _ in range(ROUNDS)]
text = page.read_text()
wrong = []
for number, name in enumerate(servers):
    found = statistics.median(one[number] / one[0] for one in rounds) * 100
    print(f"measured: {name}: {found:.1f} %, {statistics.median(one[number] for one in rounds):.0f} requests a second")
    promised = re.search(rf"^\| {re.escape(name)} \| (\d+) % \|$", text, re.MULTILINE)
    if not promised or not 1 / FACTOR <= found / int(promised[1]) <= FACTOR:
        wrong.append(f"{name}: {found:.1f} %, and {page} says {promised and promised[0]}")
expect(not wrong, "\n".join(wrong))
