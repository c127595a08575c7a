"""Read answers as the values that the verbs return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec

from django_flare.client.failures import failure_of, unexpected
from django_flare.client.replies import Reply
from django_flare.status import Explanation, JobPage, JobStatus, Reason

T = TypeVar("T")

# What the job object calls otherwise than `JobStatus`.
_ON_WIRE = {"job_id": "id", "attempt_number": "attempt", "timeout": "timeout_seconds"}
_FIELDS = [(field.name, _ON_WIRE.get(field.name, field.name)) for field in fields(JobStatus)]


class _Ids(msgspec.Struct):
    ids: list[str]


class _Page(msgspec.Struct):
    jobs: list[dict[str, Any]]
    has_more: bool
    next_cursor: str | None


class _Explained(msgspec.Struct):
    code: Reason
    message: str
    details: dict[str, Any]


class _Switched(msgspec.Struct):
    changed: bool


def job(reply: Reply) -> JobStatus:
    """Return the job that the answer describes."""
    return _status(reply, _read(reply, dict[str, Any]))


def job_if_any(reply: Reply) -> JobStatus | None:
    """Return the job, or None when the API has answered 404.

    A 404 that is no answer of the API, as of a wrong `base_url`, says nothing about a job and is an error.
    """
    return None if reply.status == 404 and reply.refusal() else job(reply)


def job_id(reply: Reply) -> str:
    """Return the id of the job."""
    return job(reply).job_id


def done(reply: Reply) -> bool:
    """Tell whether the job was changed; False when its state forbade it."""
    if reply.status == 409:
        return False
    job(reply)
    return True


def job_ids(reply: Reply, number: int) -> list[str]:
    """Return the ids of a batch of so many jobs."""
    ids = _read(reply, _Ids).ids
    if len(ids) != number:
        raise unexpected(reply, f"{len(ids)} ids for {number} jobs")
    return ids


def page(reply: Reply) -> JobPage:
    """Return one page of jobs."""
    found = _read(reply, _Page)
    return JobPage([_status(reply, each) for each in found.jobs], found.has_more, found.next_cursor)


def explanation(reply: Reply) -> Explanation:
    """Return why a job is not running."""
    found = _read(reply, _Explained)
    details = {
        name: _converted(reply, value, datetime) if name.endswith("_at") and value is not None else value
        for name, value in found.details.items()
    }
    return Explanation(found.code, found.message, details)


def changed(reply: Reply) -> bool:
    """Tell whether pausing or resuming a queue changed anything."""
    return _read(reply, _Switched).changed


def _read(reply: Reply, kind: type[T]) -> T:
    if not reply.is_success:
        raise failure_of(reply)
    try:
        value = reply.json()
    except (ValueError, RecursionError):
        raise failure_of(reply) from None
    return _converted(reply, value, kind)


def _converted(reply: Reply, value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise unexpected(reply, f"{reply.status}, and its body is not as documented: {error}") from None


def _status(reply: Reply, found: Mapping[str, Any]) -> JobStatus:
    known = {field: found[name] for field, name in _FIELDS if name in found}
    seconds = known.get("timeout")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        try:
            known["timeout"] = timedelta(seconds=seconds)
        except (OverflowError, ValueError):
            raise unexpected(reply, f"{reply.status} with a timeout of {seconds} s") from None
    return _converted(reply, known, JobStatus)
