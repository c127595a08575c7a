"""The dashboard: how everything does now, and what ended over the last hour, day or week."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_flare import jobs
from django_flare.admin import dashboard_rows as rows
from django_flare.admin.base import ReadOnlyAdmin, answer_if_new, may, record
from django_flare.admin.bulk import is_others_operation, others_operations
from django_flare.admin.dashboard_charts import charts
from django_flare.admin.job_page import find_job
from django_flare.admin.verbs import OTHERS_OPERATION, RETRY, WORDS
from django_flare.errors import FlareNotFoundError
from django_flare.jobs.figures import SCALES, read_dead_letters, read_figures
from django_flare.jobs.overview import read_queues, read_states, read_workers
from django_flare.models import Dashboard, Job, Queue, Worker

PERIODS = (
    ("1h", gettext_lazy("Last hour")),
    ("24h", gettext_lazy("Last day")),
    ("7d", gettext_lazy("Last week")),
)
_QUEUES, _WORKERS, _TYPES, _DEAD = 25, 25, 8, 10
_COUNTED = 20_000
"""How many claimable jobs are counted, in all queues together."""


@admin.register(Dashboard)
class DashboardAdmin(ReadOnlyAdmin):
    """One page. What changes of it has an address of its own, which answers 304 when nothing did."""

    class Media:
        css = {"all": ["django_flare/dashboard.css"]}
        js = ["django_flare/dashboard.js"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission to view jobs; what is of queues and workers has that of theirs."""
        return may(request, "view_job")

    def get_urls(self) -> list[URLPattern]:
        """Return the page, what changes of it, and its one verb."""
        view = self.admin_site.admin_view
        return [
            path("", view(self.changelist_view), name="django_flare_dashboard_changelist"),
            path("content/", view(self.content), name="django_flare_dashboard_content"),
            path("retry/", view(self.retry), name="django_flare_dashboard_retry"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the page."""
        self._require(request)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            **self._content(request),
            "title": _("Dashboard"),
            "opts": self.opts,
            "media": self.media,
            "periods": PERIODS,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/django_flare/dashboard/change_list.html", context)

    def content(self, request: HttpRequest) -> HttpResponse:
        """Return what changes of the page, or 304 to whoever has the same."""
        self._require(request)
        request.current_app = self.admin_site.name
        template, context = "admin/django_flare/dashboard/content.html", self._content(request)
        return answer_if_new(request, render_to_string(template, context, request))

    def retry(self, request: HttpRequest) -> HttpResponse:
        """Let the posted job run again."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self._require(request)
        if not may(request, "retry_job"):
            raise PermissionDenied
        self._retry(request, request.POST.get("job", ""))
        address = reverse("admin:django_flare_dashboard_changelist", current_app=self.admin_site.name)
        return HttpResponseRedirect(f"{address}?period={_period(request)}")

    def _retry(self, request: HttpRequest, given: str) -> None:
        job = find_job(self._jobs(request), given)
        if job is not None and is_others_operation(request.user, job):
            messages.warning(request, str(OTHERS_OPERATION))
            return
        try:
            # What is posted may be a key as well, and between the two retention may delete the job.
            changed = None if job is None else jobs.retry(str(job.public_id))
        except FlareNotFoundError:
            changed = None
        if changed is None:
            messages.error(request, _("There is no such job any more."))
        else:
            words, name = WORDS[RETRY], f"{job.job_type} {job.public_id}"
            entry = words.record if changed else words.record_refused
            record(request.user, Job, [(str(job.public_id), name)], entry)
            if changed:
                messages.success(request, _("%s will run again.") % name)
            else:
                messages.warning(request, str(words.refused))

    def _jobs(self, request: HttpRequest) -> QuerySet[Job]:
        """Return the jobs that the user may see: a project may restrict them in the admin of jobs."""
        if not self.admin_site.is_registered(Job):
            return Job.objects.all()
        return self.admin_site.get_model_admin(Job).get_queryset(request)

    def _dead(self, request: HttpRequest) -> list[rows.DeadRow]:
        found = read_dead_letters(_DEAD, self._jobs(request))
        fixed = others_operations(request.user, ((each.public_id, each.job_type) for each in found))
        return rows.dead_rows(found, fixed)

    def _require(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _content(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the user may see of everything; each part at a bounded cost."""
        period = _period(request)
        figures = read_figures(period)
        found = {
            "period": period,
            "period_label": dict(PERIODS)[period],
            "tiles": rows.tiles(read_states()),
            "charts": charts(figures),
            "spans": rows.spans_rows(figures.total),
            "busiest": rows.type_rows(figures.busiest(_TYPES)),
            "worst": rows.type_rows(figures.worst(_TYPES)),
            "dead": self._dead(request),
            "may_retry": may(request, "retry_job"),
            "may_pause": may(request, "pause_queue"),
            "may_see_jobs": may(request, "view_job"),
            "may_see_queues": may(request, "view_queue") and self.admin_site.is_registered(Queue),
            "may_see_workers": may(request, "view_worker") and self.admin_site.is_registered(Worker),
        }
        if found["may_see_queues"]:
            found["queues"] = rows.urgent_queues(read_queues(budget=_COUNTED), _QUEUES)
        if found["may_see_workers"]:
            found["workers"] = rows.urgent_workers(read_workers(), _WORKERS)
        return found


def _period(request: HttpRequest) -> str:
    period = request.GET.get("period", "")
    return period if period in SCALES else PERIODS[0][0]
