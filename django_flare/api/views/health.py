"""Health: whether the process answers, and whether its database does."""

from __future__ import annotations

from collections.abc import Sequence

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from django_flare.api.views.base import FlareView
from django_flare.conf import flare_settings
from django_flare.store.clock import read_now


class HealthViews(FlareView):
    """Answer under `health` to everybody, uncounted: a probe has no key."""

    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    permission_classes: Sequence[type[BasePermission]] = ()

    def perform_authentication(self, request: Request) -> None:
        """Ask nobody who they are."""

    def allow(self, request: Request) -> None:
        """Count nothing."""

    def live(self, request: Request) -> Response:
        """Answer, which is all that is asked."""
        return Response({"status": "ok"})

    def ready(self, request: Request) -> Response:
        """Answer when the jobs' database does."""
        read_now(flare_settings().database)
        return Response({"status": "ok"})
