"""The same jobs for Celery with Redis as broker and for the results."""

import os

import redis
from celery import Celery

from benchmarks import starts

URL = os.environ["BENCHMARKS_URL"]
RESULTS = os.environ["BENCHMARKS_RESULTS_URL"]

app = Celery("benchmarks", broker=URL, backend=RESULTS)
app.conf.update(
    worker_prefetch_multiplier=128,  # what its guide advises for many short tasks
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    task_serializer="json",
    result_serializer="json",
)


@app.task
def noop(number: int) -> dict[str, int]:
    """Do nothing, with a result to store."""
    return {"done": number}


@app.task
def tell_start(number: int) -> dict[str, int]:
    """Note the time at which the handler began."""
    return starts.note(number)


def one(number: int) -> None:
    noop.delay(number)


def many(count: int) -> int:
    """Queue `count` jobs, one by one over one connection: there is no other way."""
    for number in range(count):
        one(number)
    return count


def tell(number: int) -> None:
    tell_start.delay(number)


def done() -> int:
    """Count the results, the only keys of their database."""
    return int(_results.dbsize())


_results = redis.Redis.from_url(RESULTS)
