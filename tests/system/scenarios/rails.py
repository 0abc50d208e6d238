# tree: servers
# seconds: 300
# load: busy
"""The Rails site of the examples under Puma and under Unicorn: reloaded and broken while clients ask."""

from example import WORKERS, Application, bundle
from lab import contains, equal, install, write
from load import get

ADDRESS = "127.0.0.1:3000"

install()


def spoil(directory):
    write(directory / "app/controllers/pages_controller.rb", "class PagesController < Nothing\nend\n")


site = Application("rails", bundle)
site.deploy("1")
site.listen(site.settings())
contains(get(ADDRESS).body.decode(), "release 1")
# The kernel counts each deferred connection as dropped, and herder knows better.
equal(site.instance.report()["sockets"][0]["dropped"], None, "what is said to be dropped")
site.instance.at_full_strength(WORKERS, 60)
site.bears(ADDRESS, spoil, "-puma")
contains(site.instance.messages(), "uninitialized constant Nothing")

# Another server is a reload as well.
site.instance.configure(site.settings("unicorn.toml"))
site.bears(ADDRESS, spoil, "-unicorn")
