"""The figures that django_flare is to reach, each with its bound and with what we aim at beyond it.

Ratios are of medians of one interleaved run: they say more than rates, which are those of a machine.
"""

from dataclasses import dataclass

from benchmarks.figures import Figures, Read, ratio, value
from benchmarks.queues import BARE_HTTP, MARIADB, OURS, OURS_HTTP, POSTGRESQL, REDIS, SQLITE

_RATE = "jobs/s"
_MARIADB_POLL_MS = 200


@dataclass(frozen=True)
class Figure:
    """One figure; `bound` and `goal` are least values, or most where smaller is better."""

    label: str
    read: Read
    bound: float | None = None
    goal: float | None = None
    smaller: bool = False

    def cells(self, figures: Figures) -> tuple[str, str, str, str]:
        """Return the label, what was measured, the bound and the goal; – for what there is not."""
        measured = self.read(figures)
        return (
            self.label,
            number(measured),
            self._limit(self.bound, measured),
            self._limit(self.goal, measured),
        )

    def _limit(self, limit: float | None, measured: float | None) -> str:
        if limit is None:
            return "–"
        text = f"{'≤' if self.smaller else '≥'} {number(limit)}"
        if measured is None:
            return text
        is_met = measured <= limit if self.smaller else measured >= limit
        return f"{text} {'✓' if is_met else '✗'}"


def number(measured: float | None) -> str:
    """Return a number as it reads best."""
    if measured is None:
        return "–"
    return f"{measured:,.0f}" if abs(measured) >= 100 else f"{measured:.3g}"


def _ours(step: str, name: str = _RATE, database: str = POSTGRESQL) -> Read:
    return value(step, OURS, database, name)


def _drained(queue: str, step: str = "drain", database: str = POSTGRESQL) -> Read:
    return value(step, queue, database, _RATE)


def _beside(step: str, queue: str, database: str = POSTGRESQL) -> Read:
    return ratio(_ours(step), value(step, queue, database, _RATE))


def _history(database: str) -> Read:
    return ratio(_ours("history", database=database), _ours("drain", database=database))


def _served(step: str, name: str = "requests/s", database: str = POSTGRESQL, queue: str = OURS_HTTP) -> Read:
    return value(step, queue, database, name)


def _beside_bare(step: str, database: str = POSTGRESQL) -> Read:
    return ratio(_served(step, database=database), _served(step, database=database, queue=BARE_HTTP))


_DRAIN = _ours("drain")

