"""Lock running rows and write what became of their runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
from django.db import DataError, connections
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from django_flare.models import Attempt, Continuation, Job
from django_flare.states import ENDED, AttemptOutcome, JobState
from django_flare.store.clock import DatabaseNow, after_sql, now_sql
from django_flare.store.compiled import ID_LIST, IDS, Compiled, with_ids
from django_flare.store.documents import INTEGER, REAL, TEXT, update_joined
from django_flare.store.rollups import Ended, counting
from django_flare.store.rows import attempts, by_index, by_key, jobs, locked

ATTEMPTS_KEPT = 20


class RunRow(NamedTuple):
    """Hold the facts of a running row from which its outcome is decided; `backoff` is JSON text."""

    id: int
    fence: int
    attempt: int
    max_attempts: int
    losses: int
    stop_requested: bool
    backoff: str | None
    queue: str
    job_type: str


class RunWrite(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Hold what a finished run writes into its row; None keeps what is there, but for the result.

    `delay` is in microseconds from the statement's time to `run_at`. `result` is JSON text. What has
    its default does not travel: a document that is half as long is read in half the time.
    """

    id: int
    fence: int
    state: JobState
    attempt: int | None = None
    losses: int | None = None
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
    "delay": INTEGER,
    "progress": REAL,
    "result": TEXT,
    "result_error": TEXT,
    "error_message": TEXT,
}


def running(using: str) -> QuerySet[Job]:
    """Return the rows that some worker has claimed."""
    return jobs(using).filter(state=JobState.PROCESSING)


@cache
def _runs_to_lock(using: str) -> Compiled:
    columns = [TEXT_OF.get(name, name) for name in RunRow._fields]
    found = by_index(running(using), "PRIMARY").filter(pk__in=[IDS]).order_by("pk")
    return Compiled(locked(found, skip=True).values_list(*columns))


TEXT_OF: dict[str, Any] = {"backoff": Cast("backoff", TextField())}


def lock_runs(ids: Collection[int], using: str) -> list[RunRow]:
    """Lock those of `ids` that are running, in id order, without waiting for others' locks."""
    return [RunRow._make(row) for row in _runs_to_lock(using).rows(using, ids)] if ids else []


def look_at_runs(ids: Collection[int], using: str) -> dict[int, tuple[str, int]]:
    """Return the state and the fence of each of `ids`, without a lock."""
    rows = jobs(using).filter(pk__in=ids).values_list("id", "state", "fence")
    return {key: (state, fence) for key, state, fence in rows}


def look_at_records(ids: Collection[int], using: str) -> dict[tuple[int, int], str]:
    """Return how those runs of the jobs `ids` ended that have a record, by key and fence."""
    rows = attempts(using).filter(job_id__in=ids).values_list("job_id", "fence", "outcome")
    return {(key, fence): outcome for key, fence, outcome in rows}


def write_runs(writes: Sequence[RunWrite], ended: Iterable[Ended], using: str) -> int:
    """Write all outcomes in one statement, each only while its fence still holds; return how many did.

    What `ended` by them is counted with them, whatever the fences: should one not hold, the caller is to
    roll back. Raw: the values differ by row, and the ORM has no join of an UPDATE to a list.
    """
    now = now_sql(connections[using])
    statement = with_ids(_update_of_runs(using, now), [write.id for write in writes])
    return _write(statement, [msgspec.json.encode(writes).decode()], ended, using)


