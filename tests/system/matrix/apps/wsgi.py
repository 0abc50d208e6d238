"""The matrix' application as WSGI (see matrix.py for what it answers)."""

import os
import time

RELEASE = os.path.basename(os.getcwd())


def app(environ, start_response):
    arrived = time.time()
    if environ["PATH_INFO"] == "/slow":
        open(os.environ["RUNTIME_DIRECTORY"] + "/slow-request", "w").close()
        time.sleep(1)
    body = f"{RELEASE} {os.getpid()} {os.getppid()} {arrived:.6f}\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
