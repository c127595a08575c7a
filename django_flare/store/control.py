"""Change the state of a job that no worker runs, or ask the worker that runs it to stop."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import Case, F, IntegerField, When

from django_flare.models import Job
from django_flare.states import Event, JobState, sources
from django_flare.store.clock import DatabaseNow, aware, now_sql
from django_flare.store.rows import by_index, in_state, jobs, locked
from django_flare.store.runs import running


class Found(NamedTuple):
    """Hold the key, the state and the queue of a job as they were read, without a lock."""

    id: int
    state: str
    queue: str


_DUE_STATES = sorted(sources(Event.DUE))
_CLEARED: dict[str, Any] = {
    "started_at": None,
    "completed_at": None,
    "worker_id": "",
    "progress": None,
    "stop_requested": False,
}


def find(public_id: UUID, using: str) -> Found | None:
    """Return the job that callers know as `public_id`, or None."""
    row = jobs(using).filter(public_id=public_id).values_list(*Found._fields).first()
    return row and Found._make(row)


def cancel(key: int, using: str) -> bool:
    """Cancel the job if it waits; tell whether this call did it."""
    return _change(key, Event.CANCEL, using, state=JobState.CANCELLED, completed_at=DatabaseNow())


def discard(key: int, using: str) -> bool:
    """Give up on a failed job's retries; tell whether this call did it."""
    return _change(key, Event.DISCARD, using, state=JobState.DEAD_LETTER, completed_at=DatabaseNow())


def stop(key: int, using: str) -> bool:
    """Ask whoever runs the job to stop; tell whether it runs, also when it was asked before.

    Within a transaction: the row is locked first. By the UPDATE alone MariaDB would lock it through
    the index on the state, against the order of the run's end, which would be the deadlock's victim.
    """
    row = locked(by_index(running(using), "PRIMARY").filter(pk=key))
    return bool(row.values_list("pk").first()) and _change(key, Event.STOPPED, using, stop_requested=True)


def retry(key: int, using: str) -> bool:
    """Make a failed or dead job claimable with at least one attempt left; tell whether this call did it."""
    return _change(
        key,
        Event.RETRY,
        using,
        state=JobState.PENDING,
        run_at=DatabaseNow(),
        max_attempts=Case(
            When(attempt__gte=F("max_attempts"), then=F("attempt") + 1),
            default=F("max_attempts"),
            output_field=IntegerField(),
        ),
        **_CLEARED,
    )


def _change(key: int, event: Event, using: str, **values: Any) -> bool:
    return bool(jobs(using).filter(pk=key, state__in=sources(event)).update(**values))


def lock_due(state: str, limit: int, using: str) -> list[tuple[int, str]]:
    """Lock up to `limit` rows in `state` whose time has come and that wait for no parent."""
    waiting = in_state(state, _DUE_STATES, using).filter(open_parents=0)
    rows = by_index(waiting, "flare_job_due").filter(run_at__lte=DatabaseNow()).order_by("run_at")
    return list(locked(rows, skip=True).values_list("id", "queue")[:limit])


def promote(ids: list[int], using: str) -> int:
    """Make due rows claimable."""
    rows = jobs(using).filter(pk__in=ids, state__in=sources(Event.DUE), open_parents=0)
    return rows.update(state=JobState.PENDING, run_at=DatabaseNow(), **_CLEARED)


def next_due(using: str) -> float | None:
    """Return the seconds until the next row's time comes (0 or less: it has come), or None.

    Raw: one statement with one index probe per state. The ORM has no SELECT without a table, and a
    MIN over both states reads every scheduled row on MariaDB. The one state stands first: SQLite, once
    it has statistics, otherwise looks for the minimum among both.
    """
    connection = connections[using]
    job = connection.ops.quote_name(Job._meta.db_table)
    states = ", ".join(f"'{state}'" for state in _DUE_STATES)
    waiting = f"state IN ({states}) AND open_parents = 0"
    earliest = [
        f"(SELECT MIN(run_at) FROM {job} WHERE state = '{state}' AND {waiting})"  # noqa: S608 - names are ours
        for state in _DUE_STATES
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {now_sql(connection)}, {', '.join(earliest)}", [])
        now, *times = cursor.fetchone()
    waits = [aware(time, connection) - aware(now, connection) for time in times if time is not None]
    return min(waits).total_seconds() if waits else None
