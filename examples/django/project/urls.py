"""One page that says which worker answered."""

import os

from django.http import HttpResponse
from django.templatetags.static import static
from django.urls import path

PAGE = """<!DOCTYPE html>
<title>Django under herder</title>
<link rel="stylesheet" href="{css}">
<p>Django, worker {WORKER} in slot {SLOT}, pid {pid}, generation {GENERATION}
"""


def home(request):
    told = {key: os.environ.get(f"HERDER_{key}", "?") for key in ("WORKER", "SLOT", "GENERATION")}
    return HttpResponse(PAGE.format(css=static("site.css"), pid=os.getpid(), **told))


urlpatterns = [path("", home)]
