"""The state machine of a job, as one table that everything else derives from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """Name the states of a job; the values stand in the database and on the wire."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD_LETTER = "dead_letter"


class Event(StrEnum):
    """Name everything that can change a job's state."""

    CREATE = "create"
    DUE = "due"
    CLAIM = "claim"
    SUCCEED = "succeed"
    FAIL = "fail"
    EXHAUST = "exhaust"
    LOSE = "lose"
    RELEASE = "release"
    SNOOZE = "snooze"
    STOPPED = "stopped"
    CANCEL = "cancel"
    CASCADE = "cascade"
    DISCARD = "discard"
    RETRY = "retry"
    REVIVE = "revive"


class AttemptOutcome(StrEnum):
    """Name how a run that did not succeed ended, as its `Attempt` row says."""

    FAILED = "failed"
    TIMED_OUT = "timed_out"
    LOST = "lost"


@dataclass(frozen=True)
class Transition:
    """Give the states that an event may start from and those that it may end in."""

    sources: frozenset[JobState]
    targets: frozenset[JobState]


def _row(sources: str, targets: str) -> Transition:
    return Transition(
        frozenset(JobState(word) for word in sources.split()),
        frozenset(JobState(word) for word in targets.split()),
    )


TRANSITIONS: dict[Event, Transition] = {
    Event.CREATE: _row("", "pending scheduled cancelled"),
    Event.DUE: _row("scheduled failed", "pending"),
    Event.CLAIM: _row("pending", "processing"),
    Event.SUCCEED: _row("processing", "succeeded"),
    Event.FAIL: _row("processing", "failed"),
    Event.EXHAUST: _row("processing", "dead_letter"),
    Event.LOSE: _row("processing", "pending dead_letter"),
    Event.RELEASE: _row("processing", "pending"),
    Event.SNOOZE: _row("processing", "scheduled"),
    Event.STOPPED: _row("processing", "cancelled"),
    Event.CANCEL: _row("pending scheduled", "cancelled"),
    Event.CASCADE: _row("scheduled", "cancelled"),
    Event.DISCARD: _row("failed", "dead_letter"),
    Event.RETRY: _row("failed dead_letter", "pending"),
    Event.REVIVE: _row("cancelled", "pending scheduled cancelled"),
}

FINAL = frozenset({JobState.SUCCEEDED, JobState.CANCELLED, JobState.DEAD_LETTER})
"""States that a job leaves only by an operator's retry or revival."""

WAITING = frozenset({JobState.PENDING, JobState.SCHEDULED})
"""States of a job that has no run, no outcome and none kept from before."""

ENDED = FINAL | {JobState.FAILED}
"""States in which `completed_at` is set."""

BROKEN = frozenset({JobState.CANCELLED, JobState.DEAD_LETTER})
"""States of a parent whose children can never run."""


def sources(event: Event) -> frozenset[JobState]:
    """Return the states from which `event` is allowed."""
    return TRANSITIONS[event].sources


def allows(event: Event, state: JobState | str) -> bool:
    """Tell whether a job in `state` may undergo `event`."""
    return state in TRANSITIONS[event].sources
