"""Take claimable rows for a worker, and see which queues have any."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import connections
from django.db.models import Exists, ExpressionWrapper, F, QuerySet, TextField

from django_flare.models import Job
from django_flare.states import JobState
from django_flare.store.clock import now_sql
from django_flare.store.documents import INTEGER, TEXT, update_joined
from django_flare.store.rows import by_index, jobs, locked, workers

_CLAIM_ORDER = ("rank", "run_at", "id")


class ClaimedRow(NamedTuple):
    """Hold what a worker needs of a row to run it, with the attempt counted and the fence raised.

    `payload` and `tags` are JSON text: what a row holds is parsed where one job alone can fail (F58).
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
    created_at: datetime
    parent_count: int


_TEXTS = {"payload", "tags"}
_COUNTED = {"attempt", "fence"}


def _column(name: str) -> Any:
    if name in _TEXTS:
        return ExpressionWrapper(F(name), output_field=TextField())
    return F(name) + 1 if name in _COUNTED else name


_COLUMNS = [_column(name) for name in ClaimedRow._fields]


def claimable(using: str) -> QuerySet[Job]:
    """Return the rows that a worker may claim now, whatever their queue and type."""
    return jobs(using).filter(state=JobState.PENDING, gated=False)


def lock_claimable(
    queue: str, known_types: Collection[str], limit: int, worker_id: str, using: str
) -> list[ClaimedRow]:
    """Lock the first `limit` claimable rows of `queue` whose type the worker knows.

    None for a worker that is not registered: its row may have been removed as vanished.
    """
    first = _probe(queue, limit, worker_id, using)
    if all(row.job_type in known_types for row in first):
        return first
    # Only now by type: the predicate is not in the index, so it would cost every claim.
    rows = _first(_of_queue(queue, worker_id, using).filter(job_type__in=known_types), limit)
    return [ClaimedRow._make(row) for row in rows]


def _of_queue(queue: str, worker_id: str, using: str) -> QuerySet[Job]:
    return claimable(using).filter(Exists(workers(using).filter(pk=worker_id)), queue=queue)


def _first(rows: QuerySet[Job], limit: int) -> QuerySet[Job, Any]:
    found = locked(by_index(rows, "flare_job_claimable").order_by(*_CLAIM_ORDER), skip=True)
    return found.values_list(*_COLUMNS)[:limit]


class _Compiled(NamedTuple):
    sql: str
    parameters: Sequence[Any]
    converters: dict[int, tuple[list[Any], Any]]


_QUEUE, _WORKER = "\ue000queue", "\ue000worker"
"""Stand for the parameters in the compiled query; no name can hold such a letter."""


@lru_cache(maxsize=1024)
def _compile(limit: int, using: str) -> _Compiled:
    """Compile the probe once: building it by the ORM takes longer than PostgreSQL needs to answer it."""
    compiler = _first(_of_queue(_QUEUE, _WORKER, using), limit).query.get_compiler(using)
    sql, parameters = compiler.as_sql()
    selected = [expression for expression, *_ in compiler.select]
    return _Compiled(sql, parameters, compiler.get_converters(selected))


def _probe(queue: str, limit: int, worker_id: str, using: str) -> list[ClaimedRow]:
    connection = connections[using]
    compiled = _compile(limit, using)
    given = {_QUEUE: queue, _WORKER: worker_id}
    with connection.cursor() as cursor:
        cursor.execute(compiled.sql, [given.get(value, value) for value in compiled.parameters])
        rows = [list(row) for row in cursor.fetchall()]
    for place, (converters, expression) in compiled.converters.items():
        for row in rows:
            for convert in converters:
                row[place] = convert(row[place], expression, connection)
    return [ClaimedRow._make(row) for row in rows]


def mark_claimed(ids: list[int], worker_id: str, using: str) -> int:
    """Give exactly the locked rows `ids` to the worker; return how many were still claimable."""
    connection = connections[using]
    now = now_sql(connection)
    assignments = {
        "state": f"'{JobState.PROCESSING.value}'",
        "attempt": "job.attempt + 1",
        "fence": "job.fence + 1",
        "worker_id": "d.worker_id",
        "started_at": now,
        "first_started_at": f"COALESCE(job.first_started_at, {now})",
    }
    statement = update_joined(
        connection,
        Job._meta.db_table,
        {"id": INTEGER, "worker_id": TEXT},
        assignments,
        f"job.id = d.id AND job.state = '{JobState.PENDING.value}'",
    )
    document = msgspec.json.encode([{"id": key, "worker_id": worker_id} for key in ids]).decode()
    with connection.cursor() as cursor:
        cursor.execute(statement, [document])
        return int(cursor.rowcount)


def claimable_queues(using: str) -> list[str]:
    """Return the names of the queues that have claimable rows, in order.

    Raw: a loose index scan (one probe per name) has no spelling in the ORM, and DISTINCT would
    read every claimable row.
    """
    connection = connections[using]
    job = connection.ops.quote_name(Job._meta.db_table)
    # Each engine reads its index by one of these alone.
    is_claimable = f"state = %s AND {'gated = FALSE' if connection.vendor == 'mysql' else 'NOT gated'}"
    statement = f"""
        WITH RECURSIVE names(queue) AS (
            SELECT MIN(queue) FROM {job} WHERE {is_claimable}
            UNION ALL
            SELECT (SELECT MIN(job.queue) FROM {job} job WHERE {is_claimable} AND job.queue > names.queue)
            FROM names WHERE names.queue IS NOT NULL
        )
        SELECT queue FROM names WHERE queue IS NOT NULL
        """  # noqa: S608 - the table's name is ours
    with connection.cursor() as cursor:
        cursor.execute(statement, [JobState.PENDING.value] * 2)
        return [name for (name,) in cursor.fetchall()]
