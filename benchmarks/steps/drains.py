"""Drain a backlog of no-op jobs."""

import resource
import time
from datetime import datetime

from django.conf import settings
from django.db import connection

from benchmarks import history, meters, workers

Numbers = dict[str, float]

_LOOK = 0.02
"""Seconds between two looks at how many jobs are done, where the rows do not tell the times."""


def drain(
    count: int, *, workers_at_once: int = 1, fill: str | None = None, behind_history: bool = False
) -> Numbers:
    """Run `count` jobs with one worker process or several.

    Jobs a second from the first start to the last completion, as the database has them; of queues that do
    not write them down, from the first look that finds a result to the one that finds all. The wall time
    and the processor time are those of the whole worker, its start and its end included.
    """
    if behind_history:
        history.write(settings.HISTORY, settings.HISTORY // 2)
    count, filled = _fill(count, fill)
    with meters.server_per_job(count) as used:
        start, before = time.perf_counter(), _processor_time()
        rate = _drain(count, workers_at_once)
        wall, processor = time.perf_counter() - start, _processor_time() - before
    return {"jobs/s": rate, "wall s": wall, "worker CPU s": processor, **filled, **used}


def statements(count: int) -> Numbers:
    """Count the statements of a drain, apart from the timed ones, as counting costs time."""
    count, _ = _fill(count, None)
    with workers.traced() as trace:
        connection.close()
        workers.run_to_the_end(1, trace.environment)
        return {"statements/job": trace.statements / count}


def _fill(count: int, fill: str | None) -> tuple[int, Numbers]:
    start = time.perf_counter()
    count = getattr(workers.module(), fill or settings.QUEUE.fill)(count)
    rate = count / (time.perf_counter() - start)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return count, {"filled jobs/s": rate}


def _drain(count: int, workers_at_once: int) -> float:
    looks: list[tuple[float, int]] = []
    if settings.QUEUE.drain:
        workers.run_to_the_end(workers_at_once)
    else:
        looks = _watch(count, workers_at_once)
    return _by_rows(count, settings.QUEUE.span) if settings.QUEUE.span else _by_looks(count, looks)


def _by_rows(count: int, span: str) -> float:
    with connection.cursor() as cursor:
        cursor.execute(span)
        first, last, done = cursor.fetchone()
    connection.close()
    if done != count:
        raise RuntimeError(f"{done} of {count} jobs have succeeded")
    return count / (_moment(last) - _moment(first)).total_seconds()


def _by_looks(count: int, looks: list[tuple[float, int]]) -> float:
    (first, already), (last, done) = looks[0], looks[-1]
    if done != count or last == first:
        raise RuntimeError(f"{done} results of {count} jobs, seen in {len(looks)} looks")
    return (done - already) / (last - first)


def _watch(count: int, workers_at_once: int) -> list[tuple[float, int]]:
    """Drain by workers that go on; return the moments at which so many were seen done, none left out."""
    looks: list[tuple[float, int]] = []

    def is_over() -> bool:
        time.sleep(_LOOK)
        if done := workers.module().done():
            looks.append((time.perf_counter(), done))
        return bool(done >= count)

    workers.run_until(is_over, workers_at_once)
    connection.close()
    return looks


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _moment(value: datetime | str) -> datetime:
    # SQLite has times as text.
    return datetime.fromisoformat(value) if isinstance(value, str) else value
