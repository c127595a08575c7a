"""Find rows that cannot be read, and write to them without reading what is in the way (F58).

Nothing here is on a hot path: it is called when a statement over many rows has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import InterfaceError
from django.db.models import F
from django.db.models.functions import Coalesce
from django.db.transaction import atomic

from django_flare.models.indexes import Unset
from django_flare.states import JobState
from django_flare.store.claim import CLAIM_ORDER, COLUMNS, ClaimedRow, claimable
from django_flare.store.clock import DatabaseNow
from django_flare.store.faults import UNKNOWN_TRIES, is_passing
from django_flare.store.rows import jobs, locked
from django_flare.store.runs import TEXT_OF, RunRow, running

T = TypeVar("T")

_READ = dict(zip(ClaimedRow._fields, COLUMNS, strict=True)) | dict(zip(CLAIM_ORDER, CLAIM_ORDER, strict=True))
"""What a claim reads, by the column it is of."""

_KINDS: Mapping[str, type] = {
    **dict.fromkeys(["attempt", "max_attempts", "losses", "fence", "parent_count", "rank"], int),
    **dict.fromkeys(["queue", "job_type"], str),
    "public_id": UUID,
    "timeout": timedelta,
}
"""Of what kind a value must be where Python compares or counts with it: SQLite keeps whatever it is given."""

_STAND_INS = dict(
    zip(
        RunRow._fields,
        RunRow(0, 0, 1, 1, 0, stop_requested=False, backoff=None, queue="", job_type=""),
        strict=True,
    )
)


def claimable_ids(queue: str, job_type: str | None, limit: int, using: str) -> list[int]:
    """Return the keys of the first `limit` claimable rows of `queue`, or of one type in it; read no more."""
    rows = claimable(using).filter(queue=queue, **({} if job_type is None else {"job_type": job_type}))
    return list(rows.order_by(*CLAIM_ORDER).values_list("pk", flat=True)[:limit])


def unreadable_among(ids: Sequence[int], using: str) -> list[int]:
    """Return those of `ids` that no claim can read: by halves, so that it is one statement for good rows."""
    if not ids or _are_readable(ids, using):
        return []
    if len(ids) == 1:
        return list(ids)
    middle = len(ids) // 2
    return unreadable_among(ids[:middle], using) + unreadable_among(ids[middle:], using)


def _are_readable(ids: Sequence[int], using: str) -> bool:
    rows = jobs(using).filter(pk__in=ids).values_list(*_READ.values())
    found = _tried(lambda: list(rows), using)
    return found is not None and all(all(map(_fits, _READ, row)) for row in found)


_LARGEST = 2**31 - 1
"""A counter beyond cannot be raised on every engine; what is read of it is raised already."""


def _fits(name: str, value: Any) -> bool:
    kind = _KINDS.get(name, object)
    return isinstance(value, kind) and not (isinstance(value, int) and abs(value) > _LARGEST)


def unreadable_columns(key: int, using: str) -> list[str]:
    """Return the names of those columns of the row that no claim can read; none if that is all of them."""
    bad = [name for name, column in _READ.items() if not _fits_alone(key, name, column, using)]
    if len(bad) == len(_READ):
        # Then it is not the row that fails.
        return []
    # The seconds since `run_at` are no column.
    return list(dict.fromkeys("run_at" if name == "waited" else name for name in bad))


def _fits_alone(key: int, name: str, column: Any, using: str) -> bool:
    found = _read_alone(key, column, using)
    return bool(found) and _fits(name, found[0])


def _read_alone(key: int, column: Any, using: str) -> list[Any]:
    rows = jobs(using).filter(pk=key).values_list(column, flat=True)
    return _tried(lambda: list(rows), using) or []


def _tried(read: Callable[[], T], using: str) -> T | None:
    """Return what `read` returns, None where it fails for what the rows hold."""
    try:
        # A savepoint: PostgreSQL would refuse the rest of a transaction in which a statement failed.
        with atomic(using):
            return read()
    except InterfaceError:
        raise
    except Exception as error:
        # An error of an unknown kind has been waited out by whoever comes here.
        if is_passing(error, UNKNOWN_TRIES):
            raise
        return None


def lock_claimable_row(key: int, using: str) -> bool:
    """Lock the row if it is still claimable; False, without waiting, if somebody else holds it."""
    rows = jobs(using).filter(Unset("gated"), pk=key, state=JobState.PENDING)
    return bool(locked(rows, skip=True).values_list("pk"))


def mark_claimed_unread(key: int, bad: Iterable[str], worker_id: str, using: str) -> int:
    """Claim the row as every claim does, with counters anew that are among the `bad`; return its fence."""
    counters = {name: 1 if name in bad else F(name) + 1 for name in ("attempt", "fence")}
    now = DatabaseNow()
    jobs(using).filter(pk=key, state=JobState.PENDING).update(
        state=JobState.PROCESSING,
        worker_id=worker_id,
        started_at=now,
        first_started_at=Coalesce("first_started_at", now),
        **counters,
    )
    return jobs(using).values_list("fence", flat=True).get(pk=key)


def lock_runs_unread(ids: Iterable[int], using: str) -> list[RunRow]:
    """Lock those of `ids` that are running, with stand-ins for what cannot be read of them."""
    found = running(using).filter(pk__in=list(ids)).order_by("pk")
    return [_run(key, using) for key in locked(found, skip=True).values_list("pk", flat=True)]


def _run(key: int, using: str) -> RunRow:
    values: dict[str, Any] = {}
    for name, stand_in in _STAND_INS.items():
        found = _read_alone(key, TEXT_OF.get(name, name), using)
        values[name] = found[0] if found and _fits(name, found[0]) else stand_in
    return RunRow(**values)
