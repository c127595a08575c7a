"""Lock running rows and write what became of their runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import connections
from django.db.models import QuerySet

from django_flare.models import Attempt, Job
from django_flare.states import AttemptOutcome, JobState
from django_flare.store.clock import DatabaseNow, after_sql, now_sql
from django_flare.store.documents import INTEGER, REAL, TEXT, update_joined
from django_flare.store.rows import attempts, by_index, jobs, locked

ATTEMPTS_KEPT = 20


class RunRow(NamedTuple):
    """Hold the facts of a running row from which its outcome is decided."""

    id: int
    public_id: UUID
    state: str
    fence: int
    attempt: int
    max_attempts: int
    losses: int
    stop_requested: bool
    backoff: dict[str, float] | None
    worker_id: str
    started_at: datetime | None


@dataclass(slots=True, kw_only=True)
class RunWrite:
    """Hold what a finished run writes into its row; None keeps what is there.

    `delay` is in microseconds from the statement's time to `run_at`. `result` is JSON text.
    """

    id: int
    fence: int
    state: JobState
    attempt: int
    losses: int
    ended: int
    delay: int | None = None
    progress: float | None = None
    result: str | None = None
    result_error: str = ""
    error_message: str | None = None


@dataclass(slots=True, kw_only=True)
class AttemptRow:
    """Hold the record of a run that did not succeed."""

    job: int
    number: int
    fence: int
    worker_id: str
    started_at: datetime | None
    outcome: AttemptOutcome
    error_class: str
    error_message: str
    traceback: str


_MEMBERS = {
    "id": INTEGER,
    "fence": INTEGER,
    "state": TEXT,
    "attempt": INTEGER,
    "losses": INTEGER,
    "ended": INTEGER,
    "delay": INTEGER,
    "progress": REAL,
    "result": TEXT,
    "result_error": TEXT,
    "error_message": TEXT,
}


def running(using: str) -> QuerySet[Job]:
    """Return the rows that some worker has claimed."""
    return jobs(using).filter(state=JobState.PROCESSING)


def lock_runs(ids: Collection[int], using: str, *, skip: bool) -> list[RunRow]:
    """Lock those of `ids` that are running, in id order, without waiting for others' locks if `skip`."""
    found = locked(by_index(running(using), "PRIMARY").filter(pk__in=ids).order_by("pk"), skip=skip)
    return [RunRow._make(row) for row in found.values_list(*RunRow._fields)]


def look_at_runs(ids: Collection[int], using: str) -> dict[int, tuple[str, int]]:
    """Return the state and the fence of each of `ids`, without a lock."""
    rows = jobs(using).filter(pk__in=ids).values_list("id", "state", "fence")
    return {key: (state, fence) for key, state, fence in rows}


def write_runs(writes: Sequence[RunWrite], using: str) -> int:
    """Write all outcomes in one statement, each only while its fence still holds; return how many did.

    Raw: the values differ by row, and the ORM has no join of an UPDATE to a list.
    """
    connection = connections[using]
    document = msgspec.json.encode(writes).decode()
    statement = update_joined(
        connection,
        Job._meta.db_table,
        _MEMBERS,
        _assignments(connection),
        f"job.id = d.id AND job.fence = d.fence AND job.state = '{JobState.PROCESSING.value}'",
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [document])
        return int(cursor.rowcount)


def _assignments(connection: Any) -> dict[str, str]:
    now = now_sql(connection)
    return {
        "state": "d.state",
        "attempt": "d.attempt",
        "losses": "d.losses",
        "run_at": f"CASE WHEN d.delay IS NULL THEN job.run_at ELSE {after_sql(connection, 'd.delay')} END",
        "started_at": "CASE WHEN d.ended = 1 THEN job.started_at END",
        "completed_at": f"CASE WHEN d.ended = 1 THEN {now} END",
        "worker_id": "CASE WHEN d.ended = 1 THEN job.worker_id ELSE '' END",
        "progress": "CASE WHEN d.ended = 1 THEN COALESCE(d.progress, job.progress) END",
        "stop_requested": "FALSE",
        "result": "d.result",
        "result_error": "d.result_error",
        "error_message": "COALESCE(d.error_message, job.error_message)",
    }


def write_progress(progress: dict[tuple[int, int], float], using: str) -> None:
    """Write the progress of runs, keyed by (id, fence); rows that moved on or are locked are left out."""
    held = {row.id: row.fence for row in lock_runs([key for key, _ in progress], using, skip=True)}
    for (key, fence), value in progress.items():
        if held.get(key) == fence:
            running(using).filter(pk=key, fence=fence).update(progress=value)


def write_attempts(rows: Sequence[AttemptRow], using: str) -> None:
    """Record runs that did not succeed, and drop what is older than a job's newest 20."""
    made = [
        Attempt(
            job_id=row.job, ended_at=DatabaseNow(), **{k: v for k, v in asdict(row).items() if k != "job"}
        )
        for row in rows
    ]
    attempts(using).bulk_create(made)
    for row in rows:
        if row.fence > ATTEMPTS_KEPT:
            _drop_old_attempts(row.job, using)


def _drop_old_attempts(job: int, using: str) -> None:
    kept = attempts(using).filter(job_id=job).order_by("-fence").values_list("fence", flat=True)
    oldest = list(kept[ATTEMPTS_KEPT - 1 : ATTEMPTS_KEPT])
    if oldest:
        attempts(using).filter(job_id=job, fence__lt=oldest[0]).delete()
