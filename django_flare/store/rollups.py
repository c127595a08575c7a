"""Count what ended, in the transaction that ends it, and put old counts together.

A row is only ever inserted or deleted: two workers, or a worker and a caller's open transaction, never
meet in one. So the numbers are exact, whatever is killed when, and nobody waits for a lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Min, QuerySet, Sum

from django_flare.models import Job, Rollup
from django_flare.models.rollup import BOUNDS, RAN, WAITED, Level
from django_flare.store.clock import DatabaseNow, minute_sql
from django_flare.store.links import chunks
from django_flare.store.rows import by_index, locked

_NAMES = ("queue", "job_type", "outcome")
_TOTALS = ("count", "run_seconds", "wait_seconds")
_SUMS = (*_TOTALS, *RAN, *WAITED)


class Ended(NamedTuple):
    """Say that a job reached the state `outcome`; `waited` and `ran` are seconds, None without a run."""

    queue: str
    job_type: str
    outcome: str
    waited: float | None = None
    ran: float | None = None


def rollups(using: str) -> QuerySet[Rollup]:
    """Return all rollups of the database `using`, writable."""
    return QuerySet(Rollup, using=using)


class _Sums:
    """The jobs of one queue and type that reached one state together; of the histograms what is not zero."""

    __slots__ = ("classes", "count", "run_seconds", "wait_seconds")

    def __init__(self) -> None:
        self.count = 0
        self.run_seconds = self.wait_seconds = 0.0
        self.classes: dict[str, int] = {}


class Statement(NamedTuple):
    """Hold a statement and its parameters."""

    sql: str
    parameters: list[Any]


def write(ended: Iterable[Ended], using: str) -> None:
    """Count what has just ended."""
    statement = counting(ended, using)
    if statement:
        with connections[using].cursor() as cursor:
            cursor.execute(*statement)


def counting(ended: Iterable[Ended], using: str) -> Statement | None:
    """Return the one statement that counts what has just ended, a row for each queue, type and outcome.

    None for nothing. Raw: the minute is the database's. The columns of the histograms are zero unless they
    are named, and to name all would cost more than their storing.
    """
    sums = _summed(ended)
    if not sums:
        return None
    classes = tuple(sorted({name for each in sums.values() for name in each.classes}))
    parameters = [value for names, each in sums.items() for value in (*names, *_numbers(each, classes))]
    return Statement(_insert(classes, len(sums), minute_sql(connections[using]), using), parameters)


@lru_cache(maxsize=512)
def _insert(classes: tuple[str, ...], rows: int, minute: str, using: str) -> str:
    # The same text for the same classes: drivers keep what they make of a text.
    holes = ", ".join(["%s"] * (len(_NAMES) + len(_TOTALS) + len(classes)))
    return f"{_into(connections[using], classes)} VALUES " + ", ".join(
        [f"({Level.WRITTEN:d}, {minute}, {holes})"] * rows
    )


def _summed(ended: Iterable[Ended]) -> Mapping[tuple[str, str, str], _Sums]:
    found: dict[tuple[str, str, str], _Sums] = {}
    for queue, job_type, outcome, waited, ran in ended:
        names = (queue, job_type, str(outcome))
        sums = found.get(names)
        if sums is None:
            sums = found[names] = _Sums()
        sums.count += 1
        if ran is None:
            continue
        # A clock that was set back is no reason to count backwards.
        ran, waited = max(ran, 0.0), max(waited or 0.0, 0.0)
        sums.run_seconds += ran
        sums.wait_seconds += waited
        for name in (RAN[bisect_right(BOUNDS, ran)], WAITED[bisect_right(BOUNDS, waited)]):
            sums.classes[name] = sums.classes.get(name, 0) + 1
    return found


def _numbers(sums: _Sums, classes: Iterable[str]) -> list[float]:
    return [sums.count, sums.run_seconds, sums.wait_seconds, *(sums.classes.get(name, 0) for name in classes)]


def write_unrun(ids: Collection[int], outcome: str, using: str) -> None:
    """Count jobs that have just reached `outcome` without a run: cancelled, by cascade too, or discarded.

    Raw, as the ORM has no INSERT from a SELECT.
    """
    connection = connections[using]
    job = connection.ops.quote_name(Job._meta.db_table)
    columns = f"{Level.WRITTEN:d}, {minute_sql(connection)}, queue, job_type, %s, COUNT(*), 0, 0"
    named = f"{job} WHERE id IN ({', '.join(map(str, ids))}) GROUP BY queue, job_type"
    with connection.cursor() as cursor:
        cursor.execute(f"{_into(connection)} SELECT {columns} FROM {named}", [str(outcome)])  # noqa: S608 - names are ours


def _into(connection: BaseDatabaseWrapper, classes: Iterable[str] = ()) -> str:
    quote = connection.ops.quote_name
    columns = ", ".join(map(quote, ("level", "start", *_NAMES, *_TOTALS, *classes)))
    return f"INSERT INTO {quote(Rollup._meta.db_table)} ({columns})"


# Putting together.


def is_any_written(using: str) -> bool:
    """Tell whether there are rows that have not been put together since they were written."""
    return _of_level(Level.WRITTEN, using).exists()


def merge_written(limit: int, using: str) -> int:
    """Put up to `limit` rows as they were written into those of their minutes; return how many there were.

    Rows that somebody else puts together at this moment are passed over.
    """
    written = _of_level(Level.WRITTEN, using).order_by("start")
    found = dict(locked(written, skip=True).values_list("pk", "start")[:limit])
    if found:
        minutes = _of_level(Level.MINUTE, using).filter(start__in=set(found.values()))
        _replace([*found, *_locked_keys(minutes)], Level.MINUTE, None, using)
    return len(found)


def coarsen(level: Level, keep: timedelta, using: str) -> int:
    """Put the rows of `level` that ended first, before `keep`, into one span of the next; return how many."""
    coarser = Level(level + 1)
    length = _LENGTHS[coarser]
    old = _of_level(level, using).filter(start__lt=DatabaseNow() - keep - length)
    first: datetime | None = old.aggregate(first=Min("start"))["first"]
    if first is None:
        return 0
    start = first - (first - _EPOCH) % length
    fine = _locked_keys(_of_level(level, using).filter(start__gte=start, start__lt=start + length))
    coarse = _locked_keys(_of_level(coarser, using).filter(start=start))
    if fine:
        _replace([*fine, *coarse], coarser, start, using)
    return len(fine)


_LENGTHS = {Level.QUARTER: timedelta(minutes=15), Level.HOUR: timedelta(hours=1)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def delete_hours(keep: timedelta, limit: int, using: str) -> int:
    """Delete up to `limit` rows of hours that began more than `keep` ago; return how many there were."""
    old = _of_level(Level.HOUR, using).filter(start__lt=DatabaseNow() - keep).order_by("start")
    keys = list(locked(old, skip=True).values_list("pk", flat=True)[:limit])
    _delete(keys, using)
    return len(keys)


def _of_level(level: Level, using: str) -> QuerySet[Rollup]:
    return by_index(rollups(using).filter(level=level), "flare_rollup_start")


def _locked_keys(rows: QuerySet[Rollup]) -> list[int]:
    return list(locked(rows.order_by("pk"), skip=True).values_list("pk", flat=True))


def _replace(keys: Collection[int], level: Level, start: datetime | None, using: str) -> None:
    """Replace the locked rows by their sums, at `start` or each at its own."""
    sums: dict[str, Any] = {f"{name}_sum": Sum(name) for name in _SUMS}
    groups = _NAMES if start else ("start", *_NAMES)
    merged: dict[tuple[Any, ...], Rollup] = {}
    for part in chunks(keys):
        for row in rollups(using).filter(pk__in=part).values(*groups).annotate(**sums).order_by():
            names = {name: row[name] for name in groups}
            one = merged.setdefault(tuple(names.values()), Rollup(level=level, **{"start": start} | names))
            for name in _SUMS:
                setattr(one, name, (getattr(one, name) or 0) + row[f"{name}_sum"])
    rollups(using).bulk_create(merged.values())
    _delete(keys, using)


def _delete(keys: Collection[int], using: str) -> None:
    for part in chunks(keys):
        rollups(using).filter(pk__in=part).delete()
