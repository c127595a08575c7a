"""Answer "not modified" to whoever has the same already, so that polling is cheap."""

from __future__ import annotations

import hashlib
from typing import Any

from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

from django_flare.api.rendering import render


def tagged(request: Request, value: Any) -> Response:
    """Return the answer 200 with an `ETag`, or 304 without a body when `If-None-Match` names that tag."""
    body = render(value)
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    known = parse_etags(request.headers.get("if-none-match", ""))
    # The comparison is the weak one (RFC 9110, section 13.1.2): servers may weaken tags on the way.
    if "*" in known or tag in {each.removeprefix("W/") for each in known}:
        return Response(status=304, headers={"ETag": tag})
    return Response(body, headers={"ETag": tag})
