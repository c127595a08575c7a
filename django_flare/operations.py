"""What operators do to many jobs at once, run as a job of our own.

It goes through the jobs in the order of their keys, each a transaction of its own by the same verb that
serves one job, so that workers wait for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, Protocol

from django.db.models import QuerySet

from django_flare import jobs
from django_flare.context import JobContext
from django_flare.definitions import job
from django_flare.definitions.registry import OWN_NAMESPACE
from django_flare.errors import Discard, FlareNotFoundError
from django_flare.jobs.tolerance import Unreadable, read_tolerantly
from django_flare.models import Job
from django_flare.states import Event, allows, sources
from django_flare.values import PRIORITY_BOUND

NAME = f"{OWN_NAMESPACE}bulk_operation"

_KEYS_AT_ONCE = 5_000
_CHANGES_AT_ONCE = 100
_BREATH = 0.02
"""Seconds between two batches in which others get SQLite's write lock, for which nobody queues."""


@dataclass(frozen=True)
class Verb:
    """Something an operator may do to a job; its permission is `<name>_job`."""

    name: str
    event: Event
    act: Callable[[str], bool]

    @property
    def permission(self) -> str:
        """The model permission that it takes."""
        return f"{self.name}_job"

    def fits(self, state: str) -> bool:
        """Tell whether it may be done to a job in `state`."""
        return allows(self.event, state)


VERBS = {
    verb.name: verb
    for verb in (
        Verb("cancel", Event.CANCEL, jobs.cancel),
        Verb("retry", Event.RETRY, jobs.retry),
        Verb("discard", Event.DISCARD, jobs.discard),
        Verb("stop", Event.STOPPED, jobs.stop),
    )
}


@dataclass
class BulkOperation:
    """Ask for `verb` on all jobs up to the key `last` that `criteria` select, in the name of a user.

    `source` names who understands the criteria.
    """

    verb: str
    source: str
    criteria: dict[str, Any]
    user_id: str
    last: int


class Selection(Protocol):
    """The jobs that a bulk operation is about, and where it is written down what became of them."""

    def jobs(self) -> QuerySet[Job]:
        """Return the jobs that match and that the user may see."""
        ...

    def record(self, changed: Sequence[tuple[str, str]], unchanged: Sequence[tuple[str, str]]) -> None:
        """Write into the history which jobs, each an id and a name, were changed and which had moved on."""
        ...


selections: dict[str, Callable[[BulkOperation], Selection]] = {}
"""Makes of an operation the selection it is about, by the name of its source.

It raises Discard when the user may not, or no longer, do it."""


def start(operation: BulkOperation) -> str:
    """Enqueue the operation ahead of other jobs of the default queue; return its job's id."""
    return jobs.enqueue(NAME, operation, priority=PRIORITY_BOUND)


@job(name=NAME, timeout=timedelta(hours=24))
def run_bulk_operation(payload: BulkOperation, ctx: JobContext) -> dict[str, int]:
    """Do it; return how many jobs were changed and how many had moved on meanwhile.

    Run again after an interruption it goes on with those that are left, and counts these alone.
    """
    verb = VERBS.get(payload.verb)
    make_selection = selections.get(payload.source)
    if verb is None or make_selection is None:
        raise Discard(f"this worker cannot {payload.verb[:20]} what {payload.source[:100]} selects")
    selection = make_selection(payload)
    changed = unchanged = 0
    for batch in _batches(selection.jobs().filter(state__in=sources(verb.event)), payload.last, ctx):
        done: list[tuple[str, str]] = []
        left: list[tuple[str, str]] = []
        try:
            for each in batch:
                (done if _act(verb, each[0], ctx) else left).append(each)
        finally:
            # What was done is written down also when this run ends in the middle.
            selection.record(done, left)
        changed += len(done)
        unchanged += len(left)
    return {"changed": changed, "unchanged": unchanged}


def _act(verb: Verb, job_id: str, ctx: JobContext) -> bool:
    ctx.raise_if_cancelled()
    try:
        return verb.act(job_id)
    except FlareNotFoundError:
        return False


def _batches(rows: QuerySet[Job], last: int, ctx: JobContext) -> Iterator[list[tuple[str, str]]]:
    """Go through the keys range by range: however few jobs match, each statement reads a bounded number."""
    first = rows.model._default_manager.order_by("pk").values_list("pk", flat=True).first()
    if first is None:
        return
    for low in range(first, last + 1, _KEYS_AT_ONCE):
        high = min(low + _KEYS_AT_ONCE - 1, last)
        found = rows.filter(pk__range=(low, high)).order_by("pk").values_list("pk", "public_id", "job_type")
        readable = iter([each for each in read_tolerantly(found) if not isinstance(each, Unreadable)])
        while batch := list(islice(readable, _CHANGES_AT_ONCE)):
            yield [(str(public_id), f"{job_type} {public_id}") for _, public_id, job_type in batch]
            ctx.report_progress((batch[-1][0] - first + 1) / (last - first + 1))
            ctx.sleep(_BREATH)
        ctx.report_progress((high - first + 1) / (last - first + 1))
