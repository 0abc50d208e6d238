"""As little of Django as one page needs; every other setting is Django's default."""

import os
import pathlib

from django.core.management.utils import get_random_secret_key

RELEASE = pathlib.Path(__file__).parent.parent

# Nothing here is signed. A site with sessions sets DJANGO_SECRET_KEY (in herder's environment-file):
# a key of its own in each worker would log people out at every other request.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")
ROOT_URLCONF = "project.urls"
USE_TZ = True

# The web server has these: `django-admin collectstatic` puts them into the release, as it is deployed.
INSTALLED_APPS = ["django.contrib.staticfiles"]
STATICFILES_DIRS = [RELEASE / "project/static"]
STATIC_ROOT = RELEASE / "static"
STATIC_URL = "/static/"
