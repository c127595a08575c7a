"""The same jobs for PgQueuer with asyncpg and uvloop, which its documentation calls its fastest driver.

`python -m benchmarks.peers.pgqueuer_tasks MANAGERS BATCH` is a worker as its own benchmark starts it: so many
managers, a connection each, in one process.
"""

import asyncio
import functools
import json
import os
import signal
import sys

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from benchmarks import starts

HISTORY = (
    """
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority, aggregated)
    SELECT -i, 'successful', 'noop', 0, true FROM generate_series(1, {finished}) AS i
    """,
    """
    INSERT INTO pgqueuer (priority, status, entrypoint, payload, execute_after)
    SELECT 0, 'queued', 'noop', '1', now() + interval '1 day' + i * interval '1 second'
    FROM generate_series(1, {future}) AS i
    """,
    "VACUUM (ANALYZE) pgqueuer, pgqueuer_log",
)


async def noop(job: Job) -> None:
    """Do nothing; PgQueuer stores no results."""
    json.loads(job.payload or b"0")


async def tell_start(job: Job) -> None:
    """Note the time at which the handler began."""
    starts.note(json.loads(job.payload or b"0"))


@functools.cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


@functools.cache
def _queries() -> Queries:
    return Queries(AsyncpgDriver(_runner().run(_connect())))


async def _connect() -> asyncpg.Connection:
    return await asyncpg.connect(os.environ["BENCHMARKS_URL"])


@functools.cache
def _watcher() -> asyncpg.Connection:
    return _runner().run(_connect())


def install() -> None:
    """Make its tables, durable as by default, with the autovacuum factors that its documentation advises."""
    _runner().run(_queries().install())
    _runner().run(_queries().optimize_autovacuum())


def one(number: int) -> None:
    _runner().run(_queries().enqueue("noop", b"%d" % number))


def many(count: int) -> int:
    """Queue `count` jobs in one statement."""
    payloads = [b"%d" % number for number in range(count)]
    ids = _runner().run(_queries().enqueue(["noop"] * count, payloads, [0] * count))
    _filled.update(first=min(ids), count=count)
    return count


_filled: dict[str, int] = {}


def done() -> int:
    """Return the number of jobs once none is left: finished jobs leave the table, future ones are older.

    Its own mode `drain` does not end while there are future jobs.
    """
    left = "SELECT EXISTS (SELECT FROM pgqueuer WHERE id >= $1)"
    return 0 if _runner().run(_watcher().fetchval(left, _filled["first"])) else _filled["count"]


def tell(number: int) -> None:
    _runner().run(_queries().enqueue("tell_start", b"%d" % number))


async def work(managers: int, batch: int) -> None:
    """Run until told to stop."""
    running = [PgQueuer(AsyncpgDriver(await _connect())) for _ in range(managers)]

    def stop() -> None:
        for each in running:
            each.shutdown.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    for each in running:
        each.entrypoint("noop")(noop)
        each.entrypoint("tell_start")(tell_start)
    await asyncio.gather(*(each.run(batch_size=batch) for each in running))


if __name__ == "__main__":
    uvloop.run(work(int(sys.argv[1]), int(sys.argv[2])))
