"""The graph of continuations: lock parents, attach children, settle those that wait."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connections
from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet

from django_flare.models import Continuation, Job
from django_flare.states import BROKEN, Event, JobState, sources
from django_flare.store.clock import DatabaseNow, aware, now_sql, read_now
from django_flare.store.compiled import IDS, Compiled
from django_flare.store.rows import by_index, by_key, in_state, jobs, links, locked

CHUNK = 500
"""How many rows one statement names at most; longer lists of ids turn into bad plans."""


class ParentRow(NamedTuple):
    """Hold what a child's state depends on."""

    id: int
    public_id: UUID
    state: str
    cancelled_by: UUID | None
    depth: int


class ParentFact(NamedTuple):
    """Hold the state of one parent of one child."""

    child: int
    id: int
    public_id: UUID
    state: str
    cancelled_by: UUID | None


class WaitingRow(NamedTuple):
    """Hold a locked child that waits; `due` tells whether its own time has come."""

    id: int
    public_id: UUID
    due: bool
    open_parents: int


def chunks(ids: Iterable[int]) -> Iterable[list[int]]:
    """Split ids, ascending, into lists that one statement can name."""
    ordered = sorted(ids)
    return (ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK))


def lock_parents(public_ids: Sequence[UUID], using: str) -> tuple[list[ParentRow], datetime]:
    """Share-lock the jobs `public_ids` in id order; return them and the database's time.

    Shared, so that children attach side by side while no parent can finish between.
    Raw: the ORM spells no share lock.
    """
    connection = connections[using]
    column, ids = _parent_keys(public_ids, using)
    job = by_key(Job, connection) if column == "id" else connection.ops.quote_name(Job._meta.db_table)
    statement = f"""
        SELECT id, public_id, state, cancelled_by, depth, {now_sql(connection)} FROM {job}
        WHERE {column} IN ({", ".join(["%s"] * len(ids))}) ORDER BY id {_SHARE_LOCK[connection.vendor]}
        """  # noqa: S608 - the table's name is ours
    with connection.cursor() as cursor:
        cursor.execute(statement, ids)
        found = cursor.fetchall()
    if not found:
        return [], read_now(using)
    rows = [ParentRow(key, _uuid(uid), state, _uuid(by), depth) for key, uid, state, by, depth, _ in found]
    return rows, aware(found[0][-1], connection)


def _parent_keys(public_ids: Sequence[UUID], using: str) -> tuple[str, list[Any]]:
    """Return the column by which the parents are to be locked, and its values.

    InnoDB locks the entry of the index that it reads before the row. A retention that deletes the row locks
    them the other way round, and the caller who attaches would be the deadlock's victim (F20). So the rows
    are found first, without a lock, unless a caller's snapshot does not hold them all.
    """
    connection = connections[using]
    if connection.vendor == "mysql":
        keys = list(jobs(using).filter(public_id__in=public_ids).values_list("pk", flat=True))
        if len(keys) == len(set(public_ids)):
            return "id", keys
    field: Any = Job._meta.get_field("public_id")
    return "public_id", [field.get_db_prep_value(public_id, connection) for public_id in public_ids]


# SQLite's transaction is the lock.
_SHARE_LOCK = {"postgresql": "FOR SHARE", "mysql": "LOCK IN SHARE MODE", "sqlite": ""}


def _uuid(value: Any) -> Any:
    return value if value is None or isinstance(value, UUID) else UUID(value)


def insert_links(child: UUID, parents: Sequence[int], using: str) -> None:
    """Make the job `child` wait for `parents`, in the order given."""
    key = jobs(using).values_list("pk", flat=True).get(public_id=child)
    links(using).bulk_create(
        [Continuation(parent_id=parent, child_id=key, position=place) for place, parent in enumerate(parents)]
    )


def count_children(parent: int, limit: int, using: str) -> int:
    """Count the children of `parent`, up to `limit`."""
    return links(using).filter(parent_id=parent)[:limit].count()


def children_of(parents: Collection[int], states: Collection[str], using: str) -> list[int]:
    """Return the children of `parents` that are in one of `states`, ascending."""
    return sorted({child for _, child in links_of(parents, states, using)})


def links_of(parents: Collection[int], states: Collection[str], using: str) -> list[tuple[int, int]]:
    """Return (parent, child) for the children of `parents` that are in one of `states`.

    In two steps, as most jobs have no children: planning the join takes longer than all the rest.
    """
    having_children = [parent for (parent,) in _parents_to_find(using).rows(using, parents)]
    if not having_children:
        return []
    return _links_to_find(frozenset(states), using).rows(using, having_children)


@cache
def _parents_to_find(using: str) -> Compiled:
    return Compiled(links(using).filter(parent_id__in=[IDS]).values_list("parent_id").distinct())


