"""Transactions that decide by what is committed, whatever isolation the host project runs at."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial, update_wrapper
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic, on_commit

from django_flare.models import Worker
from django_flare.store.faults import Fault, classify

T = TypeVar("T")

_TRIES = 5
WRITE_NOTHING = f"DELETE FROM {Worker._meta.db_table} WHERE FALSE"  # noqa: S608 - the name is ours
# psycopg's IsolationLevel.READ_COMMITTED; its import would cost other engines' processes 9 MB each.
_PSYCOPG_READ_COMMITTED = 2
_READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"


def owns_transaction(using: str) -> bool:
    """Tell whether no caller has a transaction open, so that ours would be the outermost."""
    connection = connections[using]
    return connection.get_autocommit() and not connection.in_atomic_block


def after_commit(hook: Callable[[], object], using: str) -> None:
    """Call `hook` after the caller's commit; what it raises is logged.

    Without autocommit and outside atomic() Django knows of no commit and would refuse the hook, when
    the row is there already (F26); it is left out then.
    """
    connection = connections[using]
    if connection.in_atomic_block or connection.get_autocommit():
        on_commit(_named(hook), using=using, robust=True)


def _named(hook: Callable[[], object]) -> Callable[[], object]:
    """Give a partial the name of its function: Django asks for it when the hook has raised.

    It has none of its own, so that the question would raise, in the caller, after the commit (F26).
    """
    return update_wrapper(hook, hook.func) if isinstance(hook, partial) else hook


@contextmanager
def transaction(using: str) -> Iterator[None]:
    """Join the caller's transaction as a savepoint, or open one at READ COMMITTED.

    On SQLite the write lock is taken at the start (BEGIN IMMEDIATE, in a caller's transaction by a
    write of nothing): one that first reads and then writes would be refused, without waiting,
    when another wrote between (F39).
    """
    connection = connections[using]
    if owns_transaction(using):
        with _prepared(connection), atomic(using):
            yield
        return
    with atomic(using):
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute(WRITE_NOTHING)
        yield


def in_transaction(work: Callable[[], T], using: str) -> T:
    """Run `work` in a transaction; after a conflict (deadlock, busy file) in ours, run it again.

    Inside a caller's transaction it runs once: only the caller can repeat that as a whole.
    """

    def whole() -> T:
        with transaction(using):
            return work()

    return statement(whole, using)


def statement(work: Callable[[], T], using: str) -> T:
    """Run one statement that is its own transaction, again after a conflict as `in_transaction` does."""
    tries = _TRIES if owns_transaction(using) else 1
    while True:
        tries -= 1
        try:
            return work()
        except (DatabaseError, InterfaceError) as error:
            if not tries or classify(error) is not Fault.CONFLICT:
                raise
        time.sleep(random.uniform(0, 0.05))  # noqa: S311 - spreads rivals, keeps no secret


def _prepared(connection: BaseDatabaseWrapper) -> AbstractContextManager[None]:
    connection.ensure_connection()
    return _PREPARATIONS[connection.vendor](connection)


@contextmanager
def _postgresql(connection: Any) -> Iterator[None]:
    driver = connection.connection
    before = driver.isolation_level
    if before == _PSYCOPG_READ_COMMITTED:
        yield
        return
    # psycopg then says it in its BEGIN, which costs no round trip.
    driver.isolation_level = _PSYCOPG_READ_COMMITTED
    try:
        yield
    finally:
        # A connection that broke meanwhile is replaced, and with it the setting.
        if connection.connection is driver and not driver.closed and not driver.info.transaction_status:
            driver.isolation_level = before


@contextmanager
def _mysql(connection: Any) -> Iterator[None]:
    if connection.isolation_level != "read committed":
        with connection.cursor() as cursor:
            cursor.execute(_READ_COMMITTED)
    yield


@contextmanager
def _sqlite(connection: Any) -> Iterator[None]:
    before, connection.transaction_mode = connection.transaction_mode, "IMMEDIATE"
    try:
        yield
    finally:
        connection.transaction_mode = before


_PREPARATIONS: dict[str, Callable[[Any], AbstractContextManager[None]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
}
