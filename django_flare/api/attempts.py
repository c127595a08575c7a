"""Read what is kept of a job's runs that did not succeed."""

from __future__ import annotations

from typing import Any

from django_flare.arguments import job_id_of, no_job
from django_flare.models import Attempt, Job
from django_flare.status import instant

MOST_ATTEMPTS = 20


def read_attempts(job_id: str, *, with_tracebacks: bool) -> list[dict[str, Any]]:
    """Return up to 20 attempts of the job, the newest first; a traceback that is not shown is None."""
    public_id = job_id_of(job_id)
    key = None if public_id is None else Job.objects.filter(public_id=public_id).values_list("pk", flat=True)
    found = None if key is None else key.first()
    if found is None:
        raise no_job(job_id)
    rows = Attempt.objects.filter(job_id=found).order_by("-fence")[:MOST_ATTEMPTS]
    return [_as_dict(row, with_tracebacks) for row in rows]


def _as_dict(row: Attempt, with_tracebacks: bool) -> dict[str, Any]:
    return {
        "number": row.number,
        "outcome": row.outcome,
        "worker_id": row.worker_id or None,
        "started_at": instant(row.started_at),
        "ended_at": instant(row.ended_at),
        "error_class": row.error_class or None,
        "error_message": row.error_message or None,
        "traceback": (row.traceback or None) if with_tracebacks else None,
    }