@cache
def _links_to_find(states: frozenset[str], using: str) -> Compiled:
    found = links(using).filter(parent_id__in=[IDS], child__state__in=sorted(states))
    return Compiled(found.values_list("parent_id", "child_id"))


def lock(ids: Collection[int], using: str) -> None:
    """Lock `ids` in their order, waiting for whoever holds them."""
    list(locked(by_index(jobs(using), "PRIMARY").filter(pk__in=ids).order_by("pk")).values_list("pk"))


def lock_free(ids: Collection[int], using: str) -> set[int]:
    """Lock those of `ids` that nobody else has locked, whatever their state; return them."""
    found = jobs(using).filter(pk__in=ids).order_by("pk")
    return set(locked(found, skip=True).values_list("pk", flat=True))


def lock_waiting(ids: Collection[int], using: str) -> list[WaitingRow]:
    """Lock `ids` in their order, waiting for whoever holds them; return those that are scheduled.

    The state is looked at afterwards: with the state in the condition PostgreSQL would pass over a
    cancelled row that a revival is about to let wait, and MariaDB may take an index that the state
    leads and wait for rows that nobody named.
    """
    is_due = ExpressionWrapper(Q(run_at__lte=DatabaseNow()), output_field=BooleanField())
    found = locked(jobs(using).filter(pk__in=ids).order_by("pk")).annotate(due=is_due)
    rows = found.values_list("id", "public_id", "due", "open_parents", "state")
    return [
        WaitingRow(key, public_id, bool(due), open_parents)
        for key, public_id, due, open_parents, state in rows
        if state in sources(Event.CASCADE)
    ]


def parents_of(children: Collection[int], using: str) -> list[ParentFact]:
    """Return the states of all parents of `children` as they are committed now, in the order given."""
    found = links(using).filter(child_id__in=children).order_by("child_id", "position")
    columns = ("child_id", "parent_id", "parent__public_id", "parent__state", "parent__cancelled_by")
    return [ParentFact._make(row) for row in found.values_list(*columns)]


def parent_results(child: int, using: str) -> tuple[tuple[str, Any], ...]:
    """Return the ids and the results of a child's parents, in the order given."""
    found = links(using).filter(child_id=child).order_by("position")
    return tuple(
        (str(uid), result) for uid, result in found.values_list("parent__public_id", "parent__result")
    )


def activate(ids: Collection[int], using: str) -> int:
    """Make waiting children claimable whose parents have all succeeded and whose time has come."""
    return _waiting(ids, using).update(state=JobState.PENDING, run_at=DatabaseNow(), open_parents=0)


def set_open_parents(ids: Collection[int], count: int, using: str) -> int:
    """Store how many parents of the waiting children `ids` have not succeeded."""
    return _waiting(ids, using).update(open_parents=count)


def cancel_waiting(ids: Collection[int], cause: UUID, using: str) -> int:
    """Cancel waiting children because of the job `cause`."""
    return _waiting(ids, using).update(
        state=JobState.CANCELLED, cancelled_by=cause, completed_at=DatabaseNow(), stop_requested=False
    )


def _waiting(ids: Collection[int], using: str) -> QuerySet[Job]:
    return jobs(using).filter(pk__in=ids, state__in=sources(Event.CASCADE))


def stuck_children(limit: int, using: str) -> list[int]:
    """Return up to `limit` waiting jobs that wait for nobody: a parent is broken, or all have succeeded."""
    parents = links(using).filter(child_id=OuterRef("pk"))
    broken = Exists(parents.filter(parent__state__in=sorted(BROKEN)))
    unfinished = Exists(parents.exclude(parent__state=JobState.SUCCEEDED))
    waiting = in_state(JobState.SCHEDULED, sources(Event.DUE), using).filter(open_parents__gt=0)
    stuck = waiting.filter(broken | ~unfinished)
    return list(stuck.order_by("pk").values_list("pk", flat=True)[:limit])


def lock_cancelled_by(ids: Collection[int], cause: UUID, using: str) -> list[int]:
    """Lock those of `ids` that were cancelled because of the job `cause`, in id order."""
    named = by_index(jobs(using), "PRIMARY").filter(pk__in=ids)
    found = named.filter(state__in=sources(Event.REVIVE), cancelled_by=cause).order_by("pk")
    return list(locked(found).values_list("pk", flat=True))


def revive(ids: Collection[int], cause: UUID, using: str) -> int:
    """Return jobs that `cause` cancelled to waiting; their parents are settled afterwards."""
    return (
        jobs(using)
        .filter(pk__in=ids, state__in=sources(Event.REVIVE), cancelled_by=cause)
        .update(
            state=JobState.SCHEDULED,
            # Never 0 here: the promotion of due jobs must not see it before its parents are counted.
            open_parents=F("parent_count"),
            cancelled_by=None,
            completed_at=None,
            started_at=None,
            worker_id="",
            progress=None,
            stop_requested=False,
        )
    )
