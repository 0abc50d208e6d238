# tree: servers
# seconds: 180
"""The programs in Go and in Rust of the examples: reloaded and broken while clients ask."""

import pathlib
import shutil

from example import Application
from lab import FILES, SCRIPTS, contains, install, systemctl
from load import get

ADDRESS = "127.0.0.1:8000"

install()


def tried(name, program, built, said):
    """One of them: what its program is called, where that was built, and what it answers."""
    application = Application(name, lambda directory: shutil.copy(built, directory / program))
    application.deploy("1")
    application.listen(application.settings())
    contains(get(ADDRESS).body.decode(), said)
    application.instance.at_full_strength(2)
    application.bears(ADDRESS, lambda directory: shutil.copy(SCRIPTS / "matrix/apps/broken.sh", directory / program))
    contains(application.instance.messages(), "this release is broken")
    systemctl("stop", application.instance.socket)


tried("go", "example", pathlib.Path("/opt/go/example"), "Go, worker ")
tried("rust", "listenfd-worker", FILES / "listenfd-worker", "HERDER_WORKER=")
