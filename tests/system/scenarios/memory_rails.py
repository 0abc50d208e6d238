# tree: servers
# systemd: 257
# seconds: 300
# load: busy
"""The Rails site of the examples is served by one process for each worker, and by a Puma that loads the site once for many."""

import memory
from example import Application, bundle
from lab import install

install()


site = Application("rails", bundle)
site.deploy("1")


def puma(workers, processes):
    """So many workers, and in each of them so many processes that share what was loaded before the fork."""
    cluster = f'"puma", "--preload", "--workers", "{processes}"'
    settings = site.settings(workers=workers)
    return settings.replace('"puma"]', cluster + "]") if processes else settings


memory.serve(
    site.files / "README.md",
    {
        "Puma, `workers = 8`": puma(8, 0),
        "Unicorn, `workers = 8`": site.settings("unicorn.toml", 8),
        "Puma `--preload --workers 4`, `workers = 2`": puma(2, 4),
        "Puma `--preload --workers 8`, `workers = 1`": puma(1, 8),
    },
)
