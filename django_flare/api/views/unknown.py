"""What stands behind all addresses that there are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from django_flare.api.views.base import FlareView


class UnknownAddress(FlareView):
    """Answer 404 to every method, to those who have a key."""

    permission_classes: Sequence[type[BasePermission]] = ()

    def nothing(self, request: Request) -> Response:
        """Raise the 404."""
        raise NotFound()

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Response:
        """Raise the 404: where nothing is, no method is wrong."""
        raise NotFound()
