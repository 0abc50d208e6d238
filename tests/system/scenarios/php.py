# tree: servers
# seconds: 300
"""The PHP site of the examples by php-cgi and by php-fpm, behind nginx and behind Apache."""

import os
import pathlib
import shutil
import signal

from example import Application, composer
from lab import contains, equal, expect, install, run, systemctl, wait_for
from load import Load, get

ADDRESS = "127.0.0.1:80"
SOCKET = pathlib.Path("/run/php.sock")
# Settings with which PHP does not start: there is no such script to preload.
SPOILED = '"-d", "opcache.preload=nothing.php"'

install()


site = Application("php", composer)


def page():
    return get(ADDRESS).body.decode()


def serves(file, workers):
    """Another server is a reload, and so is another php.ini; one with which PHP does not start changes nothing."""
    settings = site.settings(file)
    spoiled = settings.replace('preset = "php-cgi"\n', f'preset = "php-cgi"\ncommand = ["php-cgi", {SPOILED}]\n')
    spoiled = spoiled.replace('"/etc/herder/php-fpm.conf"]', f'"/etc/herder/php-fpm.conf", {SPOILED}]')
    with Load(ADDRESS) as load:
        load.more(100)
        site.instance.configure(settings)
        site.instance.reload()
        wait_for(lambda: len(site.instance.workers()) == workers, f"{workers} workers")
        load.more(100)

        before = site.instance.workers()
        site.instance.configure(spoiled)
        equal(site.instance.reload(check=False).returncode, 1, "the exit status of a reload without that script")
        equal(site.instance.workers(), before, "the workers after it")
        load.more(100)
        site.instance.configure(settings)
    load.expect_no_failure(300)
    expect(SOCKET.is_socket(), "the socket is gone")


site.deploy("1")
shutil.copy(site.files / "php-fpm.conf", "/etc/herder/php-fpm.conf")
site.listen(site.settings())
shutil.copy(site.files / "nginx.conf", "/etc/nginx/sites-available/php")
pathlib.Path("/etc/nginx/sites-enabled/default").unlink()
pathlib.Path("/etc/nginx/sites-enabled/default").symlink_to("../sites-available/php")
systemctl("start", "nginx")
contains(page(), "release 1")
site.instance.at_full_strength(8)

serves("php-fpm.toml", 1)
serves("herder.toml", 8)

site.instance.configure(site.settings().replace('"10000"', '"500"'))
site.instance.reload()
with Load(ADDRESS) as load:
    # nginx asks another worker then, and names the release itself.
    load.more(100)
    victim = site.instance.workers()[0]
    os.kill(victim, signal.SIGKILL)
    site.deploy("2")
    contains(page(), "release 2")
    wait_for(lambda: victim not in site.instance.workers(), "the end of the victim")
    site.instance.at_full_strength(8)
    # Each ends after 500 requests, and the next one is there.
    load.more(5000)
load.expect_no_failure(5000)
ends = site.instance.events("worker_ended", was_ready="yes", manner="retired")
expect(ends, "no worker has ended after its 500 requests")

systemctl("stop", "nginx")
shutil.copy(site.files / "apache.conf", "/etc/apache2/sites-available/php.conf")
run("a2enmod", "--quiet", "proxy_fcgi")
run("a2dissite", "--quiet", "000-default")
run("a2ensite", "--quiet", "php")
systemctl("start", "apache2")
contains(page(), "release 2")
serves("php-fpm.toml", 1)
serves("herder.toml", 8)
