"""Runs the site: uvicorn on an inherited socket, with the two things it lacks under a launcher.

    python -m project.serve FD
"""

import asyncio
import os
import socket
import sys

import uvicorn
from django.core.management import call_command

from project.asgi import application


class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        notify("READY=1")

    async def shutdown(self, sockets=None):
        # uvicorn closes connections whose request it has not read yet. So stop accepting, let those that
        # are accepted speak, and only then shut down.
        for server in self.servers:
            server.close()
        await asyncio.sleep(1)
        await super().shutdown(sockets)


def notify(state):
    """Sends one sd_notify(3) message, if somebody asked for it."""
    if path := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            notifications.sendto(state.encode(), path)


# Django imports URLs and views at the first request; its checks import them now. A broken release ends
# here, before it is ready, and herder keeps the workers it has.
call_command("check")
Server(uvicorn.Config(application, fd=int(sys.argv[1]), lifespan="off", access_log=False)).run()
