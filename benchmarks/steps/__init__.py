"""The measurements. Each runs in a process and a database of its own and returns named numbers."""

from collections.abc import Callable
from functools import partial

from benchmarks.steps import drains, enqueues, pages, requests, waiting

Numbers = dict[str, float]

STEPS: dict[str, Callable[[int], Numbers]] = {
    "drain": drains.drain,
    "drain2": partial(drains.drain, workers_at_once=2),
    "history": partial(drains.drain, behind_history=True),
    "queues": partial(drains.drain, fill="ten_queues"),
    "unknown": partial(drains.drain, fill="behind_unknown"),
    "children": partial(drains.drain, fill="with_children"),
    "atomic": partial(drains.drain, fill="atomics"),
    "statements": drains.statements,
    "latency": waiting.latency,
    "idle": waiting.idle,
    "enqueue": enqueues.enqueue,
    "enqueue8": enqueues.enqueue_at_once,
    "many": enqueues.many,
    "create": requests.create,
    "read": requests.read,
    "list": requests.listing,
    "refusals": requests.refusals,
    "dashboard": pages.dashboard,
}
