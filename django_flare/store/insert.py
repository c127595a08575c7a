"""Insert job rows, one or many to a statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_flare.models import Job
from django_flare.states import ENDED, JobState
from django_flare.store.clock import now_sql
from django_flare.store.documents import INTEGER, TEXT, records

_ROWS_PER_STATEMENT = 1000
# In characters; servers limit what one statement may be, MariaDB and MySQL to 16 MiB by default.
_PAYLOAD_PER_STATEMENT = 2**20


class NewRow(msgspec.Struct, kw_only=True, gc=False):
    """Hold what a new job row says; `run_at` None is the statement's time, JSON columns are text."""

    public_id: UUID
    state: JobState
    queue: str
    job_type: str
    priority: int
    max_attempts: int
    timeout: timedelta
    payload: str
    tags: str = "{}"
    headers: str = "{}"
    backoff: str | None = None
    run_at: datetime | None = None
    parent_count: int = 0
    open_parents: int = 0
    depth: int = 0
    cancelled_by: UUID | None = None
    idempotency_scope: str = ""
    idempotency_key: str | None = None
    fingerprint: str = ""

    @property
    def rank(self) -> int:
        """The column behind the priority: larger priorities come first."""
        return -self.priority


_GIVEN = [
    *("public_id", "state", "queue", "job_type", "rank", "max_attempts", "timeout", "payload", "tags"),
    *("headers", "backoff", "parent_count", "open_parents", "depth", "cancelled_by"),
    *("idempotency_scope", "idempotency_key", "fingerprint"),
]
_INITIAL = {
    "attempt": "0",
    "losses": "0",
    "fence": "0",
    "worker_id": "''",
    "stop_requested": "FALSE",
    "gated": "FALSE",
    "result_error": "''",
    "error_message": "''",
}
_FIELDS: dict[str, Any] = {field.name: field for field in Job._meta.concrete_fields}
_ENGINE_TYPED = ("public_id", "timeout", "cancelled_by")
_NUMBERS = {"rank", "max_attempts", "parent_count", "open_parents", "depth"}


def insert_jobs(rows: Sequence[NewRow], using: str) -> None:
    """Insert `rows` in order, one by VALUES, several by a document of up to a thousand to a statement.

    Raw, because the ORM's `create` takes half as long again as the INSERT itself. Of many rows the
    parameters cost more than their storing: on PostgreSQL 170 µs a row by VALUES, 37 by a document.
    """
    for chunk in _chunks(rows):
        if len(chunk) == 1:
            _insert_one(chunk[0], using)
        else:
            _insert_several(chunk, using)


def _chunks(rows: Sequence[NewRow]) -> Iterator[list[NewRow]]:
    chunk: list[NewRow] = []
    size = 0
    for row in rows:
        if chunk and (len(chunk) == _ROWS_PER_STATEMENT or size + len(row.payload) > _PAYLOAD_PER_STATEMENT):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += len(row.payload)
    yield chunk


def _insert_one(row: NewRow, using: str) -> None:
    connection = connections[using]
    run_at = None if row.run_at is None else _FIELDS["run_at"].get_db_prep_value(row.run_at, connection)
    with connection.cursor() as cursor:
        cursor.execute(
            _one_row(using, now_sql(connection)),
            [*_given(row, connection), run_at, row.state in ENDED],
        )


@cache
def _one_row(using: str, now: str) -> str:
    timed = {"run_at": f"COALESCE(%s, {now})", "completed_at": f"CASE WHEN %s THEN {now} END"}
    columns = dict.fromkeys(_GIVEN, "%s") | timed | _INITIAL | {"created_at": now}
    return f"{_into(connections[using], columns)} VALUES ({', '.join(columns.values())})"


def _insert_several(rows: Sequence[NewRow], using: str) -> None:
    """Send what all rows share once, and in the document only what differs: a fifth less time."""
    connection = connections[using]
    columns = {name: [getattr(row, name) for row in rows] for name in _GIVEN}
    shared = {name: of[0] for name, of in columns.items() if of.count(of[0]) == len(of)}
    differing = {name: _prepared(name, of, connection) for name, of in columns.items() if name not in shared}
    now = now_sql(connection)
    selected = {
        name: _cast("%s" if name in shared else f"d.{connection.ops.quote_name(name)}", name, connection)
        for name in _GIVEN
    }
    into = selected | _INITIAL | {"created_at": now, "run_at": now}
    members = {name: INTEGER if name in _NUMBERS else TEXT for name in differing}
    rest = [dict(zip(differing, values, strict=True)) for values in zip(*differing.values(), strict=True)]
    given = [_prepared(name, [value], connection)[0] for name, value in shared.items()]
    source, values = records(connection, members), ", ".join(into.values())
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_into(connection, into)} SELECT {values} FROM {source}",  # noqa: S608 - names are ours
            [*given, msgspec.json.encode(rest, enc_hook=str).decode()],
        )


def _into(connection: BaseDatabaseWrapper, columns: Iterable[str]) -> str:
    quote = connection.ops.quote_name
    return f"INSERT INTO {quote(Job._meta.db_table)} ({', '.join(map(quote, columns))})"


def _given(row: NewRow, connection: BaseDatabaseWrapper) -> list[Any]:
    return [_prepared(name, [getattr(row, name)], connection)[0] for name in _GIVEN]


def _prepared(name: str, values: list[Any], connection: BaseDatabaseWrapper) -> list[Any]:
    """Return the values of a column as this engine takes them."""
    if name not in _ENGINE_TYPED:
        return values
    prepare = _FIELDS[name].get_db_prep_value
    return [None if value is None else prepare(value, connection) for value in values]


def _cast(value: str, name: str, connection: BaseDatabaseWrapper) -> str:
    # The others convert text as they store it.
    if connection.vendor != "postgresql":
        return value
    return f"CAST({value} AS {_FIELDS[name].db_type(connection)})"
