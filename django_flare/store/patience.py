"""How long a caller waits: for the locks of others, and for what it reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_flare.store.faults import is_lock_timeout, is_time_limit
from django_flare.store.transactions import transaction


class OutOfPatienceError(Exception):
    """Say that it would have taken longer than the caller would wait."""


@contextmanager
def patient_transaction(seconds: int, using: str) -> Iterator[None]:
    """Open a transaction as `transaction` does, in which no statement waits longer for a lock.

    Raises OutOfPatienceError, with everything rolled back, when one would have to.
    """
    connection = connections[using]
    connection.ensure_connection()
    try:
        with _LIMITS[connection.vendor](connection, seconds):
            yield
    except DatabaseError as error:
        if is_lock_timeout(error):
            raise OutOfPatienceError from error
        raise


@contextmanager
def patient_read(seconds: int, using: str) -> Iterator[None]:
    """Let no statement of the block, which only reads, take longer than `seconds`.

    Raises OutOfPatienceError when the database has ended one that would have. Costs statements of its
    own where the limit is the session's or the transaction's.
    """
    connection = connections[using]
    connection.ensure_connection()
    try:
        with _READ_LIMITS[connection.vendor](connection, seconds):
            yield
    except DatabaseError as error:
        if is_time_limit(error):
            raise OutOfPatienceError from error
        raise


@contextmanager
def _postgresql(connection: BaseDatabaseWrapper, seconds: int) -> Iterator[None]:
    # LOCAL, so that a pooler hands nothing of it on to the next client.
    with transaction(connection.alias):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {int(seconds) * 1000}")
        yield


@contextmanager
def _mysql(connection: BaseDatabaseWrapper, seconds: int) -> Iterator[None]:
    before = _replace(connection, "SELECT @@innodb_lock_wait_timeout", _MYSQL_LIMIT, seconds)
    try:
        with transaction(connection.alias):
            yield
    finally:
        _restore(connection, _MYSQL_LIMIT, before)


@contextmanager
def _sqlite(connection: BaseDatabaseWrapper, seconds: int) -> Iterator[None]:
    before = _replace(connection, "PRAGMA busy_timeout", _SQLITE_LIMIT, seconds * 1000)
    try:
        with transaction(connection.alias):
            yield
    finally:
        _restore(connection, _SQLITE_LIMIT, before)


_MYSQL_LIMIT = "SET SESSION innodb_lock_wait_timeout = {}"
_SQLITE_LIMIT = "PRAGMA busy_timeout = {}"


def _replace(connection: BaseDatabaseWrapper, question: str, order: str, value: int) -> float:
    with connection.cursor() as cursor:
        cursor.execute(question)
        before: float = cursor.fetchone()[0]
        cursor.execute(order.format(int(value)))
    return before


def _restore(connection: BaseDatabaseWrapper, order: str, before: float) -> None:
    # A connection that broke meanwhile is replaced, and with it the setting.
    if connection.connection is not None and connection.is_usable():
        with connection.cursor() as cursor:
            cursor.execute(order.format(before))


@contextmanager
def _postgresql_read(connection: BaseDatabaseWrapper, seconds: int) -> Iterator[None]:
    with transaction(connection.alias):
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {int(seconds) * 1000}")
        yield


@contextmanager
def _mysql_read(connection: Any, seconds: int) -> Iterator[None]:
    # MariaDB's in seconds, MySQL's in milliseconds.
    name, value = "max_statement_time", seconds
    if not connection.mysql_is_mariadb:
        name, value = "max_execution_time", seconds * 1000
    order = f"SET SESSION {name} = {{}}"
    before = _replace(connection, f"SELECT @@{name}", order, value)
    try:
        yield
    finally:
        _restore(connection, order, before)


@contextmanager
def _sqlite_read(connection: Any, seconds: int) -> Iterator[None]:
    driver, end = connection.connection, time.monotonic() + seconds
    driver.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


_STEPS_BETWEEN_LOOKS = 10_000
"""Instructions of SQLite's machine, a fraction of a millisecond."""

_LIMITS: dict[str, Callable[[BaseDatabaseWrapper, int], AbstractContextManager[None]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
}
_READ_LIMITS: dict[str, Callable[[BaseDatabaseWrapper, int], AbstractContextManager[None]]] = {
    "postgresql": _postgresql_read,
    "mysql": _mysql_read,
    "sqlite": _sqlite_read,
}
