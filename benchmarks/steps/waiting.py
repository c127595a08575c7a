"""Look at a worker that waits: how soon it picks a job up, what it costs meanwhile."""

import random
import time
from contextlib import ExitStack
from functools import partial

from django.conf import settings
from django.db import connection, transaction

from benchmarks import meters, starts, workers

Numbers = dict[str, float]

_WARM_UP = 10


def latency(count: int) -> Numbers:
    """Enqueue jobs one at a time, every 30 to 60 ms, to an idle worker.

    Milliseconds from the return of COMMIT (beside Django's connection: of the enqueue), on this process's
    clock, to the handler's first line, on the worker's: the same clock, as both are on one machine.
    """
    committed: dict[int, float] = {}
    with workers.serving():
        for number in range(-_WARM_UP, count):
            _tell(number, committed)
            time.sleep(random.uniform(0.03, 0.06))
        workers.wait_until(lambda: committed.keys() <= starts.noted().keys())
        started = starts.noted()
    late = sorted(started[number] - committed[number] for number in range(count))
    return {
        f"{name} ms": 1000 * late[min(count - 1, int(share * count))]
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))
    }


def _tell(number: int, committed: dict[int, float]) -> None:
    if not settings.QUEUE.on_django_connection:
        workers.module().tell(number)
        _note(committed, number)
        return
    with transaction.atomic():
        # Registered before the enqueue, hence called before a NOTIFY that follows the commit.
        transaction.on_commit(partial(_note, committed, number))
        workers.module().tell(number)


def _note(moments: dict[int, float], number: int) -> None:
    moments[number] = time.time()


def idle(seconds: int) -> Numbers:
    """Look at a worker that has nothing to do: its process and all its descendants together."""
    countable = connection.vendor == "postgresql" and settings.QUEUE.traceable
    with ExitStack() as stack:
        trace = stack.enter_context(workers.traced())
        pid = stack.enter_context(workers.serving(trace.environment if countable else None))
        sent, used = trace.statements, meters.seconds(meters.tree(pid))
        time.sleep(seconds)
        processes = meters.tree(pid)
        numbers = {
            "RSS MB": meters.megabytes(processes),
            "processes": float(len(processes)),
            "CPU %": 100 * (meters.seconds(processes) - used) / seconds,
        }
        if countable:
            numbers["statements/s"] = (trace.statements - sent) / seconds
    return numbers
