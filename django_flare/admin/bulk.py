"""All jobs that match the list, for an operation that a worker runs later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.contrib.admin.sites import all_sites
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest

from django_flare.admin.base import may, record
from django_flare.admin.changelist import CountedUpTo, JobList
from django_flare.admin.criteria import Criteria
from django_flare.admin.verbs import RETRY, WORDS
from django_flare.errors import Discard
from django_flare.jobs.overview import MOST_COUNTED
from django_flare.jobs.tolerance import Unreadable, read_tolerantly
from django_flare.models import Job
from django_flare.operations import NAME, VERBS, BulkOperation, Verb, selections
from django_flare.states import JobState

SOURCE = "admin"


def newest_key() -> int:
    """Return the key of the newest job, 0 if there is none."""
    return Job.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def count_by_state(found: JobList, verb: Verb, last: int) -> dict[str, CountedUpTo]:
    """Count the jobs that match in each state, each up to 10,000; states without any are left out."""
    criteria = _as_shown(found)
    states = [JobState(criteria.state)] if criteria.state else list(JobState)
    counted = {}
    for state in states:
        rows = _selected(replace(criteria, state=state.value), found.root_queryset, verb)
        counted[state.value] = CountedUpTo.of(rows.filter(pk__lte=last)[: MOST_COUNTED + 1].count())
    return {state: number for state, number in counted.items() if number}


def operation_for(page: Any, request: HttpRequest, found: JobList, verb: Verb, last: int) -> BulkOperation:
    """Return the operation on all jobs that the list selects, up to the key `last`."""
    return BulkOperation(
        verb=verb.name,
        source=SOURCE,
        criteria={"site": page.admin_site.name, **_as_shown(found).as_dict()},
        user_id=str(request.user.pk),
        last=last,
    )


def is_operation_of(user: Any, job: Any) -> bool:
    """Tell whether the job is an operation that the user has started in the admin."""
    asked = job.payload if job.job_type == NAME else None
    return isinstance(asked, dict) and (asked.get("source"), asked.get("user_id")) == (SOURCE, str(user.pk))


def is_others_operation(user: Any, job: Any) -> bool:
    """Tell whether the job is an operation of somebody else: run again, it would act in their name."""
    return job.job_type == NAME and not is_operation_of(user, job)


def others_operations(user: Any, jobs: Iterable[tuple[UUID, str]]) -> set[UUID]:
    """Return the ids of those of the jobs, each an id and a type, that are operations of somebody else."""
    operations = {public_id for public_id, job_type in jobs if job_type == NAME}
    if not operations:
        return operations
    rows = read_tolerantly(
        Job.objects.filter(public_id__in=operations).only("public_id", "job_type", "payload")
    )
    readable = (each for each in rows if not isinstance(each, Unreadable))
    return operations - {each.public_id for each in readable if is_operation_of(user, each)}


def _selected(criteria: Criteria, rows: QuerySet[Job], verb: Verb) -> QuerySet[Job]:
    """Return the jobs that an operation is about: none that would then run in the name of somebody else."""
    found = criteria.apply(rows, is_bounded=False).rows
    return found.exclude(job_type=NAME) if verb.name == RETRY else found


def _as_shown(found: JobList) -> Criteria:
    """Return the criteria of the list, without the older jobs that it has not looked at."""
    if found.newest_from is None:
        return found.criteria
    return replace(found.criteria, created_from=found.newest_from)


class AdminSelection:
    """The jobs that an operation selects, as its user would see them in the admin now."""

    def __init__(self, operation: BulkOperation) -> None:
        criteria = dict(operation.criteria)
        self._page = _page(criteria.pop("site", ""))
        self._request = HttpRequest()
        self._request.method = "GET"
        self._request.user = _user(operation.user_id)
        self._verb = VERBS[operation.verb]
        if not self._is_allowed():
            raise Discard(f"the user {operation.user_id} may not {operation.verb} jobs any more")
        self._criteria = Criteria.read(criteria)

    def _is_allowed(self) -> bool:
        request, page = self._request, self._page
        is_staff = page.admin_site.has_permission(request) and page.has_view_permission(request)
        return is_staff and may(request, self._verb.permission)

    def jobs(self) -> QuerySet[Job]:
        """Return the jobs that match and that the user may see."""
        rows = self._page.get_queryset(self._request)
        return _selected(self._criteria, rows, self._verb)

    def record(self, changed: Sequence[tuple[str, str]], unchanged: Sequence[tuple[str, str]]) -> None:
        """Write into the history which jobs were changed and which had moved on."""
        words = WORDS[self._verb.name]
        record(self._request.user, Job, changed, words.record)
        record(self._request.user, Job, unchanged, words.record_refused)


def _page(site: str) -> Any:
    for each in all_sites:
        if each.name == site and each.is_registered(Job):
            return each.get_model_admin(Job)
    raise Discard(f"this worker has no admin site {site!a} with jobs")


def _user(user_id: str) -> Any:
    user = get_user_model()._default_manager.filter(pk=user_id).first()
    if user is None:
        raise Discard(f"there is no user {user_id} any more")
    return user


selections[SOURCE] = AdminSelection
