"""Read jobs: one by id, or a page of many."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from django_flare import values
from django_flare.definitions import canonical_json
from django_flare.definitions.options import validate_options
from django_flare.errors import option_error
from django_flare.jobs.cursors import decode_cursor, encode_cursor
from django_flare.jobs.requests import job_id_of
from django_flare.models import Continuation, Job
from django_flare.states import JobState
from django_flare.status import JobPage, JobStatus

MAX_LIMIT = 100

_HAS_PAIRS = "JSON_CONTAINS(tags, %s)"
_HAS_PAIR = "EXISTS (SELECT 1 FROM json_each(tags) WHERE key = %s AND value = %s)"


def get_status(job_id: str | UUID) -> JobStatus | None:
    """Return the state, the timing and the outcome of a job, or None for an unknown id."""
    public_id = job_id_of(job_id)
    found = None if public_id is None else Job.objects.filter(public_id=public_id).first()
    return None if found is None else statuses([found])[0]


def list_jobs(
    *,
    state: str | Iterable[str] | None = None,
    queue: str | None = None,
    job_type: str | None = None,
    tags: Mapping[str, str] | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    limit: int = 20,
    cursor: str | None = None,
) -> JobPage:
    """Return one page of jobs, newest first.

    `state` is one or several, `tags` pairs that must all match, `created_after` is inclusive and
    `created_before` exclusive, `limit` is 1 to 100. A page's `next_cursor` goes on where it ended,
    with the same filters. Raises FlareOptionError for a bad filter, limit or cursor.
    """
    rows: QuerySet[Job] = Job.objects.all()
    filters: dict[str, Any] = {}
    if state is not None:
        filters["state"] = states = _states(state)
        rows = rows.filter(state__in=states)
    if queue is not None:
        filters["queue"] = _text(queue, "queue")
        rows = rows.filter(queue=queue)
    if job_type is not None:
        filters["job_type"] = _text(job_type, "job_type")
        rows = rows.filter(job_type=job_type)
    if tags is not None:
        filters["tags"] = checked = validate_options({"tags": tags})["tags"]
        rows = with_tags(rows, checked)
    if created_after is not None:
        filters["created_after"] = _moment(created_after, "created_after")
        rows = rows.filter(created_at__gte=created_after)
    if created_before is not None:
        filters["created_before"] = _moment(created_before, "created_before")
        rows = rows.filter(created_at__lt=created_before)
    return _page(rows, _checked_limit(limit), cursor, _digest(filters))


def _page(rows: QuerySet[Job], limit: int, cursor: str | None, digest: str) -> JobPage:
    if cursor is not None:
        created_at, key = decode_cursor(cursor, digest)
        rows = rows.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, id__lt=key))
    # One more than asked tells whether there are more.
    found = list(rows.order_by("-created_at", "-id")[: limit + 1])
    shown = found[:limit]
    has_more = len(found) > limit
    next_cursor = encode_cursor(shown[-1].created_at, shown[-1].pk, digest) if has_more else None
    return JobPage(statuses(shown), has_more, next_cursor)


def statuses(found: Collection[Job]) -> list[JobStatus]:
    """Return what callers see of the rows, their parents read in one statement."""
    parents = _parent_ids([job.pk for job in found if job.parent_count])
    return [_status(job, parents[job.pk]) for job in found]


def _parent_ids(children: Collection[int]) -> dict[int, list[str]]:
    parents: dict[int, list[str]] = defaultdict(list)
    if children:
        rows = Continuation.objects.filter(child_id__in=children).order_by("child_id", "position")
        for child, public_id in rows.values_list("child_id", "parent__public_id"):
            parents[child].append(str(public_id))
    return parents


def _status(job: Job, parents: Iterable[str]) -> JobStatus:
    return JobStatus(
        job_id=str(job.public_id),
        state=JobState(job.state),
        job_type=job.job_type,
        queue=job.queue,
        priority=job.priority,
        created_at=job.created_at,
        run_at=job.run_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        attempt_number=job.attempt,
        max_attempts=job.max_attempts,
        progress=job.progress,
        error_message=job.error_message or None,
        result=job.result,
        result_error=job.result_error or None,
        tags=job.tags,
        parent_job_ids=tuple(parents),
        cancelled_by=None if job.cancelled_by is None else str(job.cancelled_by),
        worker_id=job.worker_id or None,
        timeout=job.timeout,
        payload=job.payload,
    )


def _states(state: Any) -> list[str]:
    several = [state] if isinstance(state, str) else list(state) if isinstance(state, Iterable) else [state]
    try:
        return sorted({JobState(each).value for each in several})
    except ValueError:
        raise option_error(
            "state", f"{state!r:.60}, one or several of {', '.join(JobState)}", "unknown"
        ) from None


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise option_error(name, f"{type(value).__name__}, a string", "kind")
    if "\x00" in value or not value.isprintable():
        raise option_error(name, "a control character", "invalid_character")
    return value


def _moment(value: Any, name: str) -> str:
    if not isinstance(value, datetime):
        raise option_error(name, f"{type(value).__name__}, an aware datetime", "kind")
    if value.utcoffset() is None:
        raise option_error(name, "a naive datetime, it needs a time zone", "timezone_required")
    try:
        return value.astimezone(UTC).isoformat()
    except (OverflowError, ValueError):
        raise option_error(name, "a time outside the calendar", "out_of_range") from None


def _checked_limit(limit: Any) -> int:
    try:
        return values.whole(limit, 1, MAX_LIMIT)
    except values.BadValueError as problem:
        raise option_error("limit", str(problem)) from None


def with_tags(rows: QuerySet[Job], tags: Mapping[str, str]) -> QuerySet[Job]:
    """Return those of the rows that have all the tags; no index serves it."""
    connection = connections[rows.db]
    if connection.vendor == "mysql":
        # Raw, because the ORM escapes what is not ASCII, which MariaDB does not take for the letter.
        text = canonical_json(tags).decode()
        return rows.filter(RawSQL(_HAS_PAIRS, (text,), output_field=BooleanField()))  # noqa: S611 - a constant
    if connection.features.supports_json_field_contains:
        return rows.filter(tags__contains=dict(tags))
    for key, value in tags.items():
        # Raw, because the ORM reads a key of digits as an array's index. SQLite only.
        has_pair = RawSQL(_HAS_PAIR, (key, value), output_field=BooleanField())  # noqa: S611 - a constant
        rows = rows.filter(has_pair)
    return rows


def _digest(filters: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(filters)).hexdigest()[:16]
