"""The addresses of the API, below the prefix that the project gives it."""

from __future__ import annotations

from django.urls import path, re_path

from django_flare.api.views.document import DocumentViews
from django_flare.api.views.health import HealthViews
from django_flare.api.views.jobs import JobViews
from django_flare.api.views.metrics import MetricsViews
from django_flare.api.views.queues import QueueViews
from django_flare.api.views.unknown import UnknownAddress
from django_flare.api.views.workers import WorkerViews

_JOB = "v1/jobs/<str:job_id>"

urlpatterns = [
    path("v1/jobs", JobViews.as_view({"get": "list", "post": "create"})),
    path("v1/jobs/batch", JobViews.as_view({"post": "batch"})),
    path(_JOB, JobViews.as_view({"get": "retrieve"})),
    path(f"{_JOB}/cancel", JobViews.as_view({"post": "cancel"})),
    path(f"{_JOB}/retry", JobViews.as_view({"post": "retry"})),
    path(f"{_JOB}/discard", JobViews.as_view({"post": "discard"})),
    path(f"{_JOB}/stop", JobViews.as_view({"post": "stop"})),
    path(f"{_JOB}/explain", JobViews.as_view({"get": "explain"})),
    path(f"{_JOB}/attempts", JobViews.as_view({"get": "attempts"})),
    path("v1/queues", QueueViews.as_view({"get": "list"})),
    path("v1/queues/<str:name>/pause", QueueViews.as_view({"post": "pause"})),
    path("v1/queues/<str:name>/resume", QueueViews.as_view({"post": "resume"})),
    path("v1/workers", WorkerViews.as_view({"get": "list"})),
    path("v1/metrics/summary", MetricsViews.as_view({"get": "summary"})),
    path("v1/schema", DocumentViews.as_view({"get": "show"})),
    path("health/live", HealthViews.as_view({"get": "live"})),
    path("health/ready", HealthViews.as_view({"get": "ready"})),
    # Last. An address under the prefix that leads nowhere is answered in JSON, too. No group with flags:
    # Django's reverse() refuses those, for every address of the project.
    re_path(r"^[\s\S]*$", UnknownAddress.as_view({"get": "nothing"})),
]
