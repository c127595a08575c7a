"""The limits on PostgreSQL: the rows of our own enqueue by psycopg alone, without Django.

The statement and a row are taken from an enqueue that is rolled back, so that they stay the same as ours.
The raw loop that drains is benchmarks/management/commands/raw_drain.py.
"""

import functools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection, transaction

from benchmarks import jobs

TABLE = "django_flare_job"
fill = jobs.many
"""What the raw loop drains is queued by ours."""


@functools.cache
def driver() -> psycopg.Connection[Any]:
    """Connect as Django would, but let the server bind the parameters and prepare at once."""
    parameters = {**connection.get_connection_params(), "cursor_factory": psycopg.Cursor}
    opened = psycopg.connect(**parameters, autocommit=True)
    opened.prepare_threshold = 0
    return opened


@functools.cache
def _statement() -> tuple[str, list[Any]]:
    """Return the INSERT of one job as ours sends it."""
    sent: list[tuple[str, list[Any]]] = []

    def capture(execute: Any, sql: str, given: Any, many: bool, context: Any) -> Any:
        if TABLE in sql:
            sent.append((sql, list(given)))
        return execute(sql, given, many, context)

    with connection.execute_wrapper(capture), _nothing_kept():
        jobs.one(0)
    [(sql, given)] = sent
    return sql, given


@functools.cache
def _row() -> dict[str, Any]:
    """Return one row as ours writes it, without its key."""
    with _nothing_kept(), connection.cursor() as cursor:
        jobs.one(0)
        cursor.execute(f"SELECT * FROM {TABLE}")
        row = dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))
    del row["id"]
    return row


@contextmanager
def _nothing_kept() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _insert(number: int) -> None:
    sql, given = _statement()
    driver().execute(sql, [uuid.uuid4() if isinstance(value, uuid.UUID) else value for value in given])


def one(number: int) -> None:
    """Insert one row, a transaction by itself; the trip for NOTIFY is left out."""
    _insert(number)


def one_notifying_inside(number: int) -> None:
    """Insert one row and notify in the same transaction."""
    with driver().transaction():
        _insert(number)
        driver().execute("NOTIFY django_flare")


def many(count: int) -> int:
    """Write `count` rows by COPY."""
    columns = ", ".join(_row())
    with (
        driver().transaction(),
        driver().cursor() as cursor,
        cursor.copy(f"COPY {TABLE} ({columns}) FROM STDIN") as copy,
    ):
        for _ in range(count):
            copy.write_row(list({**_row(), "public_id": uuid.uuid4()}.values()))
    return count
