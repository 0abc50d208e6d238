# tree: servers
# seconds: 300
# load: busy
"""Node does under herder as herder-servers(7) tells."""

import matrix

matrix.check("node")
