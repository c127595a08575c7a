"""What the dashboard and the list of queues say of each thing, in words.

Words stay the same as long as nothing happens, so that a page which asks again can be told "not modified":
ages are coarse.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from django_flare.admin.words import badge, coarse, moment, span, state_badge, state_label
from django_flare.jobs.figures import EndedRow, Spans, TypeFigures
from django_flare.jobs.overview import MOST_QUEUES, MOST_WORKERS, Capped, QueueView, WorkerView
from django_flare.models.rollup import BOUNDS
from django_flare.states import JobState

_MINUTE = 60
_SHARES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Tile:
    """The number of jobs in a state."""

    state: str
    badge: SafeString
    label: str
    number: str


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue; `badge` says whether it is paused."""

    name: str
    is_paused: bool
    badge: SafeString
    claimable: str
    oldest: str
    running: str
    next_due: str


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker; `load` of `slots` is drawn."""

    worker_id: str
    hostname: str
    pid: int
    version: str
    load: int
    slots: int
    queues: str
    beat: str
    is_stale: bool
    badge: SafeString


@dataclass(frozen=True, slots=True)
class Part:
    """The first rows of a list, and the number of all if there are more."""

    rows: Sequence[Any]
    all: str = ""


@dataclass(frozen=True, slots=True)
class SpansRow:
    """How long something took: mean and percentiles."""

    label: str
    mean: str
    percentiles: list[str]


@dataclass(frozen=True, slots=True)
class TypeRow:
    """A job type: how often its jobs ended and failed, and how long they ran."""

    job_type: str
    ended: str
    failures: str
    share: str
    run: str
    run_p95: str


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A job in the dead letter; nobody but whoever started an operation may let it run again."""

    job_id: str
    job_type: str
    queue: str
    at: str
    message: str
    may_be_retried: bool


def number(value: int) -> str:
    """Return a whole number with its thousands parted as the language has it."""
    return number_format(value, decimal_pos=0, use_l10n=True, force_grouping=True)


def capped(count: Capped) -> str:
    """Return a count, with a plus where counting stopped."""
    return f"{number(count.number)}+" if count.has_more else number(count.number)


def took(seconds: float | None) -> str:
    """Return how long something took; what is beyond the histogram's last bound as more than that."""
    if seconds is not None and math.isinf(seconds):
        return _("over %(span)s") % {"span": span(BOUNDS[-1])}
    return span(seconds)


def tiles(states: dict[JobState, Capped]) -> list[Tile]:
    """Return the numbers of jobs by state."""
    return [
        Tile(state.value, state_badge(state), state_label(state), capped(count))
        for state, count in states.items()
    ]


def urgent_queues(queues: Sequence[QueueView], most: int) -> Part:
    """Return the first queues: the paused ones, then those in which a job waits longest, in minutes."""

    def urgency(queue: QueueView) -> tuple[bool, int, str]:
        return not queue.is_paused, -int((queue.oldest or 0) // _MINUTE), queue.name

    return Part(queue_rows(sorted(queues, key=urgency)[:most]), _all(len(queues), most, MOST_QUEUES))


def urgent_workers(workers: Sequence[WorkerView], most: int) -> Part:
    """Return the first workers: the stale ones, then those that have beaten last."""
    stale_first = sorted(workers, key=lambda worker: not worker.is_stale)
    return Part(worker_rows(stale_first[:most]), _all(len(workers), most, MOST_WORKERS))


def _all(there_are: int, most: int, read: int) -> str:
    """Return how many there are if that is more than are shown; with a plus where reading stopped."""
    return capped(Capped(there_are, has_more=there_are >= read)) if there_are > most else ""


def queue_rows(queues: Iterable[QueueView]) -> list[QueueRow]:
    """Return what is said of queues."""
    return [
        QueueRow(
            name=queue.name,
            is_paused=queue.is_paused,
            badge=badge(_("Paused"), "waiting") if queue.is_paused else badge(_("Active"), "good"),
            claimable=capped(queue.claimable),
            oldest=coarse(queue.oldest),
            running=number(queue.running),
            next_due=coarse(queue.next_due),
        )
        for queue in queues
    ]


def worker_rows(workers: Iterable[WorkerView]) -> list[WorkerRow]:
    """Return what is said of workers."""
    return [
        WorkerRow(
            worker_id=worker.worker_id,
            hostname=worker.hostname,
            pid=worker.pid,
            version=worker.version,
            load=min(worker.running, worker.slots),
            slots=worker.slots,
            queues=", ".join(worker.queues) or _("all"),
            beat=coarse(worker.beat_age),
            is_stale=worker.is_stale,
            badge=badge(_("Stale"), "bad") if worker.is_stale else badge(_("Alive"), "good"),
        )
        for worker in workers
    ]


def spans_rows(total: TypeFigures) -> list[SpansRow]:
    """Return how long all jobs waited and ran."""
    return [_spans_row(_("Wait"), total.waited), _spans_row(_("Run"), total.ran)]


def _spans_row(label: str, spans: Spans) -> SpansRow:
    return SpansRow(label, took(spans.mean), [took(spans.percentile(share)) for share in _SHARES])


def type_rows(types: Iterable[TypeFigures]) -> list[TypeRow]:
    """Return what is said of job types."""
    return [
        TypeRow(
            job_type=each.job_type,
            ended=number(each.ended),
            failures=number(each.failures),
            share=_percent(each.failures, each.ended) if each.failures else "",
            run=took(each.ran.mean),
            run_p95=took(each.ran.percentile(0.95)),
        )
        for each in types
    ]


def _percent(part: int, whole: int) -> str:
    return _("%(share)s %%") % {"share": number_format(round(100 * part / whole, 1), decimal_pos=1)}


def dead_rows(jobs: Iterable[EndedRow], fixed: Container[UUID]) -> list[DeadRow]:
    """Return what is said of dead jobs; those with the ids `fixed` are not to be retried."""
    return [
        DeadRow(
            job_id=str(job.public_id),
            job_type=job.job_type,
            queue=job.queue,
            at=moment(job.completed_at),
            message=job.message,
            may_be_retried=job.public_id not in fixed,
        )
        for job in jobs
    ]
