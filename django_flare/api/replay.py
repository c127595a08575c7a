"""Create jobs so that asking again under the same idempotency key gives the same answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar
from uuid import UUID

from django.db import connections

from django_flare import jobs
from django_flare.api.problems import problem
from django_flare.api.redaction import describe_job
from django_flare.api.rendering import render
from django_flare.conf import flare_settings
from django_flare.errors import FlareConflictError, FlareNotFoundError
from django_flare.jobs import JobRequest
from django_flare.store import replies
from django_flare.store.patience import OutOfPatienceError, patient_transaction
from django_flare.store.transactions import statement

PATIENCE = 5
"""How many seconds a request waits for a twin that is still in flight."""

T = TypeVar("T")


class Answer(NamedTuple):
    """Hold the body of a 201, to the byte, and whether it is given again."""

    job_id: str
    body: bytes
    is_replay: bool


def create(request: JobRequest) -> Answer:
    """Create the job of `request`, or give the answer again that its idempotency key got first.

    The answer is kept in the transaction that creates the job, so there is never one without the
    other. A job that was made otherwise under the key, in a batch, is described as it is now.
    Raises what `jobs.submit` raises, FlareConflictError also for a twin still in flight after 5 s.
    """
    using = flare_settings().database
    work = partial(_create, request, using)
    return work() if _waits_for_nobody(request, using) else _patiently(work, has_key=_has_key(request))


def create_many(requests: list[JobRequest]) -> list[str]:
    """Create the jobs of all requests or of none; return their ids in order."""
    has_key = any(map(_has_key, requests))
    return [each.job_id for each in _patiently(partial(jobs.submit_many, requests), has_key=has_key)]


def _waits_for_nobody(request: JobRequest, using: str) -> bool:
    """Tell whether creating is a plain INSERT, on an engine where writers do not wait for each other."""
    is_plain = request.parents is None and not _has_key(request)
    return is_plain and connections[using].features.has_select_for_update


def _has_key(request: JobRequest) -> bool:
    return "idempotency_key" in request.options


def _create(request: JobRequest, using: str) -> Answer:
    submission = jobs.submit(request)
    job_id = submission.job_id
    kept = None if submission.created else replies.find(UUID(job_id), using)
    if kept is not None:
        return Answer(job_id, kept.encode(), is_replay=True)
    status = jobs.get_status(job_id)
    if status is None:
        raise FlareNotFoundError(f"job_id: no job {job_id}")
    body = render(describe_job(status))
    if submission.created and _has_key(request):
        replies.keep(UUID(job_id), body.decode(), using)
    return Answer(job_id, body, is_replay=not submission.created)


def _patiently(work: Callable[[], T], *, has_key: bool) -> T:
    using = flare_settings().database

    def whole() -> T:
        try:
            with patient_transaction(PATIENCE, using):
                return work()
        except OutOfPatienceError:
            if not has_key:
                raise problem("unavailable", "the database is busy", headers={"Retry-After": "1"}) from None
            raise FlareConflictError(
                f"idempotency_key: another request has been at work for {PATIENCE} s; ask again",
                code="idempotency_in_progress",
            ) from None

    return statement(whole, using)
