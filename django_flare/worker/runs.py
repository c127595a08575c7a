"""One run of a job: what the handler gets, and which outcome its end is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from django_flare.context import CancelToken, JobContext, Progress
from django_flare.definitions import JobDefinition, duration_seconds, encode_result
from django_flare.errors import Discard, JobCancelled, JobTimeout, Retry, Snooze
from django_flare.lifecycle.claim import ClaimedRow, parent_results
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome
from django_flare.states import Event, JobState


class EndReason(StrEnum):
    """Say why a run was told to end."""

    TIMEOUT = "timeout"
    STOP = "stop"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"


class Run:
    """A claimed job on its way through this worker."""

    def __init__(
        self,
        row: ClaimedRow,
        definition: JobDefinition,
        progressed: Callable[[], object],
        worker_id: str = "",
    ) -> None:
        self.row = row
        self.worker_id = worker_id
        self.definition = definition
        self.end_reason: EndReason | None = None
        self.started_at: float | None = None
        self.duration = 0.0
        self.outcome: Outcome | None = None
        # The state that the handler's own transaction has already recorded (atomic=True).
        self.recorded: JobState | None = None
        # Whether a commit of the outcome failed in a way that leaves open whether it happened.
        self.uncertain = False
        self.token = CancelToken()
        self.progress = Progress(progressed)

    def tell_to_end(self, reason: EndReason) -> None:
        """Set the handler's token; the first reason stays."""
        if self.end_reason is None:
            self.end_reason = reason
        self.token.set(reason)

    def outcome_of(self, event: Event, **details: Any) -> Outcome:
        """Return the outcome of this run under its fence."""
        row = self.row
        return Outcome(id=row.id, fence=row.fence, event=event, progress=self.progress.value, **details)

    @property
    def deadline(self) -> float | None:
        """The monotonic time at which the run times out, None before its start."""
        return None if self.started_at is None else self.started_at + self.row.timeout.total_seconds()

    def arguments(self, using: str) -> tuple[Any, JobContext]:
        """Return the parsed payload and the context; raises FlarePayloadError for a misfit."""
        definition, row = self.definition, self.row
        payload = definition.codec.decode(row.payload) if definition.takes_payload else None
        return payload, _context(self, using) if definition.takes_context else _NO_CONTEXT

    def start(self) -> None:
        """Start the clock of the attempt."""
        self.started_at = time.monotonic()

    def finish(self, outcome: Outcome) -> None:
        """Keep the outcome until it is written."""
        self.outcome = outcome
        self.duration = time.monotonic() - (self.started_at or time.monotonic())


_NO_CONTEXT: Any = None


def _context(run: Run, using: str) -> JobContext:
    row = run.row
    return JobContext(
        job_id=str(row.public_id),
        job_type=row.job_type,
        queue=row.queue,
        attempt_number=row.attempt,
        max_attempts=row.max_attempts,
        created_at=row.created_at,
        tags=json.loads(row.tags),
        parents=parent_results(row.id, using) if row.parent_count else (),
        _token=run.token,
        _progress=run.progress,
    )


def success(run: Run, value: Any) -> Outcome:
    """Return the outcome of a handler that returned `value`.

    A value that cannot be kept does not undo finished work: the job succeeds and says why.
    """
    if value is None:
        return run.outcome_of(Event.SUCCEED)
    try:
        return run.outcome_of(Event.SUCCEED, result=encode_result(value))
    except Exception as error:
        return run.outcome_of(Event.SUCCEED, result_error=describe(error).summary)


def failure(run: Run, error: BaseException) -> Outcome:
    """Return the outcome of a handler that raised `error`, which may be a wish of its own."""
    if run.end_reason is EndReason.SHUTDOWN and isinstance(error, JobCancelled | asyncio.CancelledError):
        return run.outcome_of(Event.RELEASE)
    if run.end_reason is EndReason.TIMEOUT:
        # Too late for a wish: anything but a return is a timed-out attempt.
        return _failed(run, error)
    try:
        return _wish(run, error)
    except Exception as bad_wish:
        bad_wish.__context__ = error
        return _failed(run, bad_wish)


def _wish(run: Run, error: BaseException) -> Outcome:
    if isinstance(error, Snooze):
        return run.outcome_of(Event.SNOOZE, delay=duration_seconds("Snooze.delay", error.delay))
    if isinstance(error, Discard):
        return run.outcome_of(Event.EXHAUST, failure=describe(error))
    if isinstance(error, Retry) and error.delay is not None:
        delay = duration_seconds("Retry.delay", error.delay)
        return run.outcome_of(Event.FAIL, delay=delay, failure=describe(error))
    return _failed(run, error)


def _failed(run: Run, error: BaseException) -> Outcome:
    # The deadline may also pass while the run has another reason to end.
    is_ours = run.end_reason is not None and isinstance(error, JobTimeout)
    timed_out = run.end_reason is EndReason.TIMEOUT or is_ours
    if timed_out and isinstance(error, JobTimeout | JobCancelled | asyncio.CancelledError):
        error = JobTimeout(f"the attempt ran longer than its timeout of {run.row.timeout}").with_traceback(
            error.__traceback__
        )
    return run.outcome_of(Event.FAIL, failure=describe(error), timed_out=timed_out)


def overrun(run: Run) -> Outcome:
    """Return the outcome of a handler that went on running past its deadline and its grace."""
    error = JobTimeout(
        f"the attempt ran longer than its timeout of {run.row.timeout} and did not end when told to"
    )
    return run.outcome_of(Event.FAIL, failure=describe(error), timed_out=True)
