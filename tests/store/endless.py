"""A statement that does not end by itself, on every engine."""

from django.db import connection

_ENDLESS = {
    "postgresql": "SELECT pg_sleep(600)",
    "mysql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
    "SELECT COUNT(*) FROM n a, n b, n c, n d, n e",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n",
}


def run_endlessly(**_):
    """Execute it; takes the arguments of whatever it stands in for."""
    with connection.cursor() as cursor:
        cursor.execute(_ENDLESS[connection.vendor])
        return cursor.fetchone()
