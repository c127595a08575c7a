"""The API in Swagger UI, for projects that want it; docs/how-to/http-api.rst says how."""

from __future__ import annotations

from collections.abc import Callable

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from django_flare.api.views.document import read_document

_ASSETS = "drf_spectacular_sidecar"


def swagger_ui(prefix: str) -> Callable[[HttpRequest], HttpResponse]:
    """Return a view that shows the API in Swagger UI; `prefix` is its address, such as "/flare".

    What it needs comes from the project's static files, nothing from another host. It shows what any copy of
    this package says, hence asks nobody who they are; requests made from it need a key as all do.

    Raises ImproperlyConfigured unless `drf_spectacular_sidecar` is in INSTALLED_APPS.
    """
    if not apps.is_installed(_ASSETS):
        raise ImproperlyConfigured(
            f"Swagger UI needs {_ASSETS!r} in INSTALLED_APPS: pip install django-flare[swagger]"
        )
    document = {**read_document(), "servers": [{"url": prefix}]}

    @require_safe
    def show(request: HttpRequest) -> HttpResponse:
        return render(request, "django_flare/api/swagger.html", {"document": document})

    return show
