"""Rows as a foreign hand may leave them, written past all rules and past the ORM (F58)."""

from django.db import connection

from tests.support import row

# By the column that is to be named: what each engine keeps there, and no claim can take.
OF_ENGINE = {
    "sqlite": {
        "timeout": "'abc'",
        "public_id": "'zzz'",
        "max_attempts": "'x'",
        "losses": "'x'",
        "payload": "CAST(X'ff' AS TEXT)",
        "job_type": "CAST(X'ff' AS TEXT)",
        "run_at": "'2026-13-45 99:00:00'",
    },
    "postgresql": {
        "timeout": "'2000000000 days'",
        "run_at": "'-infinity'",
        "attempt": "2147483647",
        "fence": "2147483647",
    },
    "mysql": {"attempt": "4294967295", "fence": "4294967295"},
}


def spoil(job_id, column, value):
    """Write `value`, an SQL literal, into the column of a job; return its key."""
    key = row(job_id).pk
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE django_flare_job SET {column} = {value} WHERE id = {key}")
        assert cursor.rowcount == 1
    return key


def seen(key, *columns):
    """Return columns of the row that can be read."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)} FROM django_flare_job WHERE id = {key}")
        return cursor.fetchone()
