# tree: servers
# seconds: 180
"""The server in Node of the examples: reloaded and broken while clients ask, on new connections and on old ones."""

from example import WORKERS, Application
from lab import contains, equal, install, systemctl, write
from load import Load, ask, connect, get

ADDRESS = "127.0.0.1:3000"

install()
server = Application("node")
server.deploy("1")
server.listen(server.settings())
contains(get(ADDRESS).body.decode(), "release 1")
server.instance.at_full_strength(WORKERS)
server.bears(ADDRESS, lambda directory: write(directory / "server.js", "require('nothing');\n"))
contains(server.instance.messages(), "Cannot find module 'nothing'")

# A client that keeps its connection open gets every answer, and is told to open another connection.
with Load(ADDRESS, keep_alive=True) as load:
    for _ in range(3):
        load.more(300)
        server.instance.reload()
load.expect_no_failure(900)

# Neither a connection that is idle, nor one on which nothing has ever been asked, keeps a worker from its end.
with connect(ADDRESS) as idle, connect(ADDRESS) as silent:
    contains(ask(idle, "/", keep_alive=True).body.decode(), "release")
    systemctl("stop", server.instance.socket)
    for connection in (idle, silent):
        equal(connection.recv(1), b"", "what comes on a connection of a worker that has ended")
equal(server.instance.show("Result"), "success", "the result of the service")
equal(server.instance.events("worker_killed"), [], "workers that did not stop in time")
