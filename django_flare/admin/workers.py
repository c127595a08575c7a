"""Workers: who is alive, who has vanished."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_flare.admin.base import ReadOnlyAdmin
from django_flare.admin.words import badge
from django_flare.conf import flare_settings
from django_flare.models import Worker
from django_flare.store.clock import DatabaseNow


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """List the registered workers; a stale one has not beaten for the lease, so others take its jobs."""

    list_display = (
        "id",
        "hostname",
        "pid",
        "version",
        "load",
        "served",
        "started_at",
        "last_beat_at",
        "life",
    )
    fields = (
        *("id", "life", "hostname", "pid", "version", "load", "served", "started_at", "last_beat_at"),
        "job_types",
    )
    readonly_fields = ("life", "load", "served")
    ordering = ("-last_beat_at", "pk")
    sortable_by = ("id", "hostname", "version", "started_at", "last_beat_at")

    class Media:
        css = {"all": ["django_flare/dashboard.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """Read the database of the jobs, and let its clock say who is stale."""
        settings = flare_settings()
        is_stale = ExpressionWrapper(
            Q(last_beat_at__lt=DatabaseNow() - settings.lease), output_field=BooleanField()
        )
        rows: QuerySet[Worker] = QuerySet(Worker, using=settings.database)
        return rows.annotate(is_stale=is_stale).order_by(*self.ordering)

    @admin.display(description=gettext_lazy("load"), ordering="running")
    def load(self, worker: Worker) -> str:
        """Return how many of its slots are taken."""
        return _("%(running)d of %(slots)d") % {"running": worker.running, "slots": worker.slots}

    @admin.display(description=gettext_lazy("queues"))
    def served(self, worker: Worker) -> str:
        """Return the queues that it serves."""
        return ", ".join(map(str, worker.queues)) or _("all")

    @admin.display(description=gettext_lazy("life"))
    def life(self, worker: Any) -> SafeString:
        """Return whether it is alive."""
        return badge(_("Stale"), "bad") if worker.is_stale else badge(_("Alive"), "good")
