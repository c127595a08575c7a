"""Take claimable rows for a worker, and see which queues have any."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, ExpressionWrapper, F, QuerySet, TextField
from django.db.models.functions import Cast

from django_flare.models import Job, Queue
from django_flare.models.indexes import Unset
from django_flare.states import JobState
from django_flare.store.clock import SecondsSince, now_sql
from django_flare.store.compiled import LIMIT, Compiled
from django_flare.store.queues import paused
from django_flare.store.rows import by_index, by_key, jobs, locked, workers

CLAIM_ORDER = ("rank", "run_at", "id")


class ClaimedRow(NamedTuple):
    """Hold what a worker needs of a row to run it, with the attempt counted and the fence raised.

    `payload` and `tags` are JSON text, `created_at` is a time's text: what a row holds is parsed where
    one job alone can fail (F58), and only if its handler asks for it. `waited` are the seconds since
    `run_at` by the database's clock.
    """

    id: int
    public_id: UUID
    queue: str
    job_type: str
    attempt: int
    max_attempts: int
    losses: int
    fence: int
    timeout: timedelta
    payload: str
    tags: str
    created_at: str
    parent_count: int
    waited: float


_TEXTS = {"payload", "tags"}
_TIMES = {"created_at"}
_COUNTED = {"attempt", "fence"}


def _column(name: str) -> Any:
    if name in _TEXTS:
        return ExpressionWrapper(F(name), output_field=TextField())
    if name in _TIMES:
        return Cast(name, TextField())
    if name == "waited":
        return SecondsSince("run_at")
    return F(name) + 1 if name in _COUNTED else name


COLUMNS = [_column(name) for name in ClaimedRow._fields]


def claimable(using: str) -> QuerySet[Job]:
    """Return the rows that a worker may claim now, whatever their queue and type."""
    return jobs(using).filter(Unset("gated"), state=JobState.PENDING)


def lock_claimable(queue: str, limit: int, worker_id: str, using: str) -> list[ClaimedRow]:
    """Lock the first `limit` claimable rows of `queue`, whatever their type.

    None for a worker that is not registered: its row may have been removed as vanished. None of a
    paused queue.
    """
    values = {_QUEUE: queue, _WORKER: worker_id, LIMIT: limit}
    rows = _probe(using, now_sql(connections[using])).rows(using, values=values)
    return [ClaimedRow._make(row) for row in rows]


def lock_claimable_of(
    job_types: Collection[str], queue: str, limit: int, worker_id: str, using: str
) -> list[ClaimedRow]:
    """Lock the first `limit` claimable rows of `queue` whose type is one of `job_types`.

    One probe for each type, so that no backlog of other types is read.
    """
    rows: list[Any] = []
    now = now_sql(connections[using])
    for job_type in job_types:
        values = {_QUEUE: queue, _WORKER: worker_id, _TYPE: job_type, LIMIT: limit}
        rows += _probe_of_type(using, now).rows(using, values=values)
    rows.sort(key=itemgetter(*range(_WIDTH, _WIDTH + len(CLAIM_ORDER))))
    return [ClaimedRow._make(row[:_WIDTH]) for row in rows[:limit]]


_QUEUE, _WORKER, _TYPE = "\ue000queue", "\ue000worker", "\ue000type"
"""Stand for the values in the compiled queries; no name can hold such a letter."""
_WIDTH = len(ClaimedRow._fields)


@cache
def _probe(using: str, now: str) -> Compiled:
    """Return the query; `now` is the clock in it, which tests replace."""
    rows = _of_queue(using).order_by(*CLAIM_ORDER)
    return Compiled(_first(rows, "flare_job_claimable").values_list(*COLUMNS))


@cache
def _probe_of_type(using: str, now: str) -> Compiled:
    rows, order = _of_queue(using).filter(job_type=_TYPE), list(CLAIM_ORDER)
    if connections[using].vendor == "postgresql":
        # A range of one value, and in the order: only the index by type answers that without sorting.
        # Told an equality, it may take the other index, in the belief that the type is found everywhere.
        rows, order = _of_queue(using).filter(job_type__range=(_TYPE, _TYPE)), ["job_type", *order]
    first = _first(rows.order_by(*order), "flare_job_claimable_type")
    return Compiled(first.values_list(*COLUMNS, *CLAIM_ORDER))


def _of_queue(using: str) -> QuerySet[Job]:
    is_registered = Exists(workers(using).filter(pk=_WORKER))
    return claimable(using).filter(is_registered, ~Exists(paused(using).filter(name=_QUEUE)), queue=_QUEUE)


def _first(rows: QuerySet[Job], index: str) -> QuerySet[Job]:
    return locked(by_index(rows, index), skip=True)[:LIMIT]


def claim_at_once(
    queue: str, known_types: Collection[str], limit: int, worker_id: str, using: str
) -> list[ClaimedRow] | None:
    """Claim up to `limit` rows by one statement that is its own transaction.

    None, and nothing is claimed, where the engine has no such statement, and where a row calls for
    a choice: its type is unknown, or it could be blamed for its neighbours. A lone job starts a
    third sooner than with a transaction of four round trips; of many rows two statements are faster.
    """
    connection = connections[using]
    if connection.vendor != "postgresql":
        return None
    now, table = now_sql(connection), by_key(Job, connection)
    probe = _probe(using, now)
    # A bare scan of `found` keeps its order.
    statement = f"""
        WITH found ({", ".join(ClaimedRow._fields)}) AS MATERIALIZED ({probe.sql}),
        taken AS (
            UPDATE {table} AS job SET {_marks(now, "job.")}
            FROM found WHERE job.id = found.id AND job.state = %s AND NOT EXISTS (
                SELECT FROM found WHERE losses > 0 OR max_attempts = 1 OR job_type <> ALL (%s)
            )
            RETURNING job.id
        )
        SELECT found.*, (SELECT COUNT(*) FROM taken) FROM found
        """  # noqa: S608 - names are ours
    found = probe.given({_QUEUE: queue, _WORKER: worker_id, LIMIT: limit})
    marks = [JobState.PROCESSING.value, worker_id]
    with connection.cursor() as cursor:
        cursor.execute(statement, [*found, *marks, JobState.PENDING.value, list(known_types)])
        rows = cursor.fetchall()
    if rows and rows[0][-1] != len(rows):
        return None
    return [ClaimedRow._make(row[:_WIDTH]) for row in rows]


def _marks(now: str, job: str = "") -> str:
    """Return what a claim changes; the statement takes the state and the worker as parameters."""
    return (
        f"state = %s, attempt = {job}attempt + 1, fence = {job}fence + 1, worker_id = %s, "
        f"started_at = {now}, first_started_at = COALESCE({job}first_started_at, {now})"
    )


def mark_claimed(ids: list[int], worker_id: str, using: str) -> int:
    """Give exactly the locked rows `ids` to the worker; return how many were still claimable.

    Their queues are looked at again: a pause may have committed since the rows were found. This
    statement's time is the jobs' start, and what it sees is at least that new, so that no recorded
    start is later than the commit of a pause.
    Raw: the ORM would make each id a parameter, which costs more than the update of its row.
    """
    connection = connections[using]
    statement = f"""
        UPDATE {by_key(Job, connection)} SET {_marks(now_sql(connection))}
        WHERE id IN ({", ".join(map(str, ids))}) AND state = %s AND queue NOT IN ({_paused(connection)})
        """  # noqa: S608 - names are ours, ids are integers
    with connection.cursor() as cursor:
        cursor.execute(statement, [JobState.PROCESSING.value, worker_id, JobState.PENDING.value])
        return int(cursor.rowcount)


def marked(ids: list[int], worker_id: str, using: str) -> set[int]:
    """Return those of `ids` that the worker holds."""
    rows = jobs(using).filter(pk__in=ids, state=JobState.PROCESSING, worker_id=worker_id)
    return set(rows.values_list("pk", flat=True))


def claimable_queues(using: str) -> list[str]:
    """Return the names of the queues that have claimable rows and are not paused, in order."""
    return _names("queue", "", [], f"AND name NOT IN ({_paused(connections[using])})", using)


def claimable_types(queue: str, using: str) -> list[str]:
    """Return the types of the claimable rows of `queue`, in order."""
    return _names("job_type", "queue = %s AND ", [queue], "", using)


def _names(column: str, condition: str, parameters: list[str], but: str, using: str) -> list[str]:
    """Return the different values of `column` among claimable rows.

    Raw: a loose index scan (one probe per name) has no spelling in the ORM, and DISTINCT would
    read every claimable row.
    """
    connection = connections[using]
    job = connection.ops.quote_name(Job._meta.db_table)
    # Each engine reads its index by one of these alone.
    gate = "gated = FALSE" if connection.vendor == "mysql" else "NOT gated"
    claimable = f"{condition}state = %s AND {gate}"
    statement = f"""
        WITH RECURSIVE names(name) AS (
            SELECT MIN({column}) FROM {job} WHERE {claimable}
            UNION ALL
            SELECT (SELECT MIN(job.{column}) FROM {job} job WHERE {claimable} AND job.{column} > names.name)
            FROM names WHERE names.name IS NOT NULL
        )
        SELECT name FROM names WHERE name IS NOT NULL {but}
        """  # noqa: S608 - names are ours
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, JobState.PENDING.value] * 2)
        return [name for (name,) in cursor.fetchall()]


def _paused(connection: BaseDatabaseWrapper) -> str:
    """Return the SELECT of the paused queues' names, as `store.queues.paused` has them."""
    return f"SELECT name FROM {connection.ops.quote_name(Queue._meta.db_table)} WHERE paused_at IS NOT NULL"  # noqa: S608 - the name is ours
