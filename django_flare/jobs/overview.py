"""Read how queues and workers do: for `flare_status`, the admin and the HTTP API.

Nothing here reads more than a bounded number of rows, however many jobs there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django_flare.conf import flare_settings
from django_flare.definitions import registry
from django_flare.lifecycle.claim import claimable_queues
from django_flare.models import Worker
from django_flare.states import JobState
from django_flare.status import instant
from django_flare.store import overview as store
from django_flare.store.clock import read_now

MOST_COUNTED = 10_000
"""How far jobs are counted."""
MOST_QUEUES = 100
MOST_WORKERS = 500
_LEAST_COUNTED = 100
_NEXT_DUE = 1_000
_TYPES_SEEN = 5_000


@dataclass(frozen=True, slots=True)
class Capped:
    """Hold a count, or the number at which counting stopped and that there is more."""

    number: int
    has_more: bool = False

    @classmethod
    def of(cls, counted: int, most: int | None = None) -> Capped:
        """Return the count that a query found which looked one further than `most` (`MOST_COUNTED`)."""
        most = MOST_COUNTED if most is None else most
        return cls(min(counted, most), counted > most)

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.has_more else ''}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"number": self.number, "has_more": self.has_more}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """Tell of one queue; ages and times to go are seconds by the database's clock, None for nothing there.

    `oldest` is how long the longest-waiting claimable job waits, also beyond those counted; `next_due`
    is known for the queues of the next 1,000 scheduled and the next 1,000 failed jobs.
    """

    name: str
    claimable: Capped
    oldest: float | None
    running: int
    next_due: float | None
    is_paused: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "name": self.name,
            "claimable": self.claimable.as_dict(),
            "oldest_seconds": self.oldest,
            "running": self.running,
            "next_due_seconds": self.next_due,
            "paused": self.is_paused,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """Tell of one worker; `beat_age` is in seconds, no queues means all.

    A worker `is_stale` when others may take back its jobs: it has not beaten for the lease.
    """

    worker_id: str
    hostname: str
    pid: int
    version: str
    slots: int
    running: int
    queues: tuple[str, ...]
    started_at: datetime
    beat_age: float
    is_stale: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON types, times in RFC 3339 with `Z`."""
        return {
            "id": self.worker_id,
            "hostname": self.hostname,
            "pid": self.pid,
            "version": self.version,
            "slots": self.slots,
            "running": self.running,
            "queues": list(self.queues),
            "started_at": instant(self.started_at),
            "beat_age_seconds": self.beat_age,
            "stale": self.is_stale,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Tell how everything does at the database's time `at`.

    `unknown_types` are job types at the heads of the queues that no live worker knows;
    `longest_transaction` is in seconds, on PostgreSQL, None elsewhere or when there is none.
    """

    database: str
    at: datetime
    queues: tuple[QueueView, ...]
    workers: tuple[WorkerView, ...]
    states: dict[JobState, Capped]
    unknown_types: tuple[str, ...]
    longest_transaction: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON types, times in RFC 3339 with `Z`."""
        return {
            "database": self.database,
            "at": instant(self.at),
            "queues": [queue.as_dict() for queue in self.queues],
            "workers": [worker.as_dict() for worker in self.workers],
            "states": {str(state): count.as_dict() for state, count in self.states.items()},
            "unknown_types": list(self.unknown_types),
            "longest_transaction_seconds": self.longest_transaction,
        }


def read_overview(using: str | None = None) -> Overview:
    """Return the overview of the database `using`, by default that of the jobs."""
    using = using or flare_settings().database
    names = _busy_queues(using)
    rows = store.all_workers(MOST_WORKERS, using)
    now = read_now(using)
    return Overview(
        database=using,
        at=now,
        queues=_queues(names, now, using),
        workers=_workers(rows, now),
        states=read_states(using),
        unknown_types=_unknown_types(names, rows, now, using),
        longest_transaction=store.longest_transaction(using),
    )


def read_queues(using: str | None = None, budget: int | None = None) -> tuple[QueueView, ...]:
    """Return up to 100 queues that are paused or have claimable, running or soon due jobs, by name.

    If there are more, it is those that are paused, then those with claimable jobs.
    With a `budget` not more than about so many claimable jobs are counted in all, and 100 of each queue.
    """
    using = using or flare_settings().database
    return _queues(_busy_queues(using), read_now(using), using, budget)


def read_queue_names(using: str | None = None) -> list[str]:
    """Return up to 100 names of queues that are declared, paused or have claimable, running or due jobs."""
    using = using or flare_settings().database
    declared = {flare_settings().queue} | {
        str(each.options["queue"]) for each in registry.definitions() if "queue" in each.options
    }
    running = store.running_queues(MOST_COUNTED, using)
    due = (queue for queue, _ in store.next_due(_NEXT_DUE, using))
    found = {*_busy_queues(using), *store.paused_queues(MOST_QUEUES, using), *running, *due, *declared}
    return sorted(found)[:MOST_QUEUES]


def read_workers(using: str | None = None) -> tuple[WorkerView, ...]:
    """Return up to 500 registered workers, the freshest beat first."""
    using = using or flare_settings().database
    rows = store.all_workers(MOST_WORKERS, using)
    return _workers(rows, read_now(using))


def read_states(using: str | None = None) -> dict[JobState, Capped]:
    """Count the jobs in each state, each up to 10,000."""
    using = using or flare_settings().database
    return {state: Capped.of(store.count_state(state, MOST_COUNTED + 1, using)) for state in JobState}


def _busy_queues(using: str) -> list[str]:
    return claimable_queues(using)[:MOST_QUEUES]


def _queues(
    busy: Collection[str], now: datetime, using: str, budget: int | None = None
) -> tuple[QueueView, ...]:
    paused = set(store.paused_queues(MOST_QUEUES, using))
    # Of a paused queue nothing is claimable now; what waits there is counted all the same.
    claimable = {*busy, *paused}
    running = Counter(store.running_queues(MOST_COUNTED, using))
    due = _first_due(store.next_due(_NEXT_DUE, using))
    # Of too many those matter more that are paused or in which something waits.
    by_need = dict.fromkeys([*sorted(paused), *sorted(busy), *sorted(running), *sorted(due)])
    names = sorted(list(by_need)[:MOST_QUEUES])
    most = MOST_COUNTED
    if budget is not None and claimable:
        most = min(most, max(budget // len(claimable), _LEAST_COUNTED))
    waiting = {name: store.measure_queue(name, most + 1, using) for name in claimable}
    views = []
    for name in names:
        counted, since = waiting.get(name, (0, None))
        views.append(
            QueueView(
                name=name,
                claimable=Capped.of(counted, most),
                oldest=None if since is None else max(0.0, (now - since).total_seconds()),
                running=running[name],
                next_due=max(0.0, (due[name] - now).total_seconds()) if name in due else None,
                is_paused=name in paused,
            )
        )
    return tuple(views)


def _first_due(times: Iterable[tuple[str, datetime]]) -> dict[str, datetime]:
    first: dict[str, datetime] = {}
    for queue, time in times:
        first[queue] = min(time, first.get(queue, time))
    return first


def _workers(rows: Iterable[Worker], now: datetime) -> tuple[WorkerView, ...]:
    return tuple(
        WorkerView(
            worker_id=row.id,
            hostname=row.hostname,
            pid=row.pid,
            version=row.version,
            slots=row.slots,
            running=row.running,
            queues=tuple(row.queues),
            started_at=row.started_at,
            beat_age=max(0.0, (now - row.last_beat_at).total_seconds()),
            is_stale=_is_stale(row, now),
        )
        for row in rows
    )


def _is_stale(row: Worker, now: datetime) -> bool:
    return now - row.last_beat_at > flare_settings().lease


def _unknown_types(
    queues: Collection[str], rows: Iterable[Worker], now: datetime, using: str
) -> tuple[str, ...]:
    if not queues:
        return ()
    window = max(_TYPES_SEEN // len(queues), 1)
    seen = set().union(*(store.types_at_head(queue, window, using) for queue in queues))
    known = set().union(*(row.job_types for row in rows if not _is_stale(row, now)))
    return tuple(sorted(seen - known))
