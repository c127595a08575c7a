"""The one clock that decides who is due and who is gone: the database's, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, FloatField, Func


def _sqlite_time(moment: str) -> str:
    # SQLite compares times as text, so they must be spelled as Django spells them: six digits
    # of the second's fraction, or none when it is zero.
    return f"REPLACE(STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', {moment}) || '000', '.000000', '')"


# Statement time: inside a long transaction of the caller `now()` would stand still on PostgreSQL.
# Django's own Now() is the server's local time on MariaDB and MySQL, hence not used there.
_NOW = {
    "postgresql": "STATEMENT_TIMESTAMP()",
    "sqlite": _sqlite_time("'NOW'"),
    "mysql": "UTC_TIMESTAMP(6)",
}

_AFTER_MICROSECONDS = {
    "postgresql": "({now} + {delay} * INTERVAL '1 microsecond')",
    "sqlite": _sqlite_time("{now}, ({delay} / 1000000.0) || ' seconds'"),
    "mysql": "TIMESTAMPADD(MICROSECOND, {delay}, {now})",
}

_TO_THE_MINUTE = {
    "postgresql": "DATE_TRUNC('minute', {now})",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:00', {now})",
    "mysql": "DATE_FORMAT({now}, '%%Y-%%m-%%d %%H:%%i:00')",
}

_SECONDS = {
    "postgresql": "DATE_PART('epoch', {now} - {earlier})",
    "sqlite": "((JULIANDAY({now}) - JULIANDAY({earlier})) * 86400.0)",
    "mysql": "(TIMESTAMPDIFF(MICROSECOND, {earlier}, {now}) / 1e6)",
}

_replacement: str | None = None


def replace_now(sql: str | None) -> None:
    """Let tests put another SQL expression, as a one-row table's value, in the clock's place."""
    global _replacement
    _replacement = sql


def now_sql(connection: BaseDatabaseWrapper) -> str:
    """Return the SQL of the statement's time, for a statement that takes parameters."""
    return _replacement or _NOW[connection.vendor]


def after_sql(connection: BaseDatabaseWrapper, delay: str) -> str:
    """Return the SQL of the statement's time plus `delay`, an SQL number of microseconds."""
    return _AFTER_MICROSECONDS[connection.vendor].format(now=now_sql(connection), delay=delay)


def minute_sql(connection: BaseDatabaseWrapper) -> str:
    """Return the SQL of the beginning of the minute in which the statement's time lies."""
    return _TO_THE_MINUTE[connection.vendor].format(now=now_sql(connection))


class DatabaseNow(Func):
    """Stand for the statement's time in ORM expressions."""

    output_field = DateTimeField()

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        return now_sql(connection), []


class SecondsSince(Func):
    """Stand for the seconds, a fraction included, from a column that is a time to the statement's time."""

    arity = 1
    output_field = FloatField()

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        earlier, parameters = compiler.compile(self.get_source_expressions()[0])
        return _SECONDS[connection.vendor].format(earlier=earlier, now=now_sql(connection)), [*parameters]


def read_now(using: str) -> datetime:
    """Ask the database for its time; an aware datetime in UTC."""
    connection = connections[using]
    with connection.cursor() as cursor:
        suffix = connection.features.bare_select_suffix
        cursor.execute(f"SELECT {now_sql(connection)}{suffix}", [])
        (moment,) = cursor.fetchone()
    return aware(moment, connection)


def parse_time(text: str, using: str) -> datetime:
    """Read a time that was selected as text; an aware datetime in UTC."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=connections[using].timezone)
    return moment.astimezone(UTC)


def aware(moment: Any, connection: BaseDatabaseWrapper) -> datetime:
    """Convert a time as a raw cursor returns it to an aware datetime."""
    expression = DatabaseNow()
    for convert in connection.ops.get_db_converters(expression):
        moment = convert(moment, expression, connection)
    return cast("datetime", moment)
