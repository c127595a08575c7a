"""Queues: what waits and runs in each, pause and resume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_flare import jobs
from django_flare.admin.base import ReadOnlyAdmin, may, record
from django_flare.admin.dashboard_rows import queue_rows
from django_flare.errors import FlareOptionError
from django_flare.jobs.figures import SCALES
from django_flare.jobs.overview import MOST_QUEUES, read_queues
from django_flare.models import Queue

_COUNTED = 50_000
"""How many claimable jobs are counted for the list, in all queues together."""


@admin.register(Queue)
class QueueAdmin(ReadOnlyAdmin):
    """List the queues that have something to do or are paused; most of them have no row."""

    fields = ("name", "paused_at")

    class Media:
        css = {"all": ["django_flare/dashboard.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Queue]:
        """Read the database of the jobs."""
        return Queue.objects.all()

    def get_urls(self) -> list[URLPattern]:
        """Add the two verbs."""
        view = self.admin_site.admin_view
        own = [
            path("pause/", view(self.pause), name="django_flare_queue_pause"),
            path("resume/", view(self.resume), name="django_flare_queue_resume"),
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the queues."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = queue_rows(read_queues(budget=_COUNTED))
        context = {
            **self.admin_site.each_context(request),
            "title": capfirst(self.opts.verbose_name_plural),
            "opts": self.opts,
            "media": self.media,
            "rows": rows,
            "is_full": len(rows) == MOST_QUEUES,
            "may_pause": may(request, "pause_queue"),
            "may_see_jobs": may(request, "view_job"),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/django_flare/queue/change_list.html", context)

    def pause(self, request: HttpRequest) -> HttpResponse:
        """Let nothing of the posted queue start."""
        return self._switch(
            request,
            jobs.pause_queue,
            gettext_lazy("Paused."),
            _("The queue %s is paused."),
            _("It was paused before."),
        )

    def resume(self, request: HttpRequest) -> HttpResponse:
        """Let the posted queue's jobs start again."""
        return self._switch(
            request,
            jobs.resume_queue,
            gettext_lazy("Resumed."),
            _("The queue %s is resumed."),
            _("It was not paused."),
        )

    def _switch(
        self, request: HttpRequest, verb: Callable[[str], bool], entry: Any, done: str, unchanged: str
    ) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not may(request, "pause_queue"):
            raise PermissionDenied
        name = request.POST.get("queue", "")
        try:
            changed = verb(name)
        except FlareOptionError:
            # Its own words are for programmers.
            messages.error(
                request,
                _(
                    "That is no name of a queue: up to 100 ASCII letters, digits, underscores, dots, colons"
                    " and hyphens, no hyphen in front."
                ),
            )
        else:
            if changed:
                record(request.user, Queue, [(name, name)], entry)
                messages.success(request, done % name)
            else:
                messages.info(request, unchanged)
        return self._back(request)

    def _back(self, request: HttpRequest) -> HttpResponse:
        """Return to the dashboard if its button was pressed, otherwise to the list."""
        period = request.GET.get("dashboard", "")
        name = "dashboard" if period in SCALES else "queue"
        address = reverse(f"admin:django_flare_{name}_changelist", current_app=self.admin_site.name)
        return HttpResponseRedirect(f"{address}?period={period}" if period in SCALES else address)
