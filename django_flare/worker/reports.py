"""What a worker tells of finished runs: log lines, and signals sent from slots."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django_flare import signals
from django_flare.states import JobState
from django_flare.worker.runs import Run

logger = logging.getLogger("django_flare.worker")

_QUIET = frozenset({JobState.SUCCEEDED, JobState.PENDING, JobState.SCHEDULED})


def finished(run: Run, state: str, notify: Callable[[Callable[[], Any]], Any]) -> None:
    """Log the end of a run, and let a slot send `job_finished` if anybody listens."""
    level = logging.DEBUG if state in _QUIET else logging.WARNING
    if logger.isEnabledFor(level):
        logger.log(level, "%s", _sentence(run, state), extra=_fields(run))
    # A run that was given back unstarted has not been one.
    if run.outcome is not None and signals.job_finished.has_listeners():
        notify(partial(_send_finished, run, state))


def lost_lease(run: Run) -> None:
    """Log that an outcome was dropped because the job is somebody else's by now."""
    logger.warning("%s: the lease was lost, its outcome is dropped", run.row.public_id, extra=_fields(run))


def _sentence(run: Run, state: str) -> str:
    row = run.row
    sentence = f"{row.job_type} {row.public_id} attempt {row.attempt} in {run.duration:.3f} s: {state}"
    failure = run.outcome.failure if run.outcome else None
    return f"{sentence} ({one_line(failure.summary)})" if failure else sentence


def one_line(text: str) -> str:
    """Escape what would start a new line or steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:500])


def _fields(run: Run) -> dict[str, Any]:
    row = run.row
    return {
        "job_id": str(row.public_id),
        "job_type": row.job_type,
        "queue": row.queue,
        "attempt": row.attempt,
        "duration": run.duration,
    }


def _send_finished(run: Run, state: str) -> None:
    row = run.row
    signals.job_finished.send_robust(
        sender=row.job_type,
        job_id=str(row.public_id),
        queue=row.queue,
        attempt=row.attempt,
        state=state,
        duration=run.duration,
    )
