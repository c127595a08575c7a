"""Workers: read only."""

from __future__ import annotations

from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from django_flare.api.permissions import Need
from django_flare.api.query import read_query
from django_flare.api.views.base import FlareView
from django_flare.jobs.overview import read_workers
from django_flare.models.api_key import Scope


class WorkerViews(FlareView):
    """Answer under `v1/workers`."""

    needs: ClassVar = {"list": Need(Scope.READ, "view_worker")}

    def list(self, request: Request) -> Response:
        """Return the registered workers, the freshest beat first."""
        read_query(request)
        return Response({"workers": [worker.as_dict() for worker in read_workers()]})
