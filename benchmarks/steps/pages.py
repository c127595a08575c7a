"""Ask for the pages of the admin beside a long table."""

import time
from statistics import median

from django.db import connection
from django.test import Client

from benchmarks import history, workers

Numbers = dict[str, float]

_TIMES = 7
_DASHBOARD = "/admin/django_flare/dashboard/content/"
_TYPES, _DEAD, _WAITING = 20, 5_000, 20_000


def dashboard(count: int) -> Numbers:
    """Ask for the dashboard, each period several times, in a table of `count` rows.

    Milliseconds of the whole answer, from the request to the rendered page, the medians; the longest of them
    is `ms`. Beside the finished rows there are future, waiting, running and dead ones, 20 types in 5
    queues, and what has been counted of them for as long as that is kept.
    """
    # The project of another queue has no such app.
    from django_flare.jobs.figures import SCALES  # noqa: PLC0415

    _fill(count)
    client = _signed_in()
    taken = {period: 1000 * _median(client, f"{_DASHBOARD}?period={period}") for period in SCALES}
    return {"ms": max(taken.values()), **{f"{period} ms": ms for period, ms in taken.items()}}


def _fill(count: int) -> None:
    workers.module().many(_WAITING)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_flare_job SET state = 'scheduled'")
    # It copies what is pending and then deletes that.
    history.write(count * 9 // 10, count // 10)
    with connection.cursor() as cursor:
        for statement in _STATEMENTS:
            cursor.execute(statement)


_STATEMENTS = (
    # The waiting ones are the oldest by their key.
    "UPDATE django_flare_job SET state = 'pending', run_at = statement_timestamp(),"
    f" queue = 'q' || id % 5, job_type = 'type' || id % {_TYPES} WHERE id <= {_WAITING}",
    "UPDATE django_flare_job SET state = 'dead_letter', error_message = repeat('no luck ', 40)"
    f" WHERE id IN (SELECT id FROM django_flare_job WHERE state = 'succeeded' ORDER BY id LIMIT {_DEAD})",
    "INSERT INTO django_flare_worker SELECT 'wrk_' || i, 'host', i, '0', '[]', '[]', 10, 8,"
    " statement_timestamp(), statement_timestamp() FROM generate_series(1, 20) AS series(i)",
    f"""
    INSERT INTO django_flare_rollup (level, start, queue, job_type, outcome, count, run_seconds, wait_seconds,
        ran_2, ran_3, ran_4, waited_1, waited_2, waited_5)
    SELECT level, statement_timestamp() - length * i, 'q' || type % 5, 'type' || type, outcome,
        30, 3, 3, 10, 10, 10, 10, 10, 10
    FROM (VALUES (1, interval '1 minute', 200), (2, interval '15 minutes', 105), (3, interval '1 hour', 2160))
            AS kept(level, length, most),
        generate_series(1, kept.most) AS place(i), generate_series(1, {_TYPES}) AS types(type),
        (VALUES ('succeeded'), ('failed')) AS outcomes(outcome)
    WHERE outcome = 'succeeded' OR type % 2 = 0
    """,
    "VACUUM (ANALYZE) django_flare_job",
    "VACUUM (ANALYZE) django_flare_rollup",
)


def _signed_in() -> Client:
    # Imported late: other measurements do without Django's users.
    from django.contrib.auth.models import User  # noqa: PLC0415

    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def _median(client: Client, address: str) -> float:
    client.get(address)
    taken = []
    for _ in range(_TIMES):
        start = time.perf_counter()
        answer = client.get(address)
        taken.append(time.perf_counter() - start)
        assert answer.status_code == 200, answer
    return median(taken)
