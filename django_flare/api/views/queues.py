"""Queues: read, pause and resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from django_flare import jobs
from django_flare.api.bodies import require_no_body
from django_flare.api.permissions import Need
from django_flare.api.query import read_query
from django_flare.api.views.base import FlareView
from django_flare.jobs.overview import read_queues
from django_flare.models.api_key import Scope


class QueueViews(FlareView):
    """Answer under `v1/queues`."""

    needs: ClassVar = {
        "list": Need(Scope.READ, "view_queue"),
        "pause": Need(Scope.ADMIN, "pause_queue"),
        "resume": Need(Scope.ADMIN, "pause_queue"),
    }

    def list(self, request: Request) -> Response:
        """Return the queues that have something to do, and those that are paused."""
        read_query(request)
        return Response({"queues": [queue.as_dict() for queue in read_queues()]})

    def pause(self, request: Request, name: str) -> Response:
        """Let no job of the queue start."""
        return _switch(request, name, jobs.pause_queue, is_paused=True)

    def resume(self, request: Request, name: str) -> Response:
        """Let the queue's jobs start again."""
        return _switch(request, name, jobs.resume_queue, is_paused=False)


def _switch(request: Request, name: str, verb: Callable[[str], bool], *, is_paused: bool) -> Response:
    read_query(request)
    require_no_body(request)
    return Response({"name": name, "paused": is_paused, "changed": verb(name)})
