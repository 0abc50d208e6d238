# tree: servers
# seconds: 300
"""The servers of Perl do under herder as herder-servers(7) tells."""

import matrix

matrix.check("perl")
