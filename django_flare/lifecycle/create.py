"""Create jobs: plain, timed, with parents, under an idempotency key, or many at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import msgspec
from django.db import IntegrityError

from django_flare.errors import FlareConflictError, FlareNotFoundError, option_error
from django_flare.failpoints import reach
from django_flare.lifecycle import announce
from django_flare.lifecycle.eligibility import Standing, stand
from django_flare.states import JobState
from django_flare.store import keys, links, rollups
from django_flare.store.clock import read_now
from django_flare.store.insert import NewRow, insert_jobs
from django_flare.store.links import ParentRow
from django_flare.store.rollups import Ended
from django_flare.store.transactions import in_transaction, statement, transaction

MAX_CHILDREN = 10_000
MAX_DEPTH = 1_000

# A winner that rolled back, or was pruned, between our insert and our look makes room for us.
_TRIES = 3


class Creation(msgspec.Struct, frozen=True, gc=False):
    """Ask for one job: its row, when it may run (None: at once) and whom it waits for."""

    row: NewRow
    when: timedelta | datetime | None = None
    parents: tuple[UUID, ...] = ()


class Created(msgspec.Struct, frozen=True, gc=False):
    """Name the job that a creation led to; `created` is False when its key had made it before."""

    public_id: UUID
    created: bool


def create(creation: Creation, using: str) -> Created:
    """Create a job in the caller's transaction, or find the one that its key has made.

    Without key and parents it is one statement. Raises FlareNotFoundError for an unknown parent,
    FlareConflictError for a key that another request holds; nothing is written then.
    """
    row = creation.row
    if row.idempotency_key is None and not creation.parents:
        if creation.when is not None:
            _place(row, creation.when, [], read_now(using))
        statement(partial(insert_jobs, [row], using), using)
        announce.created([row], using)
        return Created(row.public_id, created=True)
    return in_transaction(partial(_create_guarded, creation, using), using)


def create_many(rows: Sequence[NewRow], using: str) -> list[Created]:
    """Create parentless jobs, all or none, in order; those with a known key are found instead.

    A key that another request holds is a FlareConflictError that says which of them has it.
    """
    if any(row.idempotency_key is not None for row in rows):
        insert = partial(_insert_plain, using=using)
        return in_transaction(partial(_insert_or_find, rows, insert, using, is_batch=True), using)
    in_transaction(partial(_insert_plain, rows, using), using)
    return [Created(row.public_id, created=True) for row in rows]


def create_one_by_one(works: Sequence[Callable[[], Created]], using: str) -> list[Created]:
    """Run several creations as one transaction, for jobs that must each be put in place: all or none."""
    return in_transaction(lambda: [work() for work in works], using)


def _create_guarded(creation: Creation, using: str) -> Created:
    def insert(_: Sequence[NewRow]) -> None:
        _insert_in_place(creation, using)

    if creation.row.idempotency_key is None:
        insert([creation.row])
        return Created(creation.row.public_id, created=True)
    return _insert_or_find([creation.row], insert, using)[0]


def _insert_or_find(
    rows: Sequence[NewRow],
    insert: Callable[[Sequence[NewRow]], None],
    using: str,
    *,
    is_batch: bool = False,
) -> list[Created]:
    """Insert those of `rows` whose key made no job yet, and find the others' jobs (F21, F22).

    The unique constraint decides: the look before it only makes a replay cheap. A rival's insert
    is waited for by the database; should the rival roll back, ours goes through.
    """
    places = {id(row): index for index, row in enumerate(rows)} if is_batch else {}
    firsts = _first_of_each_key(rows, places)
    for turn in range(_TRIES):
        found = _find(rows, places, using, locking=bool(turn))
        fresh = [row for row in rows if _is_fresh(row, firsts, found)]
        reach("idempotency.before_insert")
        try:
            # A savepoint, so that a refused insert leaves the caller's transaction usable.
            with transaction(using):
                if fresh:
                    insert(fresh)
        except IntegrityError:
            continue
        return [_created(row, firsts, found) for row in rows]
    raise FlareConflictError(
        "idempotency_key: the first call with this key committed after this transaction's snapshot was "
        "taken; run the transaction again",
        code="idempotency_in_progress",
    )


def _first_of_each_key(rows: Sequence[NewRow], places: Mapping[int, int]) -> dict[str, NewRow]:
    firsts: dict[str, NewRow] = {}
    for row in rows:
        if row.idempotency_key is not None:
            first = firsts.setdefault(row.idempotency_key, row)
            _check_same_request(row, first.fingerprint, places)
    return firsts


def _is_fresh(row: NewRow, firsts: dict[str, NewRow], found: dict[str, UUID]) -> bool:
    key = row.idempotency_key
    return key is None or (key not in found and firsts[key] is row)


def _created(row: NewRow, firsts: dict[str, NewRow], found: dict[str, UUID]) -> Created:
    key = row.idempotency_key
    if key is not None and key in found:
        return Created(found[key], created=False)
    first = row if key is None else firsts[key]
    return Created(first.public_id, created=first is row)


def _find(rows: Sequence[NewRow], places: Mapping[int, int], using: str, *, locking: bool) -> dict[str, UUID]:
    """Return the jobs that the rows' keys have made; refuse a key that another request holds."""
    by_key = {row.idempotency_key: row for row in rows if row.idempotency_key is not None}
    found = {}
    # One caller asks for all; a row without a key has no scope.
    scope = next(iter(by_key.values())).idempotency_scope
    for key, public_id, fingerprint in keys.holders(scope, list(by_key), using, locking=locking):
        _check_same_request(by_key[key], fingerprint, places)
        found[key] = public_id
    return found


