"""Django as an ASGI application that says READY=1 when it can really serve.

uvicorn does not speak sd_notify, and Django answers no `lifespan` events, so this file joins the two:
uvicorn (started with `--lifespan on`) asks the application to start up before it accepts a connection.
"""

import os
import socket

from asgiref.sync import sync_to_async
from django.core.asgi import get_asgi_application
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
django = get_asgi_application()


async def application(scope, receive, send):
    if scope["type"] != "lifespan":
        return await django(scope, receive, send)
    await receive()  # lifespan.startup
    # Django imports URLs and views at the first request. `check` imports them now, so that a broken
    # release raises here, uvicorn exits, and herder keeps the workers it has.
    await sync_to_async(call_command)("check")
    await send({"type": "lifespan.startup.complete"})
    notify("READY=1")
    await receive()  # lifespan.shutdown, after the requests in flight
    await send({"type": "lifespan.shutdown.complete"})


def notify(state):
    """Sends one sd_notify(3) message, if somebody asked for it."""
    if path := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
            notifications.sendto(state.encode(), path)
