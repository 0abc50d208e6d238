# tree: servers
# seconds: 300
# load: busy
"""The servers of Python do under herder as herder-servers(7) tells."""

import matrix

matrix.check("python")
