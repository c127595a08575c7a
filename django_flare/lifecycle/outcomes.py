"""Decide what becomes of a job whose run ended: pure, the same for success, failure, timeout and loss."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from django_flare.definitions import Backoff
from django_flare.errors import FlareOptionError
from django_flare.lifecycle.failures import Failure
from django_flare.states import BROKEN, ENDED, TRANSITIONS, AttemptOutcome, Event, JobState
from django_flare.store.rollups import Ended
from django_flare.store.runs import AttemptRow, RunRow, RunWrite

LOSSES_ALLOWED = 2
"""How often a job may lose its worker and still be run again."""

STOPPED = "stopped"
WORKER_LOST = "worker_lost: the worker running this job vanished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Say how the run of job `id` under `fence` ended.

    `event` is succeed, fail, exhaust (the handler's discard), lose, release, snooze or stopped (it left
    because it was asked to); `delay` is in seconds; `result` is JSON text; `failure` tells of an
    exception, also of a timeout. `ran` are the seconds from the handler's start to its end, by the worker's
    clock, None for what no handler has run; `waited` those that the claim found.
    """

    id: int
    fence: int
    event: Event
    delay: float | None = None
    progress: float | None = None
    result: str | None = None
    result_error: str = ""
    failure: Failure | None = None
    timed_out: bool = False
    waited: float | None = None
    ran: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Hold what is written: the row, the attempt's record if it did not succeed, and what is counted."""

    write: RunWrite
    attempt: AttemptRow | None = None
    ended: Ended | None = None


def decide(run: RunRow, outcome: Outcome, draw: Callable[[], float] = random.random) -> Decision:
    """Return what becomes of `run`. A run that was asked to stop ends cancelled unless it succeeded."""
    write = _DECIDERS[outcome.event](run, outcome, draw)
    if run.stop_requested and write.state is not JobState.SUCCEEDED:
        write.state, write.delay, write.error_message = JobState.CANCELLED, None, STOPPED
    write.progress = outcome.progress if write.progress is None else write.progress
    ended = None
    if write.state in ENDED:
        ended = Ended(run.queue, run.job_type, write.state, outcome.waited, outcome.ran)
    return Decision(write, _record(run, outcome), ended)


def _write(run: RunRow, state: JobState, attempt: int | None = None) -> RunWrite:
    return RunWrite(id=run.id, fence=run.fence, state=state, attempt=attempt)


def succeeded(outcome: Outcome) -> RunWrite:
    """Return what a success writes; it is the same whatever the row says of the run."""
    return RunWrite(
        id=outcome.id,
        fence=outcome.fence,
        state=JobState.SUCCEEDED,
        progress=1.0,
        result=outcome.result,
        result_error=outcome.result_error,
        error_message="",
    )


def _succeed(run: RunRow, outcome: Outcome, _: object) -> RunWrite:
    return succeeded(outcome)


def _fail(run: RunRow, outcome: Outcome, draw: Callable[[], float]) -> RunWrite:
    if run.attempt >= run.max_attempts:
        return _exhaust(run, outcome, draw)
    write = _write(run, JobState.FAILED)
    delay = outcome.delay
    if delay is None:
        delay = _backoff(run).delay(run.attempt, draw)
    write.delay, write.error_message = _microseconds(delay), _summary(outcome)
    return write


def _backoff(run: RunRow) -> Backoff:
    try:
        return Backoff.default() if run.backoff is None else Backoff.from_json(json.loads(run.backoff))
    except (TypeError, ValueError, FlareOptionError):
        # Written by another version or another hand: no reason to lose the outcome (F58).
        return Backoff.default()


def _exhaust(run: RunRow, outcome: Outcome, _: object) -> RunWrite:
    write = _write(run, JobState.DEAD_LETTER)
    write.error_message = _summary(outcome)
    return write


def _lose(run: RunRow, outcome: Outcome, _: object) -> RunWrite:
    dead = run.losses >= LOSSES_ALLOWED or run.max_attempts == 1
    write = _write(run, JobState.DEAD_LETTER if dead else JobState.PENDING, run.attempt - 1)
    write.losses = run.losses + 1
    if dead:
        write.error_message = WORKER_LOST
    else:
        write.delay = 0
    return write


def _release(run: RunRow, outcome: Outcome, _: object) -> RunWrite:
    return _write(run, JobState.PENDING, run.attempt - 1)


def _snooze(run: RunRow, outcome: Outcome, _: object) -> RunWrite:
    write = _write(run, JobState.SCHEDULED, run.attempt - 1)
    write.delay = _microseconds(outcome.delay or 0)
    return write


def _stop(run: RunRow, outcome: Outcome, _: object) -> RunWrite:
    write = _write(run, JobState.CANCELLED)
    write.error_message = STOPPED
    return write


_DECIDERS: dict[Event, Callable[[RunRow, Outcome, Callable[[], float]], RunWrite]] = {
    Event.SUCCEED: _succeed,
    Event.FAIL: _fail,
    Event.EXHAUST: _exhaust,
    Event.LOSE: _lose,
    Event.RELEASE: _release,
    Event.SNOOZE: _snooze,
    Event.STOPPED: _stop,
}


def recorded(outcome: Outcome, state: str, fence: int, record: str | None) -> JobState | None:
    """Return the state that `outcome` has left its job in, if it was recorded and the answer got lost (F08).

    `state` and `fence` are the row's now, `record` what the attempt's record under the outcome's fence says.
    Only the run's own worker writes a success under its fence, or a record of anything but a loss. A run
    released in its name, by its supervisor, looks as if it had done so itself, and is as good.

    What cannot be known: how the run left a job that was changed since, when both failed and dead are
    possible, or an operator has cancelled it; and whether an outcome was recorded whose row, or whose
    attempt's record, has been deleted: it counts as refused.
    """
    if (state, fence) == (JobState.SUCCEEDED, outcome.fence):
        return JobState.SUCCEEDED
    if (state, fence) == (JobState.PROCESSING, outcome.fence):
        return None
    leaves_a_record = outcome.failure is not None or outcome.event is Event.SUCCEED
    if record == AttemptOutcome.LOST or (record is None and leaves_a_record):
        return None
    # A success whose content the database has refused was made a failure.
    event = Event.FAIL if outcome.event is Event.SUCCEED else outcome.event
    (target,) = TRANSITIONS[event].targets
    # It ends for good where no attempt was left, or the run was asked to stop.
    return JobState(state) if fence == outcome.fence and state in BROKEN else target


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _summary(outcome: Outcome) -> str:
    return outcome.failure.summary if outcome.failure else ""


def _record(run: RunRow, outcome: Outcome) -> AttemptRow | None:
    if outcome.event is Event.LOSE:
        failure, kind = Failure("", WORKER_LOST, ""), AttemptOutcome.LOST
    elif outcome.failure:
        failure = outcome.failure
        kind = AttemptOutcome.TIMED_OUT if outcome.timed_out else AttemptOutcome.FAILED
    else:
        return None
    return AttemptRow(
        job=run.id,
        number=run.attempt,
        fence=run.fence,
        outcome=kind,
        error_class=failure.error_class,
        error_message=failure.message,
        traceback=failure.traceback,
    )
