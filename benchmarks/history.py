"""Finished and future rows, written by the database itself: a million would take any client too long."""

from django.db import connection

from benchmarks import workers

_AGE = 0.5
"""Seconds between two finished rows: all are younger than the seven days after which they would be pruned."""

_SERIES = {
    "postgresql": "generate_series(1, {rows}) AS series(i)",
    "sqlite": "(WITH RECURSIVE series(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < {rows})"
    " SELECT i FROM series) AS series",
    "mysql": "(SELECT seq AS i FROM seq_1_to_{rows}) AS series",
}
_MOMENT = {
    "postgresql": "statement_timestamp() + ({seconds}) * interval '1 second'",
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', ({seconds}) || ' seconds')",
    "mysql": "utc_timestamp(6) + INTERVAL ({seconds}) SECOND",
}
_IDENTIFIER = {
    "postgresql": "gen_random_uuid()",
    "sqlite": "lower(hex(randomblob(16)))",
    "mysql": "uuid()",
}
# Nobody is to write the long table to the disk, or to read it from a long log, while the worker drains.
_TIDY = {
    "postgresql": ("VACUUM (ANALYZE) django_flare_job",),
    "sqlite": ("ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"),
    "mysql": ("ANALYZE TABLE django_flare_job",),
}


def write(finished: int, future: int) -> None:
    """Put so many finished and future jobs of the measured queue into its database."""
    statements = getattr(workers.module(), "HISTORY", None) or _ours()
    with connection.cursor() as cursor:
        for statement in statements:
            filled = statement.replace("{finished}", str(finished)).replace("{future}", str(future))
            cursor.execute(filled)
            if cursor.description:
                cursor.fetchall()
        if connection.vendor == "postgresql":
            cursor.execute("CHECKPOINT")


def _ours() -> list[str]:
    """Copy a job as it was enqueued, but for what differs; so its columns need not be named here."""
    workers.module().one(0)
    before, after = _moment(f"-{_AGE} * i"), _moment("86400 + i")
    identifier = {"public_id": _IDENTIFIER[connection.vendor]}
    done = dict.fromkeys(
        ("created_at", "run_at", "first_started_at", "started_at", "completed_at"), before
    ) | {"state": "'succeeded'", "attempt": "1", "fence": "1", "progress": "1", "result": """'{"done": 1}'"""}
    ahead = {"state": "'scheduled'", "run_at": after}
    return [
        _copies(identifier | done, "{finished}"),
        _copies(identifier | ahead, "{future}"),
        "DELETE FROM django_flare_job WHERE state = 'pending'",
        *_TIDY[connection.vendor],
    ]


def _moment(seconds: str) -> str:
    return _MOMENT[connection.vendor].format(seconds=seconds)


def _copies(changed: dict[str, str], rows: str) -> str:
    with connection.cursor() as cursor:
        columns = [
            column.name
            for column in connection.introspection.get_table_description(cursor, "django_flare_job")
            if column.name != "id"
        ]
    quote = connection.ops.quote_name
    into = ", ".join(map(quote, columns))
    selected = ", ".join(changed.get(name, f"job.{quote(name)}") for name in columns)
    series = _SERIES[connection.vendor].replace("{rows}", rows)
    return (
        f"INSERT INTO django_flare_job ({into}) SELECT {selected} FROM django_flare_job job, {series}"
        " WHERE job.state = 'pending'"
    )
