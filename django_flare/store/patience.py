"""Transactions that wait for the locks of others for so long and no longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_flare.store.faults import is_lock_timeout
from django_flare.store.transactions import transaction


class OutOfPatienceError(Exception):
    """Say that somebody else has held a lock for longer than the caller would wait."""


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


def _replace(connection: BaseDatabaseWrapper, question: str, order: str, value: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(question)
        (before,) = cursor.fetchone()
        cursor.execute(order.format(int(value)))
    return int(before)


def _restore(connection: BaseDatabaseWrapper, order: str, before: int) -> None:
    # A connection that broke meanwhile is replaced, and with it the setting.
    if connection.connection is not None and connection.is_usable():
        with connection.cursor() as cursor:
            cursor.execute(order.format(before))


_LIMITS: dict[str, Callable[[BaseDatabaseWrapper, int], AbstractContextManager[None]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "sqlite": _sqlite,
}
