"""Read jobs: one by id, or a page of many."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from django_flare.arguments import (
    job_id_of,
    moment,
    page_limit,
    printable,
    state_names,
    validate_options,
)
from django_flare.conf import flare_settings
from django_flare.definitions import canonical_json
from django_flare.jobs.cursors import decode_cursor, encode_cursor
from django_flare.jobs.tolerance import Unreadable, is_trouble, read_columns, read_tolerantly
from django_flare.models import Continuation, Job
from django_flare.states import JobState
from django_flare.status import JobPage, JobStatus
from django_flare.store.rows import find_job

_HAS_PAIRS = "JSON_CONTAINS(tags, %s)"
_HAS_PAIR = "EXISTS (SELECT 1 FROM json_each(tags) WHERE key = %s AND value = %s)"


def get_status(job_id: str | UUID) -> JobStatus | None:
    """Return the state, the timing and the outcome of a job, or None for an unknown id."""
    public_id = job_id_of(job_id)
    if public_id is None:
        return None
    try:
        found = find_job(public_id, flare_settings().database)
    except Exception as error:
        if is_trouble(error):
            raise
        found = next(iter(_read(Job.objects.filter(public_id=public_id))), None)
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
        filters["state"] = states = state_names(state)
        rows = rows.filter(state__in=states)
    if queue is not None:
        filters["queue"] = printable(queue, "queue")
        rows = _named(rows, queue=queue)
    if job_type is not None:
        filters["job_type"] = printable(job_type, "job_type")
        rows = _named(rows, job_type=job_type)
    if tags is not None:
        filters["tags"] = checked = validate_options({"tags": tags})["tags"]
        rows = with_tags(rows, checked)
    if created_after is not None:
        filters["created_after"] = since = moment(created_after, "created_after")
        rows = rows.filter(created_at__gte=since)
    if created_before is not None:
        filters["created_before"] = until = moment(created_before, "created_before")
        rows = rows.filter(created_at__lt=until)
    return _page(rows, page_limit(limit), cursor, _digest(filters))


def _page(rows: QuerySet[Job], limit: int, cursor: str | None, digest: str) -> JobPage:
    if cursor is not None:
        created_at, key = decode_cursor(cursor, digest)
        rows = rows.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, id__lt=key))
    # One more than asked tells whether there are more.
    ordered = rows.order_by("-created_at", "-id")
    found = _read(rows, ordered[: limit + 1])
    shown = found[:limit]
    # Nothing comes after a time that cannot be read; the page goes on behind the last that can.
    last = next((job for job in reversed(shown) if job.created_at != _NO_TIME), None)
    has_more = len(found) > limit and last is not None
    next_cursor = encode_cursor(last.created_at, last.pk, digest) if last and has_more else None
    return JobPage(statuses(shown), has_more, next_cursor)


def _read(rows: QuerySet[Job], page: QuerySet[Job] | None = None) -> list[Job]:
    found = (_whole(row) for row in read_tolerantly(rows, page))
    return [job for job in found if job is not None]


def _whole(row: Job | Unreadable) -> Job | None:
    """Return the job; of an unreadable row what can be read, and in `error_message` what cannot (F58)."""
    if not isinstance(row, Unreadable):
        return row
    found, unreadable = read_columns(Job.objects.all(), row.pk, _STAND_INS)
    if "state" in unreadable:
        # Deleted since the page was read.
        return None
    found["error_message"] = f"unreadable row: {', '.join(unreadable)}"
    return Job(pk=row.pk, **{**_STAND_INS, **found})


_NO_TIME = datetime.fromtimestamp(0, UTC)
_STAND_INS: dict[str, Any] = {
    "public_id": UUID(int=0),
    **dict.fromkeys(["state", "job_type", "queue", "error_message", "result_error", "worker_id"], ""),
    **dict.fromkeys(["rank", "attempt", "parent_count"], 0),
    "max_attempts": 1,
    **dict.fromkeys(["created_at", "run_at"], _NO_TIME),
    **dict.fromkeys(["started_at", "completed_at", "progress", "result", "cancelled_by"]),
    "tags": {},
    "timeout": timedelta(0),
    "payload": {},
}
"""What callers see instead of a column that cannot be read."""


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


def _named(rows: QuerySet[Job], **name: str) -> QuerySet[Job]:
    # No queue and no type has a space in its name, and MariaDB would pass over one at the end.
    return rows.none() if any(" " in value for value in name.values()) else rows.filter(**name)


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
