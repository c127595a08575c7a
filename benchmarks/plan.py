"""Which measurements make up a round, in which order, with how many jobs."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.queues import MARIADB, OURS, POSTGRESQL, QUEUES

STEPS = (
    *("drain", "drain2", "history", "queues", "unknown", "children", "atomic"),
    *("enqueue", "enqueue8", "many", "latency", "statements", "idle"),
    *("create", "read", "list", "refusals", "dashboard"),
)
PAGES = ("dashboard",)
"""Steps that need the admin."""

ONCE = ("statements", "idle", "dashboard")
"""Steps that barely vary, or not by chance."""

ON_POSTGRESQL_ALONE = (
    *("queues", "unknown", "children", "atomic", "statements", "enqueue8"),
    *PAGES,
)
"""Steps of ours with a bound on PostgreSQL only, and of no interest elsewhere."""


class Key(NamedTuple):
    """What one measurement measures."""

    step: str
    queue: str
    database: str


@dataclass(frozen=True)
class Chosen:
    """What the caller wants to see; `databases` are the names of those that are there."""

    steps: Sequence[str]
    queues: Sequence[str]
    databases: Sequence[str]
    counts: dict[str, int]

    def round(self, number: int) -> Iterator[tuple[Key, int]]:
        """Yield each measurement of round `number` and its count."""
        for step in self.steps:
            for name in self.queues:
                for database in self.databases:
                    key = Key(step, name, database)
                    if _takes_part(key, number):
                        yield key, self._count(key)

    def _count(self, key: Key) -> int:
        count = self.counts[key.step]
        return min(count, QUEUES[key.queue].most.get(key.step, count))


def _takes_part(key: Key, number: int) -> bool:
    queue = QUEUES[key.queue]
    if key.step not in queue.steps or key.database not in queue.databases:
        return False
    if key.queue == OURS and key.step in ON_POSTGRESQL_ALONE and key.database != POSTGRESQL:
        return False
    # The long table takes the longest of all to write: where no bound hangs on it, once.
    is_once = (key.step == "history" and (key.queue != OURS or key.database == MARIADB)) or (
        key.step == "list" and key.database != POSTGRESQL
    )
    return number == 0 or not (is_once or key.step in ONCE)


def counts(arguments: Namespace) -> dict[str, int]:
    """Return the count of each step; that of `idle` is seconds."""
    jobs, singles = arguments.jobs, arguments.singles
    drains = dict.fromkeys(STEPS[:7], jobs) | {"statements": jobs, "atomic": max(jobs // 4, 1)}
    return drains | {
        "enqueue": singles,
        "enqueue8": 2 * singles,
        "many": arguments.many,
        "latency": arguments.latencies,
        "idle": arguments.idle,
        "create": arguments.requests,
        "read": arguments.requests,
        "list": min(arguments.requests, 300),
        "refusals": 20,
        "dashboard": arguments.rows,
    }
