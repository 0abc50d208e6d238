# tree: servers
# systemd: 257
# seconds: 300
# load: busy
"""How many requests a second php-cgi answers, where each process has an opcache of its own, compared with php-fpm, where the
children of a master share one."""

import statistics
import time

import phpsite
from lab import Instance, install
from load import Load

# The servers take turns, many times and briefly, so that other work of the machine slows down all of them alike.
SECONDS, ROUNDS = 2, 7

install()
site = phpsite.Site()
servers = {
    "php-fpm, one opcache": site.php_fpm(1, 8),
    "php-cgi, an opcache each": site.php_cgi(),
    "php-cgi, an opcache each for 500 requests": site.php_cgi(requests=500),
    "php-cgi, no opcache": site.php_cgi("-d", "opcache.enable=0"),
}
for number, settings in enumerate(servers.values()):
    instance = Instance(f"s{number}", settings, listen=(f"/run/s{number}.sock",))
    instance.listen()
    instance.start()


def rate(number):
    with Load(f"/run/s{number}.sock", clients=4, ask=site.ask) as load:
        load.more(50)
        before, since = load.ok, time.monotonic()
        time.sleep(SECONDS)
        answered, took = load.ok - before, time.monotonic() - since
    load.expect_no_failure()
    return answered / took


rounds = [[rate(number) for number in range(len(servers))] for _ in range(ROUNDS)]
for number, name in enumerate(servers):
    share = statistics.median(one[number] / one[0] for one in rounds) * 100
    speed = statistics.median(one[number] for one in rounds)
    print(f"measured: {name}: {share:.1f} %, {speed:.0f} requests a second")
