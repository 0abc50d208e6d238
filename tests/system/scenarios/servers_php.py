# tree: servers
# seconds: 300
# load: busy
"""The servers of PHP do under herder as herder-servers(7) tells."""

import matrix

matrix.check("php")
