"""The applications of the examples: deployed as their pages say, with the files that the package has."""

import os
import pathlib
import shutil

from lab import Instance, equal, run, systemctl, wait_for, write
from load import Load

EXAMPLES = pathlib.Path("/usr/share/doc/herder/examples")
WORKERS = 3


class Application:
    """A release is a directory in /srv/NAME/releases, and /srv/NAME/current a link to the one in service. `prepare` does what
    the page says is to be done in the directory of a new one."""

    def __init__(self, name, prepare=lambda directory: None):
        self.name, self.prepare = name, prepare
        self.files = EXAMPLES / name
        self.root = pathlib.Path("/srv") / name

    def deploy(self, release, spoil=lambda directory: None):
        directory = self.root / "releases" / release
        shutil.copytree(self.files, directory)
        self.prepare(directory)
        spoil(directory)
        link = self.root / "next"
        link.symlink_to(directory)
        link.rename(self.root / "current")

    def settings(self, file="herder.toml", workers=WORKERS):
        """As shipped, but for a number of workers that depends on the machine."""
        return (self.files / file).read_text().replace('workers = "auto"', f"workers = {workers}")

    def listen(self, settings):
        """With the socket of the example."""
        self.instance = Instance(self.name, settings, listen=())
        self.instance.drop_in(self.instance.socket, (self.files / "socket.conf").read_text())
        systemctl("daemon-reload")
        self.instance.listen()

    def runs(self, release):
        """Every worker is of this release, and none of another is left."""

        def all_are():
            try:
                return {os.path.basename(os.readlink(f"/proc/{pid}/cwd")) for pid in self.instance.workers()} == {release}
            except FileNotFoundError:  # it has just ended
                return False

        wait_for(all_are, f"{release} in all workers")

    def bears(self, address, spoil, case=""):
        """A new release, and one that cannot be loaded, while clients ask without a pause: each of them is answered."""
        with Load(address) as load:
            load.more(100)
            self.deploy(f"good{case}")
            self.instance.reload()
            self.runs(f"good{case}")
            load.more(100)

            self.deploy(f"broken{case}", spoil)
            before = self.instance.workers()
            equal(self.instance.reload(check=False).returncode, 1, "the exit status of a reload to a broken release")
            equal(self.instance.workers(), before, "the workers after a reload to a broken release")
            load.more(100)
            self.deploy(f"mended{case}")
        load.expect_no_failure(300)


def bundle(directory):
    """`bundle install`, from the packages of the system."""
    run("env", "--chdir", str(directory), "BUNDLE_SILENCE_ROOT_WARNING=1", "bundle", "install", "--local", "--quiet")


def composer(directory):
    """`composer install`, of what Debian has as a package."""
    write(directory / "vendor/autoload.php", "<?php\nrequire '/usr/share/php/Twig/autoload.php';\n")
