"""The jobs of django_flare that are measured, and how they come into the queue.

`one`, `many`, `tell` are what every queue has (see benchmarks/peers); the others fill for one step each.
"""

from typing import Any

from django.db import connection, transaction
from django.utils.module_loading import import_string

from benchmarks import starts
from django_flare import job, jobs

_CHUNK = 500
UNKNOWN_ROWS = 20_000


@job
def noop(payload: dict[str, Any]) -> dict[str, Any]:
    """Do nothing, with a result to store."""
    return {"done": payload["number"]}


@job(atomic=True)
def atomic_noop(payload: dict[str, Any]) -> dict[str, Any]:
    """Do nothing in the transaction that records the success."""
    return {"done": payload["number"]}


@job
def tell_start(payload: dict[str, Any]) -> dict[str, int]:
    """Note the time at which the handler began."""
    return starts.note(payload["number"])


def one(number: int) -> None:
    """Queue one job in a transaction of its own."""
    jobs.enqueue(noop, {"number": number})


def one_notifying_inside(number: int) -> None:
    """Queue one job and notify before the commit; the setting NOTIFY is off, so that this is the only one."""
    with transaction.atomic():
        jobs.enqueue(noop, {"number": number})
        with connection.cursor() as cursor:
            cursor.execute("NOTIFY django_flare")


def many(count: int) -> int:
    """Queue `count` jobs in one call; return how many are to succeed, as all functions below do."""
    jobs.enqueue_many(noop, _numbers(count))
    return count


def tell(number: int) -> None:
    """Queue one job that notes its start."""
    jobs.enqueue(tell_start, {"number": number})


def ten_queues(count: int) -> int:
    """Spread `count` jobs over ten queues."""
    for number in range(10):
        jobs.enqueue_many(noop, _numbers(count // 10), queue=f"queue-{number}")
    return count // 10 * 10


def behind_unknown(count: int) -> int:
    """Queue `count` jobs behind 20,000 of a type that no worker knows, in one queue."""
    unknown = import_string("benchmarks.unknown.unknown")
    jobs.enqueue_many(unknown, _numbers(UNKNOWN_ROWS))
    return many(count)


def with_children(count: int) -> int:
    """Queue half of `count` as parents, the other half as one child of each."""
    parents = jobs.enqueue_many(noop, _numbers(count // 2))
    for start in range(0, len(parents), _CHUNK):
        with transaction.atomic():
            for parent in parents[start : start + _CHUNK]:
                jobs.continue_with(parent, noop, {"number": 0})
    return 2 * len(parents)


def atomics(count: int) -> int:
    """Queue `count` jobs that are declared with `atomic=True`."""
    jobs.enqueue_many(atomic_noop, _numbers(count))
    return count


def _numbers(count: int) -> list[dict[str, int]]:
    return [{"number": number} for number in range(count)]
