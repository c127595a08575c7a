"""The verbs that create and control jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar, Unpack
from uuid import UUID

from django_flare.arguments import JobOptions, ManyOptions, each_payload, job_id_of, no_job, truth
from django_flare.conf import flare_settings
from django_flare.definitions import JobRef
from django_flare.errors import option_error
from django_flare.jobs.requests import JobRequest, submit, submit_many
from django_flare.lifecycle import control

P = TypeVar("P")

JobId = str | UUID


def enqueue(
    job: JobRef[P], payload: P | Mapping[str, Any] | None = None, **options: Unpack[JobOptions]
) -> str:
    """Create a job that may run as soon as the caller's transaction commits; return its id.

    `job` is the decorated function or class, or a registered type's name. The row joins the
    caller's transaction on the queue's database. With `idempotency_key` a second equal call
    returns the first job's id and writes nothing.

    Raises FlareJobTypeError, FlarePayloadError, FlareOptionError or TypeError (an unknown option)
    before anything is written, FlareConflictError for a key that a different request holds.
    """
    return submit(JobRequest(job=job, payload=payload, options=options)).job_id


def schedule(
    job: JobRef[P],
    payload: P | Mapping[str, Any] | None = None,
    *,
    when: timedelta | datetime,
    **options: Unpack[JobOptions],
) -> str:
    """Create a job that may run from `when` on: a timedelta from now or an aware datetime.

    Now or in the past is like `enqueue`; more than ten years ahead is refused. Otherwise as `enqueue`.
    """
    if when is None:
        raise option_error("when", "None, a timedelta or an aware datetime", "required")
    return submit(JobRequest(job=job, payload=payload, when=when, options=options)).job_id


def continue_with(
    parents: JobId | Iterable[JobId],
    job: JobRef[P],
    payload: P | Mapping[str, Any] | None = None,
    *,
    when: timedelta | datetime | None = None,
    **options: Unpack[JobOptions],
) -> str:
    """Create a job that runs after all of `parents` (1 to 100) have succeeded, and not before `when`.

    Should one of them be dead or cancelled, now or later, the new job is cancelled; its id is
    returned all the same. Raises FlareNotFoundError for an unknown parent; otherwise as `enqueue`.
    """
    if parents is None:
        raise option_error("parents", "None, a job id or several", "required")
    return submit(JobRequest(job=job, payload=payload, when=when, parents=parents, options=options)).job_id


def enqueue_many(
    job: JobRef[P], payloads: Iterable[P | Mapping[str, Any] | None], **options: Unpack[ManyOptions]
) -> list[str]:
    """Create a job for each payload in a few statements, all or none; return their ids in order.

    `idempotency_key` may be a callable that makes the key from the payload. The error of a bad
    payload carries its position as `{"index": n}` in `details`.
    """
    requests = many_requests(job, payloads, options)
    return [submission.job_id for submission in submit_many(requests)]


def many_requests(job: Any, payloads: Iterable[Any], options: ManyOptions) -> Sequence[JobRequest]:
    """Return one request for each payload."""
    return [
        JobRequest(job=job, payload=payload, options=own) for payload, own in each_payload(payloads, options)
    ]


def cancel(job_id: JobId) -> bool:
    """Cancel a pending or scheduled job and, in cascade, those that wait for it.

    False when its state forbids it. After True and the commit no attempt of it starts.
    Raises FlareNotFoundError for an unknown id.
    """
    return _control(control.cancel, job_id)


def retry(job_id: JobId, *, revive: bool = False) -> bool:
    """Make a failed or dead-lettered job claimable now, with one more attempt if all are used up.

    With `revive` the descendants that its end had cancelled wait for it again. False when its
    state forbids it. Raises FlareNotFoundError for an unknown id.
    """
    return _control(partial(control.retry, revive=truth(revive, "revive")), job_id)


def discard(job_id: JobId) -> bool:
    """Give up on the retries of a failed job: it goes to the dead letter and its children are cancelled.

    False when its state forbids it. Raises FlareNotFoundError for an unknown id.
    """
    return _control(control.discard, job_id)


def stop(job_id: JobId) -> bool:
    """Ask a processing job to stop; its worker learns of it with its next beat, at most `BEAT` later.

    Then `ctx.is_cancelled` is true and a query in progress is cancelled, a second later `JobCancelled`
    is raised in the handler, and after `TIMEOUT_GRACE` it loses its slot. A handler that returns has
    succeeded all the same; any other end, also the loss of its worker, is `cancelled`, not retried, with
    an error message that begins with "stopped", and cancels the jobs that wait for it.

    True while the job is processing, however often it is asked; False otherwise, also for a job that
    waits: `cancel` is for those. Raises FlareNotFoundError for an unknown id.
    """
    return _control(control.stop, job_id)


def _control(change: Callable[[UUID, str], bool | None], job_id: JobId) -> bool:
    public_id = job_id_of(job_id)
    done = None if public_id is None else change(public_id, flare_settings().database)
    if done is None:
        raise no_job(job_id)
    return done
