"""The same jobs for django-q2 with its ORM broker."""

from django_q.models import Success
from django_q.tasks import async_task

from benchmarks import starts

HISTORY = (
    """
    INSERT INTO django_q_task (id, name, func, started, stopped, success, attempt_count)
    SELECT md5(i::text), 'old', 'benchmarks.peers.q2.noop', now(), now(), true, 1
    FROM generate_series(1, {finished}) AS i
    """,
    # A future job is a row of its table of schedules.
    """
    INSERT INTO django_q_schedule (func, schedule_type, repeats, next_run)
    SELECT 'benchmarks.peers.q2.noop', 'O', -1, now() + interval '1 day' + i * interval '1 second'
    FROM generate_series(1, {future}) AS i
    """,
    "VACUUM (ANALYZE) django_q_task, django_q_schedule",
)


def noop(number: int) -> dict[str, int]:
    """Do nothing, with a result to store."""
    return {"done": number}


def one(number: int) -> None:
    async_task("benchmarks.peers.q2.noop", number)


def many(count: int) -> int:
    """Queue `count` jobs, one by one: there is no other way."""
    for number in range(count):
        one(number)
    return count


def tell(number: int) -> None:
    async_task(starts.note, number)


def done() -> int:
    """Count the results; the start that a row keeps is that of the enqueue."""
    return int(Success.objects.exclude(name="old").count())
