"""A statement that does not end by itself, on every engine."""

from django.db import connection

_ENDLESS = {
    "postgresql": "SELECT pg_sleep(600)",
    "mysql": "SELECT BENCHMARK(1000000000000, MD5('x'))",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n",
}


def run_endlessly(**_):
    """Execute it; takes the arguments of whatever it stands in for."""
    with connection.cursor() as cursor:
        cursor.execute(_ENDLESS[connection.vendor])
        return cursor.fetchone()
