# tree: servers
# seconds: 300
# load: busy
"""Programs in Go and Rust do under herder as herder-servers(7) tells."""

import matrix

matrix.check("compiled")
