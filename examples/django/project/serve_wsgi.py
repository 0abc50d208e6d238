"""Runs the site: waitress on an inherited socket, which the command waitress-serve does not take.

    python -m project.serve_wsgi FD
"""

import socket
import sys

import waitress
from django.core.management import call_command

from project.wsgi import application

# As in serve.py: a broken release ends here.
call_command("check")
waitress.serve(application, sockets=[socket.socket(fileno=int(sys.argv[1]))])
