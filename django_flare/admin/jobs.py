"""Jobs in the admin: find them, read them, cancel, retry, discard and stop them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import connections
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from django_flare.admin import actions
from django_flare.admin.base import ReadOnlyAdmin, answer_if_new, may
from django_flare.admin.bulk import is_operation_of
from django_flare.admin.changelist import CappedPaginator, JobList
from django_flare.admin.criteria import PARAMETERS
from django_flare.admin.documents import raw_answer
from django_flare.admin.filters import CreatedFilter, QueueFilter, StateFilter, TypeFilter
from django_flare.admin.job_page import find_job, page_context
from django_flare.admin.words import NOTHING, badge, span, state_badge
from django_flare.models import Job
from django_flare.operations import VERBS
from django_flare.states import JobState


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Find jobs, understand them, and do to them what the verbs of `jobs` do.

    To restrict which jobs somebody sees, override `get_queryset`; lists, pages and all actions go through
    it. An action on all jobs that match runs later in a worker, where of the request only `user` is there.
    """

    list_display = ("state_shown", "type_shown", "queue", "attempts", "progress_shown", "age", "duration")
    list_display_links = ("type_shown",)
    list_filter = (StateFilter, CreatedFilter, QueueFilter, TypeFilter)
    search_fields = ("public_id",)
    search_help_text = _("A job's id, the beginning of a type, key=value of a tag, or an idempotency key.")
    sortable_by = ("age",)
    ordering = ("-created_at", "-id")
    paginator = CappedPaginator
    actions = ("cancel_jobs", "retry_jobs", "discard_jobs", "stop_jobs")

    # Columns.

    @admin.display(description=_("state"))
    def state_shown(self, job: Any) -> Any:
        """Return the badge of the state."""
        return badge(str(_("Unreadable")), "unreadable") if is_unreadable(job) else state_badge(job.state)

    @admin.display(description=_("job type"))
    def type_shown(self, job: Any) -> str:
        """Return the type."""
        return job.job_type or NOTHING

    @admin.display(description=_("attempt"))
    def attempts(self, job: Any) -> str:
        """Return the attempt and how many are allowed."""
        return NOTHING if is_unreadable(job) else f"{job.attempt}/{job.max_attempts}"

    @admin.display(description=_("progress"))
    def progress_shown(self, job: Any) -> Any:
        """Return the progress as a bar."""
        return NOTHING if job.progress is None else progress_bar(job.progress)

    @admin.display(description=_("age"), ordering="created_at")
    def age(self, job: Any) -> str:
        """Return how long ago the job was created."""
        return NOTHING if job.created_at is None else span((job.seen_at - job.created_at).total_seconds())

    @admin.display(description=_("duration"))
    def duration(self, job: Any) -> str:
        """Return how long the last run took, or the present one has taken."""
        end: datetime | None = job.seen_at if job.state == JobState.PROCESSING else job.completed_at
        if job.started_at is None or end is None:
            return NOTHING
        return span((end - job.started_at).total_seconds())

    # What is found.

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Return our own list."""
        return JobList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Leave the search to the list, which knows all criteria."""
        return queryset, False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Refuse everything but our own filters: no query string of a stranger's reads a column."""
        return lookup in PARAMETERS

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """Return the job with this public id, or None; an operation is seen by whoever has started it."""
        job = find_job(self.get_queryset(request), object_id)
        if job is not None:
            return job
        # Without the restrictions of a project: its queue is not one that the operator may see, perhaps.
        other = find_job(super().get_queryset(request), object_id)
        return other if other is not None and is_operation_of(request.user, other) else None

    # Actions.

    def has_cancel_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for `cancel_job`."""
        return may(request, "cancel_job")

    def has_retry_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for `retry_job`."""
        return may(request, "retry_job")

    def has_discard_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for `discard_job`."""
        return may(request, "discard_job")

    def has_stop_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for `stop_job`."""
        return may(request, "stop_job")

    @admin.action(description=_("Cancel selected jobs"), permissions=["cancel"])
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Cancel those that wait."""
        return actions.act_on_selection(self, request, queryset, VERBS["cancel"])

    @admin.action(description=_("Retry selected jobs"), permissions=["retry"])
    def retry_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Let those run again that have failed or are dead."""
        return actions.act_on_selection(self, request, queryset, VERBS["retry"])

    @admin.action(description=_("Discard selected jobs"), permissions=["discard"])
    def discard_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Give up on the retries of those that have failed."""
        return actions.act_on_selection(self, request, queryset, VERBS["discard"])

    @admin.action(description=_("Stop selected jobs"), permissions=["stop"])
    def stop_jobs(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask those to stop that run."""
        return actions.act_on_selection(self, request, queryset, VERBS["stop"])

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *more: Any, **named: Any) -> Any:
        """Refuse keys that are none before the database does."""
        if not all(key.isascii() and key.isdigit() and len(key) < 19 for key in actions.chosen_keys(request)):
            raise SuspiciousOperation("a selected key is no number")
        return super().response_action(request, queryset, *more, **named)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse | HttpResponse:
        """Show the list, or do what was chosen there."""
        return super().changelist_view(request, extra_context)

    # Pages.

    def get_urls(self) -> list[Any]:
        """Add the addresses of actions on one job, and of its documents."""
        view = self.admin_site.admin_view
        own = [
            path("<str:object_id>/live/", view(self.live_view), name="django_flare_job_live"),
            path("<str:object_id>/act/<str:verb>/", view(self.act_view), name="django_flare_job_act"),
            path("<str:object_id>/raw/<str:field>/", view(self.raw_view), name="django_flare_job_raw"),
        ]
        return own + super().get_urls()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the job; nothing can be posted here."""
        job = self._visible(request, object_id)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        if job is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        context = {
            **self.admin_site.each_context(request),
            **page_context(self, request, job),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/django_flare/job/page.html", context)

    def live_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Return what changes of the page, or 304 to whoever has the same."""
        job = self._visible(request, object_id)
        if job is None:
            raise Http404
        request.current_app = self.admin_site.name
        template, context = "admin/django_flare/job/live.html", page_context(self, request, job)
        return answer_if_new(request, render_to_string(template, context, request))

    def act_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        """Do one thing to one job."""
        return actions.act_on_one(self, request, self._visible(request, object_id), verb)

    def raw_view(self, request: HttpRequest, object_id: str, field: str) -> HttpResponse:
        """Return a document of the job as plain text."""
        return raw_answer(self._visible(request, object_id), field)

    def _visible(self, request: HttpRequest, object_id: str) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.get_object(request, object_id)


def _one_by_one(*views: Any) -> None:
    """Keep the views out of ATOMIC_REQUESTS: each verb is a transaction, and takes its locks in its order."""
    for view in views:
        view._non_atomic_requests = set(connections)


_one_by_one(JobAdmin.changelist_view, JobAdmin.act_view)


def is_unreadable(job: Any) -> bool:
    """Tell whether the row could not be read."""
    return bool(getattr(job, "unreadable", None))


def progress_bar(progress: float) -> Any:
    """Return the progress, from 0 to 1, as a bar with its percentage."""
    percent = int(progress * 100)
    return format_html(
        '<span class="flare-measure">'
        '<progress class="flare-progress" max="100" value="{}" aria-label="{}"></progress> {} %</span>',
        percent,
        _("progress"),
        percent,
    )
