"""The PHP site of the examples, by php-cgi and by php-fpm."""

import fastcgi
from example import Application, composer
from lab import write


class Site(Application):
    def __init__(self):
        super().__init__("php", composer)
        self.deploy("1")
        self.ask = fastcgi.asks_for(self.root / "releases/1/public/index.php")

    def php_cgi(self, *options, requests=10000):
        command = "".join(f', "{option}"' for option in options)
        settings = self.settings().replace("workers = 8", f'command = ["php-cgi"{command}]\nworkers = 8')
        return settings.replace('"10000"', f'"{requests}"')

    def php_fpm(self, masters, children):
        """The example's php-fpm.conf has the socket's name and the number in it."""
        conf = (self.files / "php-fpm.conf").read_text()
        conf = conf.replace("listen = /run/php.sock", "listen = ${SOCKET}")
        conf = conf.replace("pm.max_children = 8", f"pm.max_children = {children}")
        write(f"/etc/herder/php-fpm-{children}.conf", conf)
        settings = self.settings("php-fpm.toml").replace("php-fpm.conf", f"php-fpm-{children}.conf")
        return settings.replace("workers = 1", f"workers = {masters}") + 'environment.SOCKET = "{path}"\n'
