"""Say in which state a job is by its time and its parents, and which workers may claim it: pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from django_flare.states import BROKEN, JobState


class ParentState(Protocol):
    """What is read of a parent."""

    @property
    def public_id(self) -> UUID: ...
    @property
    def state(self) -> str: ...
    @property
    def cancelled_by(self) -> UUID | None: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Say where a job that has not run stands."""

    state: JobState
    open_parents: int = 0
    cancelled_by: UUID | None = None


def stand(parents: Sequence[ParentState], *, due: bool) -> Standing:
    """Return where a job stands: a function of its parents' states and its own time alone.

    A dead or cancelled parent cancels it, and `cancelled_by` names the root cause: the dead or
    hand-cancelled job, for every descendant. A failed parent may still succeed, so it is waited for.
    """
    for parent in parents:
        if parent.state in BROKEN:
            return Standing(JobState.CANCELLED, cancelled_by=parent.cancelled_by or parent.public_id)
    waiting_for = sum(parent.state != JobState.SUCCEEDED for parent in parents)
    if waiting_for or not due:
        return Standing(JobState.SCHEDULED, open_parents=waiting_for)
    return Standing(JobState.PENDING)


class WorkerRow(Protocol):
    """What is read of a worker."""

    @property
    def queues(self) -> Collection[str]: ...
    @property
    def job_types(self) -> Collection[str]: ...
    @property
    def slots(self) -> int: ...
    @property
    def running(self) -> int: ...


def serves(worker: WorkerRow, queue: str) -> bool:
    """Tell whether the worker claims from the queue; one that was told no queues claims from all."""
    return not worker.queues or queue in worker.queues


def knows(worker: WorkerRow, job_type: str) -> bool:
    """Tell whether the worker has a handler for the type; it claims no others."""
    return job_type in worker.job_types


def is_busy(worker: WorkerRow) -> bool:
    """Tell whether all slots of the worker were taken at its last beat."""
    return worker.running >= worker.slots


def is_idle(worker: WorkerRow) -> bool:
    """Tell whether the worker ran nothing at its last beat."""
    return not worker.running


def is_suspect(losses: int) -> bool:
    """Tell whether a job with so many losses runs alone, on an idle worker: it may take that along (F45)."""
    return losses > 0
