"""One run of a job: what the handler gets, and which outcome its end is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from django_flare.context import CancelToken, JobContext, Progress
from django_flare.definitions import JobDefinition, duration_seconds, encode_result
from django_flare.errors import Discard, JobCancelled, JobTimeout, Retry, Snooze
from django_flare.lifecycle.claim import ClaimedRow, parent_results, parse_time
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.finish import NotRecordedError
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
        self._stop_learned_at: float | None = None
        self.duration = 0.0
        self.outcome: Outcome | None = None
        # The state that the handler's own transaction has already recorded (atomic=True).
        self.recorded: JobState | None = None
        # Whether a commit of the outcome failed in a way that leaves open whether it happened.
        self.uncertain = False
        # By alias, those of the thread that an async handler has for the ORM; a sync one uses the slot's.
        self.connections: dict[str, BaseDatabaseWrapper] = {}
        self.query_cancelled_at: float | None = None
        self.is_interrupted = False
        self.token = CancelToken()
        self.progress = Progress(progressed)

    def tell_to_end(self, reason: EndReason) -> None:
        """Set the handler's token; the first reason stays."""
        if self.end_reason is None:
            self.end_reason = reason
        if reason is EndReason.STOP and self._stop_learned_at is None:
            self._stop_learned_at = time.monotonic()
        self.token.set(reason)

    def outcome_of(self, event: Event, **details: Any) -> Outcome:
        """Return the outcome of this run under its fence."""
        row = self.row
        ran = None if self.started_at is None else time.monotonic() - self.started_at
        facts = {"progress": self.progress.value, "waited": row.waited, "ran": ran, **details}
        return Outcome(id=row.id, fence=row.fence, event=event, **facts)

    @property
    def must_end(self) -> tuple[float, EndReason] | None:
        """From which monotonic time on the handler is made to end, and why; None before its start."""
        if self.started_at is None:
            return None
        deadline = self.started_at + self.row.timeout.total_seconds()
        if self._stop_learned_at is not None and self._stop_learned_at < deadline:
            return self._stop_learned_at, EndReason.STOP
        return deadline, EndReason.TIMEOUT

    @property
    def interruption(self) -> type[BaseException]:
        """What is raised in a handler that goes on after it was told to end."""
        is_stop = self.must_end is not None and self.must_end[1] is EndReason.STOP
        return JobCancelled if is_stop else JobTimeout

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
        now = time.monotonic()
        self.duration = now - (now if self.started_at is None else self.started_at)


_NO_CONTEXT: Any = None


def _context(run: Run, using: str) -> JobContext:
    row = run.row
    return JobContext(
        job_id=str(row.public_id),
        job_type=row.job_type,
        queue=row.queue,
        attempt_number=row.attempt,
        max_attempts=row.max_attempts,
        created_at=parse_time(row.created_at, using),
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


_UNSTARTED = {
    EndReason.STOP: Event.STOPPED,
    EndReason.SHUTDOWN: Event.RELEASE,
    # Refused, since somebody else decides about the job by now.
    EndReason.LEASE_LOST: Event.RELEASE,
}


def unstarted(run: Run) -> Outcome | None:
    """Return the outcome of a run that was told to end before its handler began, or None."""
    event = _UNSTARTED.get(run.end_reason) if run.end_reason else None
    return None if event is None else run.outcome_of(event, ran=None)


_HEEDED = {EndReason.STOP: Event.STOPPED, EndReason.SHUTDOWN: Event.RELEASE}


def failure(run: Run, error: BaseException) -> Outcome:
    """Return the outcome of a handler that raised `error`, which may be a wish of its own."""
    if run.end_reason in _HEEDED and _is_told(run, error) and not isinstance(error, JobTimeout):
        # It left because it was told to, which is no failure.
        return run.outcome_of(_HEEDED[run.end_reason])
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
    if timed_out and _is_told(run, error):
        error = _timeout(run, error)
    return run.outcome_of(Event.FAIL, failure=describe(error), timed_out=timed_out)


def _is_told(run: Run, error: BaseException) -> bool:
    """Tell whether `error` is what the worker has raised in the handler, or has made its query raise."""
    is_of_query = run.query_cancelled_at is not None and isinstance(error, OperationalError)
    return is_of_query or isinstance(error, asyncio.CancelledError) or _is_group_of_cancellations(error)


def _is_group_of_cancellations(error: BaseException) -> bool:
    # As what asyncio's TaskGroup of Python 3.11 raises them.
    return isinstance(error, BaseExceptionGroup) and error.split(asyncio.CancelledError)[1] is None


def _timeout(run: Run, error: BaseException) -> JobTimeout:
    timeout = JobTimeout(f"the attempt ran longer than its timeout of {run.row.timeout}")
    if isinstance(error, OperationalError):
        # Whoever reads the traceback sees which query it was.
        timeout.__cause__ = error
    return timeout.with_traceback(error.__traceback__)


def unrecorded(run: Run, error: NotRecordedError) -> Outcome:
    """Return the outcome of an `atomic` handler whose success the database did not take.

    After a conflict it runs again, and no attempt is counted. An outage is a failure of the attempt: it may
    be the handler's, and would come again. If the commit was done and its answer lost (F08), this outcome is
    refused, and the row tells.
    """
    run.uncertain = True
    if error.is_outage or run.end_reason is EndReason.TIMEOUT:
        return failure(run, error.__cause__ or error)
    return run.outcome_of(Event.RELEASE)


def overrun(run: Run) -> Outcome:
    """Return the outcome of a handler that went on running when told to end, and past its grace."""
    if run.interruption is JobCancelled:
        return run.outcome_of(Event.STOPPED)
    error = JobTimeout(
        f"the attempt ran longer than its timeout of {run.row.timeout} and did not end when told to"
    )
    return run.outcome_of(Event.FAIL, failure=describe(error), timed_out=True)
