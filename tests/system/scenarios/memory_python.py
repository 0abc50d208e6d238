# tree: servers
# systemd: 257
# seconds: 300
# load: busy
"""The Django site of the examples is served by one server with one process for each worker, and by one that loads the site once
for many."""

import pathlib
import shutil

import memory
from lab import install

install()
EXAMPLE = pathlib.Path("/usr/share/doc/herder/examples/django")
shutil.copytree(EXAMPLE, "/srv/django/current")
pathlib.Path("/srv/django/current/venv").symlink_to("/opt/python")


def settings(file, workers, preload=None):
    text = (EXAMPLE / file).read_text().replace('workers = "auto"', f"workers = {workers}")
    return text.replace('"--no-control-socket"', f'"--no-control-socket", "--preload", "--workers", "{preload}"') if preload else text


memory.serve(
    EXAMPLE / "README.md",
    {
        "uvicorn, `workers = 8`": settings("herder.toml", 8),
        "waitress, `workers = 8`": settings("waitress.toml", 8),
        "gunicorn, `workers = 8`": settings("gunicorn.toml", 8),
        "gunicorn `--preload --workers 4`, `workers = 2`": settings("gunicorn.toml", 2, 4),
        "gunicorn `--preload --workers 8`, `workers = 1`": settings("gunicorn.toml", 1, 8),
    },
)
