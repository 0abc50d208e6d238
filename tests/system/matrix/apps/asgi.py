"""The matrix' application as ASGI (see matrix.py for what it answers)."""

import asyncio
import os
import time

RELEASE = os.path.basename(os.getcwd())


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    arrived = time.time()
    if scope["path"] == "/slow":
        open(os.environ["RUNTIME_DIRECTORY"] + "/slow-request", "w").close()
        await asyncio.sleep(1)
    body = f"{RELEASE} {os.getpid()} {os.getppid()} {arrived:.6f}\n".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
