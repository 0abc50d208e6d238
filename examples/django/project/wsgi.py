"""The application for WSGI servers, as `django-admin startproject` writes it, and Django's checks."""

import os

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
application = get_wsgi_application()

# Django imports URLs and views at the first request; its checks import them now. A broken release ends
# here, before it is ready, and herder keeps the workers it has.
call_command("check")
