"""The same jobs for procrastinate."""

from procrastinate.contrib.django import app

from benchmarks import starts

HISTORY = (
    # Without its triggers, which would write an event for each row.
    "SET session_replication_role = replica",
    """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts)
    SELECT 'default', 'benchmarks.peers.procrastinate_tasks.noop', '{"number": 1}', 'succeeded', 1
    FROM generate_series(1, {finished})
    """,
    """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, scheduled_at)
    SELECT 'default', 'benchmarks.peers.procrastinate_tasks.noop', '{"number": 1}', 'todo',
           now() + interval '1 day' + i * interval '1 second'
    FROM generate_series(1, {future}) AS i
    """,
    "SET session_replication_role = DEFAULT",
    "VACUUM (ANALYZE) procrastinate_jobs",
)


@app.task
async def noop(number: int) -> dict[str, int]:
    """Do nothing; on procrastinate's own event loop, which is its fastest way."""
    return {"done": number}


@app.task
async def tell_start(number: int) -> dict[str, int]:
    """Note the time at which the handler began."""
    return starts.note(number)


def one(number: int) -> None:
    noop.defer(number=number)


def many(count: int) -> int:
    """Queue `count` jobs in calls of a thousand."""
    for start in range(0, count, 1000):
        noop.batch_defer(*({"number": number} for number in range(start, min(start + 1000, count))))
    return count


def tell(number: int) -> None:
    tell_start.defer(number=number)