FIGURES = (
    Figure("drain, × the raw psycopg loop", _beside("drain", "raw psycopg"), 0.4, 0.7),
    Figure("drain, × procrastinate", _beside("drain", "procrastinate"), 15),
    Figure("drain, × django-tasks-db", _beside("drain", "django-tasks-db"), 30),
    Figure("drain, × Celery + Redis", _beside("drain", "Celery + Redis", REDIS), 10),
    Figure("drain, × django-ox", _beside("drain", "django-ox")),
    Figure("drain, × django-q2", _beside("drain", "django-q2")),
    Figure("drain, × pgqueuer tuned", _beside("drain", "pgqueuer tuned"), None, 1),
    Figure("drain, 2 processes, × one", ratio(_ours("drain2"), _DRAIN), 1.4),
    Figure("drain, 2 processes, × pgqueuer tuned", _beside("drain2", "pgqueuer tuned"), None, 1),
    Figure("drain behind history, × empty, PostgreSQL", _history(POSTGRESQL), 0.9),
    Figure("drain behind history, × empty, SQLite", _history(SQLITE), 0.9),
    Figure("drain behind history, × empty, MariaDB", _history(MARIADB)),
    Figure("drain of ten queues, × one queue", ratio(_ours("queues"), _DRAIN), 0.7),
    Figure("drain behind 20,000 rows of an unknown type, ×", ratio(_ours("unknown"), _DRAIN), 0.7),
    Figure("drain of jobs with a child each, × without", ratio(_ours("children"), _DRAIN), 0.35),
    Figure("drain of atomic jobs, jobs/s", _ours("atomic"), 1500),
    Figure("pick-up p50, PostgreSQL, ms", _ours("latency", "p50 ms"), 3, 2, smaller=True),
    Figure("pick-up p99, PostgreSQL, ms", _ours("latency", "p99 ms"), 8, 4, smaller=True),
    Figure("pick-up p50, Celery + Redis, ms", value("latency", "Celery + Redis", REDIS, "p50 ms")),
    Figure("pick-up p99, Celery + Redis, ms", value("latency", "Celery + Redis", REDIS, "p99 ms")),
    Figure("pick-up p99, SQLite, ms", _ours("latency", "p99 ms", SQLITE), 30, smaller=True),
    Figure(
        "pick-up p99, MariaDB, ms", _ours("latency", "p99 ms", MARIADB), 1.2 * _MARIADB_POLL_MS, smaller=True
    ),
    Figure("enqueue, × a raw prepared INSERT", _beside("enqueue", "raw psycopg"), 0.5, 0.65),
    Figure("enqueue, × procrastinate", _beside("enqueue", "procrastinate"), 1),
    Figure("enqueue, × django-tasks-db", _beside("enqueue", "django-tasks-db"), 1),
    Figure("enqueue, × django-ox", _beside("enqueue", "django-ox"), 1),
    Figure("enqueue, × django-q2", _beside("enqueue", "django-q2"), 1),
    Figure("enqueue, × pgqueuer", _beside("enqueue", "pgqueuer")),
    # Of like and like: beside bare SQL two cores are busy long before the server's lock on notifications is.
    Figure(
        "enqueue from 8 processes, × with NOTIFY inside the transaction",
        _beside("enqueue8", "django_flare, NOTIFY inside"),
        1.3,
    ),
    Figure(
        "the same, × raw INSERT and NOTIFY in one transaction",
        _beside("enqueue8", "raw psycopg, NOTIFY inside"),
    ),
    Figure("enqueue_many, × procrastinate", _beside("many", "procrastinate"), 2),
    Figure("enqueue_many, × COPY", _beside("many", "raw psycopg"), None, 0.6),
    Figure("statements per drained job", _ours("statements", "statements/job"), 0.05, 0.02, smaller=True),
    Figure("commits per drained job", _ours("drain", "commits/job"), 0.03, 0.01, smaller=True),
    Figure("WAL bytes per drained job", _ours("drain", "WAL bytes/job")),
    Figure("server CPU per drained job, µs", _ours("drain", "server CPU µs/job")),
    Figure("idle worker, RSS MB, all its processes", _ours("idle", "RSS MB"), 110, smaller=True),
    Figure("idle worker, statements/s", _ours("idle", "statements/s"), 2.5, smaller=True),
    Figure("dashboard beside 5,000,000 rows, ms", _ours("dashboard", "ms"), 200, smaller=True),
    Figure("idle worker, CPU %", _ours("idle", "CPU %"), 0.5, smaller=True),
    Figure(
        "drain, SQLite, × huey with fsync",
        ratio(_ours("drain", database=SQLITE), _drained("huey", database=SQLITE)),
        2,
        8,
    ),
    Figure(
        "drain, SQLite, × huey without fsync",
        ratio(_ours("drain", database=SQLITE), _drained("huey, fsync off", database=SQLITE)),
    ),
    Figure("POST v1/jobs, requests/s, × a bare DRF view", _beside_bare("create"), 0.7),
    Figure("GET v1/jobs/{id}, requests/s, × a bare DRF view", _beside_bare("read"), 0.7),
    Figure("POST v1/jobs, p50, ms", _served("create", "p50 ms")),
    Figure("the same, a bare DRF view", _served("create", "p50 ms", queue=BARE_HTTP)),
    Figure("GET v1/jobs/{id}, p50, ms", _served("read", "p50 ms")),
    Figure("that, a bare DRF view", _served("read", "p50 ms", queue=BARE_HTTP)),
    Figure("list of 100 behind history, statements", _served("list", "statements"), 2, smaller=True),
    Figure(
        "list of 100 behind history, p99, × the same of 1,000 rows",
        ratio(_served("list", "long p99 ms"), _served("list", "short p99 ms")),
        2,
        smaller=True,
    ),
    *(
        Figure(f"search behind history that finds nothing, {name}, ms", _served("list", "search ms", name))
        for name in (POSTGRESQL, SQLITE, MARIADB)
    ),
    *(
        Figure(f"refusing {what}, ms", _served("refusals", f"{what} ms"), 100, smaller=True)
        for what in ("20 MB", "20 MB sent", "500,000 levels", "10,000 filters")
    ),
)
