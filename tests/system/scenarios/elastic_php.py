# tree: servers
# seconds: 240
# load: busy
"""One burst of requests, live: herder starts more php-cgi while requests wait, every request is answered, and the workers
that are no longer needed leave."""

from burst import MOST, Burst
from lab import equal, expect, install, wait_for

ADDRESS = "/run/cgi.sock"

install()
burst = Burst()
php = burst.herder(ADDRESS)
burst.one(ADDRESS)
burst.play(ADDRESS, php.main_pid)
counters = php.report()["counters"]
expect(counters["scaleUps"] > 0, f"no worker was added: {counters}")
equal((counters["crashes"], counters["failures"]), (0, 0), "crashes and failures")
expect(php.report()["wanted"] <= MOST, "more workers than the settings allow")
wait_for(lambda: php.report()["wanted"] == 2, "two workers again", 60)
