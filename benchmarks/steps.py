"""The measurements. Each runs in a process and a database of its own and returns named numbers."""

import random
import resource
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils.module_loading import import_string

from benchmarks import workers

Numbers = dict[str, float]


def drain(count: int) -> Numbers:
    """Drain a queue of `count` no-op jobs with one worker process.

    Jobs a second from the first start to the last completion, as the database has them; the wall
    time and the processor time are those of the whole process, Python's and Django's start and the
    worker's end included; the processor time barely depends on what else the machine does.
    """
    count = min(count, settings.QUEUE.most or count)
    return {**_fill(count), **_drain(count)}


def statements(count: int) -> Numbers:
    """Count the statements of a drain, apart from the timed ones, as counting costs time."""
    _fill(count)
    with workers.traced() as trace:
        _drain(count, trace.environment)
        return {"statements/job": trace.statements / count}


def _fill(count: int) -> Numbers:
    fill = import_string(settings.QUEUE.fill)
    start = time.perf_counter()
    fill(count)
    seconds = time.perf_counter() - start
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    return {"filled jobs/s": count / seconds}


def _drain(count: int, environment: dict[str, str] | None = None) -> Numbers:
    connection.close()
    start, before = time.perf_counter(), _processor_time()
    subprocess.run(workers.command(*settings.QUEUE.drain), env=environment, check=True, capture_output=True)
    wall, processor = time.perf_counter() - start, _processor_time() - before
    with connection.cursor() as cursor:
        cursor.execute(settings.QUEUE.span)
        first, last, done = cursor.fetchone()
    if done != count:
        raise RuntimeError(f"{done} of {count} jobs have succeeded")
    seconds = (_moment(last) - _moment(first)).total_seconds()
    return {"jobs/s": count / seconds, "wall s": wall, "worker CPU s": processor}


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _moment(value: datetime | str) -> datetime:
    # SQLite has times as text.
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def latency(count: int) -> Numbers:
    """Enqueue jobs one at a time, every 30 to 60 ms, to an idle worker.

    Milliseconds from the return of COMMIT, on this process's clock, to the handler's first line, on the
    worker's clock: the same clock, as both are on one machine.
    """
    enqueue, job = import_string("django_flare.jobs.enqueue"), import_string("benchmarks.jobs.tell_start")
    committed: dict[int, float] = {}
    with workers.running_worker():
        for number in range(-10, count):  # the first few warm up
            with transaction.atomic():
                # Registered before the enqueue, hence called before its NOTIFY is sent.
                transaction.on_commit(partial(_note, committed, number))
                enqueue(job, {"number": number})
            time.sleep(random.uniform(0.03, 0.06))
        time.sleep(1)
    results = import_string("django_flare.models.Job").objects.values_list("result", flat=True)
    started = {result["number"]: result["started"] for result in results}
    late = sorted(started[number] - committed[number] for number in range(count))
    return {
        f"{name} ms": 1000 * late[min(count - 1, int(share * count))]
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))
    }


def _note(moments: dict[int, float], number: int) -> None:
    moments[number] = time.time()


def idle(seconds: int) -> Numbers:
    """Look at a worker that has nothing to do."""
    countable = connection.vendor == "postgresql"
    with workers.traced() as trace, workers.running_worker(trace.environment if countable else None) as pid:
        before = trace.statements
        time.sleep(seconds)
        sent = (trace.statements - before) / seconds
        memory = {"RSS MB": workers.resident_megabytes(pid)}
    return {**memory, "statements/s": sent} if countable else memory


def enqueue(count: int) -> Numbers:
    """Create jobs one by one, each its own transaction, and all in one call."""
    one, many = import_string("django_flare.jobs.enqueue"), import_string("django_flare.jobs.enqueue_many")
    job = import_string("benchmarks.jobs.noop")
    singles = min(count, 2000)
    start = time.perf_counter()
    for number in range(singles):
        one(job, {"number": number})
    middle = time.perf_counter()
    many(job, [{"number": number} for number in range(count)])
    end = time.perf_counter()
    return {"enqueue/s": singles / (middle - start), "enqueue_many jobs/s": count / (end - middle)}


STEPS: dict[str, Callable[[int], dict[str, Any]]] = {
    step.__name__: step for step in (drain, statements, latency, idle, enqueue)
}
