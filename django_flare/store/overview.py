"""Read what an overview shows, at a bounded cost however long the history is.

Each count reads one index up to its cap, each list has a limit. The order given to a capped query
is that of its index: it keeps every planner from scanning the table instead.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Substr

from django_flare.models import Job, Worker
from django_flare.models.indexes import Among
from django_flare.states import FINAL, Event, JobState, sources
from django_flare.store.claim import CLAIM_ORDER, claimable
from django_flare.store.clock import aware
from django_flare.store.queues import paused
from django_flare.store.rows import by_index, in_state, table_by_index, workers
from django_flare.store.runs import running
from django_flare.values import PRIORITY_BOUND

_DUE_STATES = sorted(sources(Event.DUE))


def count_state(state: JobState, most: int, using: str) -> int:
    """Count the jobs in `state` up to `most`; pending ones as far as they may be claimed."""
    return _of_state(state, using)[:most].count()


def _of_state(state: JobState, using: str) -> QuerySet[Job, Any]:
    if state is JobState.PENDING:
        rows = by_index(claimable(using), "flare_job_claimable").order_by("queue", *CLAIM_ORDER)
    elif state is JobState.PROCESSING:
        rows = by_index(running(using), "flare_job_running").order_by("worker_id")
    elif state in FINAL:
        rows = by_index(in_state(state, FINAL, using), "flare_job_finished").order_by("completed_at")
    else:
        rows = _waiting(state, using)
    return rows.values_list("pk")


class EndedRow(NamedTuple):
    """Hold what a list of jobs that ended shows of one; of the message only its beginning."""

    public_id: UUID
    job_type: str
    queue: str
    completed_at: datetime
    message: str


def newest_ended(state: JobState, most: int, among: QuerySet[Job]) -> list[EndedRow]:
    """Return up to `most` of the jobs `among` which are in the final `state`, the newest first.

    Beyond the newest 10,000 in that state they are not looked for: `among` may leave out nearly all.
    """
    newest_first = _of_state(state, among.db).order_by("-completed_at")
    bound = newest_first.values_list("completed_at", flat=True)[_ENDED_LOOKED_AT - 1 : _ENDED_LOOKED_AT]
    rows = among.filter(state=state).filter(Among(FINAL))
    for since in bound:
        rows = rows.filter(completed_at__gte=since)
    rows = by_index(rows, "flare_job_finished").order_by("-completed_at")
    message = Substr("error_message", 1, _MESSAGE_SHOWN)
    found = rows.values_list("public_id", "job_type", "queue", "completed_at", message)
    return [EndedRow._make(row) for row in found[:most]]


_ENDED_LOOKED_AT = 10_000
_MESSAGE_SHOWN = 200


def _waiting(state: str, using: str) -> QuerySet[Job]:
    return by_index(in_state(state, _DUE_STATES, using), "flare_job_due").order_by("open_parents", "run_at")


def _of_queue(queue: str, using: str) -> QuerySet[Job]:
    rows = claimable(using).filter(queue=queue)
    return by_index(rows, "flare_job_claimable").order_by(*CLAIM_ORDER)


def measure_queue(queue: str, most: int, using: str) -> tuple[int, datetime | None]:
    """Count the claimable jobs of `queue` up to `most`; return also since when the oldest of all waits."""
    found = _of_queue(queue, using).values("run_at")[:most].aggregate(depth=Count("*"), since=Min("run_at"))
    if found["depth"] < most:
        return found["depth"], found["since"]
    # Behind those that were counted an older one of a lower priority may starve.
    return found["depth"], _oldest_waiting(queue, using)


def _oldest_waiting(queue: str, using: str) -> datetime | None:
    """Return since when the oldest claimable job of `queue` waits, however many there are.

    One probe for each rank from the first to the last that there is, 201 at most: within a rank the
    first row of the index is the oldest. Raw: the ORM cannot count ranks up. They are counted, not
    skipped from one to the next: MariaDB would read all rows of a rank to find the next.
    """
    connection = connections[using]
    job = table_by_index(Job, "flare_job_claimable", connection)
    # Each engine reads its index by one of these alone.
    gate = "gated = FALSE" if connection.vendor == "mysql" else "NOT gated"
    claimable = f"queue = %s AND state = %s AND {gate}"
    rank = connection.ops.quote_name("rank")
    statement = f"""
        WITH RECURSIVE ranks(place) AS (
            SELECT MIN({rank}) + 0 FROM {job} WHERE {claimable} AND {rank} >= {-PRIORITY_BOUND}
            UNION ALL
            SELECT place + 1 FROM ranks WHERE place < {PRIORITY_BOUND}
            AND place < (SELECT MAX({rank}) FROM {job} WHERE {claimable})
        )
        SELECT MIN(since) FROM (
            SELECT (
                SELECT run_at FROM {job} WHERE {claimable} AND {rank} = place ORDER BY run_at LIMIT 1
            ) AS since FROM ranks
        ) AS firsts
        """  # noqa: S608 - names are ours
    with connection.cursor() as cursor:
        cursor.execute(statement, [queue, JobState.PENDING.value] * 3)
        (since,) = cursor.fetchone()
    return None if since is None else aware(since, connection)


def types_at_head(queue: str, window: int, using: str) -> set[str]:
    """Return the job types among the first `window` claimable jobs of `queue`.

    Jobs that no worker takes gather there: the others are claimed from behind them.
    """
    return set(_of_queue(queue, using).values_list("job_type", flat=True)[:window])


def paused_queues(most: int, using: str) -> list[str]:
    """Return the names of up to `most` paused queues."""
    return list(paused(using).order_by("pk").values_list("pk", flat=True)[:most])


def running_queues(most: int, using: str) -> list[str]:
    """Return the queues of up to `most` running jobs, one entry for each job."""
    rows = by_index(running(using), "flare_job_running").order_by("worker_id")
    return list(rows.values_list("queue", flat=True)[:most])


def next_due(most: int, using: str) -> list[tuple[str, datetime]]:
    """Return queue and time of the next `most` jobs of each state that only wait for their time."""
    found: list[tuple[str, datetime]] = []
    for state in _DUE_STATES:
        found += _waiting(state, using).filter(open_parents=0).values_list("queue", "run_at")[:most]
    return found


def all_workers(most: int, using: str) -> list[Worker]:
    """Return up to `most` registered workers, those that beat last first."""
    return list(workers(using).order_by("-last_beat_at", "pk")[:most])


def longest_transaction(using: str) -> float | None:
    """Return for how many seconds the oldest transaction of this database has been open; PostgreSQL only.

    It keeps dead rows of the job table from being removed. Raw: a system view. Without the role
    `pg_read_all_stats` the transactions of other users are not seen.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXTRACT(EPOCH FROM MAX(CLOCK_TIMESTAMP() - xact_start)) FROM pg_stat_activity"
            " WHERE datname = CURRENT_DATABASE() AND pid <> PG_BACKEND_PID()"
        )
        (seconds,) = cursor.fetchone()
    return None if seconds is None else float(seconds)
