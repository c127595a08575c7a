"""The limit on PostgreSQL: a loop without Django that claims and finishes 200 jobs a transaction."""

from typing import Any

import psycopg
from django.core.management.base import BaseCommand
from django.db import connection

CLAIM = """
    UPDATE django_flare_job
    SET state = 'processing', attempt = attempt + 1, fence = fence + 1, worker_id = 'raw',
        started_at = statement_timestamp(), first_started_at = statement_timestamp()
    WHERE id = ANY(ARRAY(
        SELECT id FROM django_flare_job WHERE state = 'pending' AND NOT gated AND queue = 'default'
        ORDER BY rank, run_at, id LIMIT 200 FOR NO KEY UPDATE SKIP LOCKED))
    RETURNING id, payload
"""
FINISH = """
    UPDATE django_flare_job
    SET state = 'succeeded', progress = 1, result = '{"done": 1}', completed_at = statement_timestamp()
    WHERE id = ANY(%s) AND state = 'processing'
"""


class Command(BaseCommand):
    """Drain the queue of django_flare's own table."""

    def handle(self, **_: Any) -> None:
        # Django's cursors bind parameters in Python; psycopg's own let the server do it.
        parameters = {**connection.get_connection_params(), "cursor_factory": psycopg.Cursor}
        with psycopg.connect(**parameters) as driver:
            claimed: list[int] = []
            while True:
                with driver.transaction():
                    if claimed:
                        driver.execute(FINISH, [claimed])
                    claimed = [key for key, _ in driver.execute(CLAIM)]
                if not claimed:
                    return
