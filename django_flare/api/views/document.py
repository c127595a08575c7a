"""The OpenAPI document. It is a file of this package, so it says the same in every project."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from django_flare.api.permissions import Need
from django_flare.api.query import read_query
from django_flare.api.views.base import FlareView
from django_flare.models.api_key import Scope


@cache
def read_document() -> dict[str, Any]:
    """Return the document as it is in the package."""
    text = files("django_flare.api").joinpath("openapi.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


class DocumentViews(FlareView):
    """Answer at `v1/schema`."""

    needs: ClassVar = {"show": Need(Scope.READ, "view_job")}

    def show(self, request: Request) -> Response:
        """Return the document with this project's prefix as its server."""
        read_query(request)
        prefix = request.path.removesuffix("/v1/schema") or "/"
        return Response({**read_document(), "servers": [{"url": prefix}]})
