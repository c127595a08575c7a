"""Querysets that may write, and the locks that this engine has."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.models.sql.datastructures import BaseTable

from django_flare.models import Attempt, Continuation, Job, Queue, Worker
from django_flare.models.indexes import Among
from django_flare.store.compiled import Lookup

ModelT = TypeVar("ModelT", bound=Model)


def jobs(using: str) -> QuerySet[Job]:
    """Return all job rows of the database `using`, writable: `Job.objects` refuses that."""
    return QuerySet(Job, using=using)


def in_state(state: str, among: Collection[str], using: str) -> QuerySet[Job]:
    """Return the jobs in `state`, by an index of the states `among` that begins with the state.

    The one state stands first: else SQLite may look through all of them, and sort.
    """
    return jobs(using).filter(state=state).filter(Among(among))


def find_job(public_id: UUID, using: str) -> Job | None:
    """Return the job that callers know by this id."""
    return _by_public_id(using).find(public_id, using)


@cache
def _by_public_id(using: str) -> Lookup[Job]:
    return Lookup(jobs(using), "public_id", UUID(int=0))


def links(using: str) -> QuerySet[Continuation]:
    """Return all continuation rows of the database `using`, writable."""
    return QuerySet(Continuation, using=using)


def attempts(using: str) -> QuerySet[Attempt]:
    """Return all attempt rows of the database `using`, writable."""
    return QuerySet(Attempt, using=using)


def workers(using: str) -> QuerySet[Worker]:
    """Return all worker rows of the database `using`."""
    return QuerySet(Worker, using=using)


def queues(using: str) -> QuerySet[Queue]:
    """Return the rows of the queues that have been paused once, in the database `using`."""
    return QuerySet(Queue, using=using)


class _ByIndex(BaseTable):
    """The queried table with the order to read it by one index."""

    index = ""

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        sql, parameters = super().as_sql(compiler, connection)
        return f"{sql} FORCE INDEX ({connection.ops.quote_name(self.index)})", parameters


def by_index(rows: QuerySet[ModelT], index: str) -> QuerySet[ModelT]:
    """Read the rows by `index` where the engine takes such orders (MariaDB, MySQL).

    InnoDB locks what it reads, not what it returns: by another index, on a small table or with
    old statistics, a claimer of 4 rows would lock all there are, and the next would get none.
    """
    if connections[rows.db].vendor != "mysql":
        return rows
    rows = rows.all()
    alias = rows.query.get_initial_alias()
    table = _ByIndex(rows.model._meta.db_table, alias)
    table.index = index
    rows.query.alias_map[alias] = table
    return rows


def by_key(model: type[Model], connection: BaseDatabaseWrapper) -> str:
    """Return the table for a raw UPDATE by primary key, with the order to read it by that key alone."""
    return table_by_index(model, "PRIMARY", connection)


def table_by_index(model: type[Model], index: str, connection: BaseDatabaseWrapper) -> str:
    """Return the table for a raw statement, with the order to read it by `index` where engines take such."""
    table = connection.ops.quote_name(model._meta.db_table)
    return f"{table} FORCE INDEX ({index})" if connection.vendor == "mysql" else table


def locked(rows: QuerySet[ModelT], *, skip: bool = False) -> QuerySet[ModelT]:
    """Lock the rows that the query finds, passing over those that others hold if `skip`.

    NO KEY UPDATE where the engine has it: plain FOR UPDATE would also clash with the share that
    every open transaction holds on a row which it references by foreign key. On SQLite the
    transaction itself is the lock.
    """
    features = connections[rows.db].features
    kinds: dict[str, Any] = {}
    if features.has_select_for_no_key_update:
        kinds["no_key"] = True
    if skip and features.has_select_for_update_skip_locked:
        kinds["skip_locked"] = True
    return rows.select_for_update(of=("self",) if features.has_select_for_update_of else (), **kinds)
