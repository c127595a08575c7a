"""Metrics: how much there is and how much has ended lately."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from django_flare.api.permissions import Need
from django_flare.api.problems import refused
from django_flare.api.query import read_query
from django_flare.api.views.base import FlareView
from django_flare.jobs.summary import PERIODS, read_summary
from django_flare.models.api_key import Scope

DEFAULT_PERIOD = "24h"


class MetricsViews(FlareView):
    """Answer under `v1/metrics`."""

    needs: ClassVar = {"summary": Need(Scope.READ, "view_job")}

    def summary(self, request: Request) -> Response:
        """Return the summary of a period that ends now."""
        (name,) = read_query(request, ("period",)).get("period", [DEFAULT_PERIOD])
        if name not in PERIODS:
            text = f"{name[:40]!a}, expected one of {', '.join(PERIODS)}"
            raise refused("period", text, "unknown", "invalid_option")
        return Response(read_summary(name).as_dict())
