# seconds: 240
# load: busy
"""`systemctl reload` under load replaces every worker and fails no request of at least 20,000."""

from lab import Instance, Release, equal, install, wait_for
from load import Load, get

REQUESTS = 20_000

install()
Release.deploy("r1")
web = Instance("web", Release.settings + "workers = 4\n", listen=("127.0.0.1:8000", "/run/web.sock"))
web.listen()
web.start()
before = web.at_full_strength(4)
main = web.main_pid
reloads = 0
with (
    Load("127.0.0.1:8000", 2) as fresh,
    Load("/run/web.sock", 1) as unix,
    Load("127.0.0.1:8000", 1, keep_alive=True) as kept,
):
    fresh.wait_until(500)
    while reloads < 3 or fresh.ok + unix.ok < REQUESTS:
        reloads += 1
        Release.deploy(f"r{reloads + 1}")
        web.reload()
        # It returns when the last old worker has been told to drain; that one may still finish what it has begun.
        after = set(wait_for(lambda: len(pids := web.workers()) == 4 and pids, "the end of the drained workers"))
        for _ in range(20):
            equal(
                get("127.0.0.1:8000").body.split()[0].decode(), f"r{reloads + 1}", f"the release after reload {reloads}"
            )
        equal(after & set(before), set(), f"workers that reload {reloads} left alone")
        before = after
        fresh.more(1000)
print(f"{reloads} reloads")
fresh.expect_no_failure(REQUESTS // 4)
unix.expect_no_failure(REQUESTS // 10)
kept.expect_no_failure()
equal(fresh.ok + unix.ok >= REQUESTS, True, f"{fresh.ok} + {unix.ok} requests, at least {REQUESTS}")
equal(web.main_pid, main, "herder's pid")
equal(web.show("NRestarts"), "0", "restarts")
web.wait_for_status(f"4/4 ready, generation {reloads + 1}")
