"""What a worker tells of finished runs: log lines, and signals sent from slots."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django_flare import signals
from django_flare.lifecycle.quarantine import SetAside
from django_flare.states import JobState
from django_flare.worker.logs import escape
from django_flare.worker.runs import Run

logger = logging.getLogger("django_flare.worker")

# What nobody need look at is DEBUG: it is most of all runs.
_LEVELS = {
    JobState.FAILED: logging.WARNING,
    JobState.DEAD_LETTER: logging.ERROR,
    JobState.CANCELLED: logging.INFO,
}
_LONGEST_MESSAGE = 500


def finished(run: Run, state: str, notify: Callable[[Callable[[], Any]], Any]) -> None:
    """Log the end of a run, and let a slot send `job_finished` if anybody listens."""
    level = _LEVELS.get(JobState(state), logging.DEBUG)
    if logger.isEnabledFor(level):
        logger.log(level, "%s", _sentence(run, state), extra={**fields(run), "state": str(state)})
    # A run that was given back unstarted has not been one.
    if run.outcome is not None and signals.job_finished.has_listeners():
        notify(partial(_send_finished, run, state))


def lost_lease(run: Run) -> None:
    """Log that an outcome was dropped because the job is somebody else's by now."""
    row = run.row
    sentence = f"{escape(row.job_type)} {row.public_id}: the lease was lost, its outcome is dropped"
    logger.warning("%s", sentence, extra=fields(run))


def set_aside(row: SetAside) -> None:
    """Log that a row which cannot be read was sent to the dead letter, so that the others go on."""
    logger.error("The row of job %d cannot be read (%s): %s", row.id, escape(row.what), row.state)


def not_recorded(run: Run, error: BaseException) -> None:
    """Log that the database did not take the success of an `atomic` handler, whose work is undone."""
    row = run.row
    sentence = f"{escape(row.job_type)} {row.public_id}: its success could not be recorded"
    logger.warning("%s: %s", sentence, escape(str(error)[:_LONGEST_MESSAGE]), extra=fields(run))


def _sentence(run: Run, state: str) -> str:
    row = run.row
    sentence = (
        f"{escape(row.job_type)} {row.public_id} attempt {row.attempt} in {run.duration:.3f} s: {state}"
    )
    failure = run.outcome.failure if run.outcome else None
    return f"{sentence} ({escape(failure.summary[:_LONGEST_MESSAGE])})" if failure else sentence


def fields(run: Run) -> dict[str, Any]:
    """Return what a record about the run carries beside its message."""
    row = run.row
    return {
        "job_id": str(row.public_id),
        "job_type": row.job_type,
        "queue": row.queue,
        "attempt": row.attempt,
        "duration": round(run.duration, 6),
        "worker_id": run.worker_id,
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