def _check_same_request(row: NewRow, fingerprint: str, places: Mapping[int, int]) -> None:
    if row.fingerprint != fingerprint:
        raise FlareConflictError(
            f"idempotency_key: {row.idempotency_key!r} belongs to a job made by a different request",
            details=[{"index": places[id(row)]}] if id(row) in places else None,
        )


def _insert_plain(rows: Sequence[NewRow], using: str) -> None:
    insert_jobs(rows, using)
    announce.created(rows, using)


def _insert_in_place(creation: Creation, using: str) -> None:
    """Insert the row where its parents and its time put it, and link it.

    The parents are share-locked before their states are read: none can end between (F11).
    """
    row = creation.row
    if creation.parents:
        parents, now = _lock_parents(creation.parents, using)
        reach("attach.after_parent_read")
        _check_bounds(parents, using)
        row.parent_count, row.depth = len(parents), 1 + max(parent.depth for parent in parents)
        _place(row, creation.when, parents, now)
        _insert_plain([row], using)
        if row.state is JobState.CANCELLED:
            rollups.write([Ended(row.queue, row.job_type, row.state)], using)
        links.insert_links(row.public_id, [parent.id for parent in parents], using)
    else:
        if creation.when is not None:
            _place(row, creation.when, [], read_now(using))
        _insert_plain([row], using)


def _place(
    row: NewRow, when: timedelta | datetime | None, parents: Sequence[ParentRow], now: datetime
) -> None:
    run_at = now if when is None else now + when if isinstance(when, timedelta) else when
    due = run_at <= now
    standing: Standing = stand(parents, due=due)
    row.state, row.open_parents, row.cancelled_by = (
        standing.state,
        standing.open_parents,
        standing.cancelled_by,
    )
    row.run_at = None if due or standing.state is JobState.PENDING else run_at


def _lock_parents(public_ids: tuple[UUID, ...], using: str) -> tuple[list[ParentRow], datetime]:
    found, now = links.lock_parents(public_ids, using)
    by_id = {parent.public_id: parent for parent in found}
    for public_id in public_ids:
        if public_id not in by_id:
            raise FlareNotFoundError(f"parents: no job {public_id}")
    return [by_id[public_id] for public_id in public_ids], now


def _check_bounds(parents: Sequence[ParentRow], using: str) -> None:
    for parent in parents:
        if parent.depth + 1 >= MAX_DEPTH:
            raise option_error(
                "parents", f"a chain of {parent.depth + 2} jobs, at most {MAX_DEPTH}", "graph_too_large"
            )
        if links.count_children(parent.id, MAX_CHILDREN, using) >= MAX_CHILDREN:
            raise option_error(
                "parents",
                f"job {parent.public_id} has {MAX_CHILDREN} children, at most {MAX_CHILDREN}",
                "graph_too_large",
            )
