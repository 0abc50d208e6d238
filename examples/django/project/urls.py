"""One page that says which worker answered."""

import os

from django.http import HttpResponse
from django.urls import path


def home(request):
    told = {key: os.environ.get(f"HERDER_{key}", "?") for key in ("WORKER", "SLOT", "GENERATION")}
    text = "Django, worker {WORKER} in slot {SLOT}, pid {pid}, generation {GENERATION}\n"
    return HttpResponse(text.format(pid=os.getpid(), **told), content_type="text/plain")


urlpatterns = [path("", home)]