def _write(statement: str, parameters: list[Any], ended: Iterable[Ended], using: str) -> int:
    """Change the rows and count what has ended; return how many rows were changed."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(*_counted_along(statement, parameters, ended, using))
            return int(cursor.rowcount)
        cursor.execute(statement, parameters)
        written = int(cursor.rowcount)
        if count := counting(ended, using):
            cursor.execute(*count)
        return written


def _counted_along(
    statement: str, parameters: list[Any], ended: Iterable[Ended], using: str
) -> tuple[str, list[Any]]:
    """Return an UPDATE that also counts, for PostgreSQL: a round trip less."""
    count = counting(ended, using)
    if count is None:
        return statement, parameters
    return f"WITH counted AS ({count.sql}) {statement}", [*count.parameters, *parameters]


class Success(NamedTuple):
    """Tell whether the fence held, so that the success is written, and whether the job has children."""

    is_written: bool
    has_children: bool


def write_success(write: RunWrite, ended: Ended, using: str) -> Success:
    """Write the success of one run while its fence still holds, and count it; look for children then.

    That look is a statement of its own, which sees what was attached while this waited for the row (F11).
    Raw: the statement of `write_runs` takes twice as long for a single row, and most of that is
    planned anew for each job that is `atomic`.
    """
    connection: Any = connections[using]
    update = _update_of_success(using, now_sql(connection))
    said = [write.state.value, write.progress, write.result, write.result_error, write.error_message]
    given = [*said, write.id, write.fence, JobState.PROCESSING.value]
    if connection.vendor != "postgresql" or connection.features.uses_server_side_binding:
        written = _write(update, given, [ended], using)
        with connection.cursor() as cursor:
            cursor.execute(_children(using), [write.id])
            return Success(bool(written), bool(cursor.fetchall()))
    # Both in one round trip; each statement has a snapshot of its own all the same.
    update, given = _counted_along(update, given, [ended], using)
    with connection.cursor() as cursor:
        cursor.execute(f"{update}; {_children(using)}", [*given, write.id])
        written = cursor.rowcount
        cursor.nextset()
        return Success(bool(written), bool(cursor.fetchall()))


@cache
def _update_of_success(using: str, now: str) -> str:
    return f"""
        UPDATE {by_key(Job, connections[using])} SET state = %s, completed_at = {now}, stop_requested = FALSE,
        progress = %s, result = %s, result_error = %s, error_message = %s
        WHERE id = %s AND fence = %s AND state = %s
        """  # noqa: S608 - names are ours


@cache
def _children(using: str) -> str:
    links = connections[using].ops.quote_name(Continuation._meta.db_table)
    return f"SELECT 1 FROM {links} WHERE parent_id = %s LIMIT 1"  # noqa: S608 - the name is ours


@cache
def _update_of_runs(using: str, now: str) -> str:
    connection = connections[using]
    return update_joined(
        connection,
        Job._meta.db_table,
        _MEMBERS,
        _assignments(connection),
        # Named twice: from the document alone PostgreSQL may rather read all running rows than look these up.
        f"job.id = d.id AND job.id IN ({ID_LIST}) AND job.fence = d.fence"
        f" AND job.state = '{JobState.PROCESSING.value}'",
    )


def _assignments(connection: Any) -> dict[str, str]:
    now = now_sql(connection)
    ended = "d.state IN ({})".format(", ".join(f"'{state}'" for state in sorted(ENDED)))
    return {
        "state": "d.state",
        "attempt": "COALESCE(d.attempt, job.attempt)",
        "losses": "COALESCE(d.losses, job.losses)",
        "run_at": f"CASE WHEN d.delay IS NULL THEN job.run_at ELSE {after_sql(connection, 'd.delay')} END",
        "started_at": f"CASE WHEN {ended} THEN job.started_at END",
        "completed_at": f"CASE WHEN {ended} THEN {now} END",
        "worker_id": f"CASE WHEN {ended} THEN job.worker_id ELSE '' END",
        "progress": f"CASE WHEN {ended} THEN COALESCE(d.progress, job.progress) END",
        "stop_requested": "FALSE",
        "result": "d.result",
        "result_error": "COALESCE(d.result_error, '')",
        "error_message": "COALESCE(d.error_message, job.error_message)",
    }


def write_progress(progress: dict[tuple[int, int], float], using: str) -> None:
    """Write the progress of runs, keyed by (id, fence); rows that moved on or are locked are left out."""
    held = {row.id: row.fence for row in lock_runs([key for key, _ in progress], using)}
    for (key, fence), value in progress.items():
        if held.get(key) == fence:
            running(using).filter(pk=key, fence=fence).update(progress=value)


def write_attempts(rows: Sequence[AttemptRow], using: str) -> None:
    """Record runs that did not succeed, before their rows are written; keep a job's newest 20."""
    runs = _starts([row.job for row in rows], using)
    attempts(using).bulk_create([_attempt(row, *runs[row.job]) for row in rows])
    for row in rows:
        if row.fence > ATTEMPTS_KEPT:
            _drop_old_attempts(row.job, using)


def _starts(ids: Sequence[int], using: str) -> dict[int, tuple[str, datetime | None]]:
    found = jobs(using).filter(pk__in=ids)
    try:
        starts = {
            key: (worker_id, at) for key, worker_id, at in found.values_list("id", "worker_id", "started_at")
        }
    except (AttributeError, TypeError, ValueError, DataError):
        # A time that Python does not know is no reason to keep no record (F58).
        starts = {key: (worker_id, None) for key, worker_id in found.values_list("id", "worker_id")}
    return starts


def _attempt(row: AttemptRow, worker_id: str, started_at: datetime | None) -> Attempt:
    said = asdict(row)
    return Attempt(
        job_id=said.pop("job"), worker_id=worker_id, started_at=started_at, ended_at=DatabaseNow(), **said
    )


def _drop_old_attempts(job: int, using: str) -> None:
    kept = attempts(using).filter(job_id=job).order_by("-fence").values_list("fence", flat=True)
    oldest = list(kept[ATTEMPTS_KEPT - 1 : ATTEMPTS_KEPT])
    if oldest:
        attempts(using).filter(job_id=job, fence__lt=oldest[0]).delete()
