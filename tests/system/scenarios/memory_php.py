# tree: servers
# systemd: 257
# seconds: 300
# load: busy
"""The PHP site of the examples is served by php-cgi, where each process has an opcache of its own, and by php-fpm, where the
children of a master share one."""

import memory
import phpsite
from lab import install

install()
site = phpsite.Site()
memory.serve(
    site.files / "README.md",
    {
        "php-cgi, `workers = 8`": site.php_cgi(),
        "php-fpm with 4 children, `workers = 2`": site.php_fpm(2, 4),
        "php-fpm with 8 children, `workers = 1`": site.php_fpm(1, 8),
    },
    site.ask,
)
