"""The queues that are measured: how each is set up, how its workers are run, where its times stand.

The settings are each queue's own best as far as its documentation, its own benchmark or a short trial tells;
the note, which goes into the results, names them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

OURS = "django_flare"
OURS_HTTP, BARE_HTTP = "django_flare, HTTP", "bare DRF view"
POSTGRESQL, SQLITE, MARIADB, REDIS = "PostgreSQL", "SQLite", "MariaDB", "Redis"

DRAINS = ("drain", "drain2")
ENQUEUES = ("enqueue", "enqueue8", "many")
WAITS = ("latency", "idle")
HTTP = ("create", "read", "list", "refusals")
SINGLES = ("enqueue", "enqueue8")


@dataclass(frozen=True, kw_only=True)
class Queue:
    """One queue; its functions are in `module` (see benchmarks/peers).

    `drain` and `serve` are the arguments to Python of a worker that ends when no job is left and of one that
    does not; without `drain`, `serve` drains, watched through `done`. `span` selects the first start, the
    last end and the number of succeeded jobs; without it what was watched counts. `most` bounds the jobs
    of a step, for the slow.
    """

    module: str
    note: str
    steps: tuple[str, ...]
    apps: tuple[str, ...] = ()
    databases: tuple[str, ...] = (POSTGRESQL,)
    drain: tuple[str, ...] = ()
    serve: tuple[str, ...] = ()
    fill: str = "many"
    one: str = "one"
    span: str | None = None
    distribution: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    most: Mapping[str, int] = field(default_factory=dict)
    on_django_connection: bool = True
    traceable: bool = False

    @property
    def version(self) -> str | None:
        """The installed version, None when it is not installed, empty when it is no distribution."""
        try:
            return version(self.distribution) if self.distribution else ""
        except PackageNotFoundError:
            return None


def _manage(*arguments: str) -> tuple[str, ...]:
    return ("-m", "django", *arguments)


_FLARE_SPAN = """
    SELECT MIN(started_at), MAX(completed_at), COUNT(*) FROM django_flare_job
    WHERE state = 'succeeded' AND worker_id <> ''
"""
_PGQUEUER_SPAN = """
    SELECT MIN(created) FILTER (WHERE status = 'picked'), MAX(created) FILTER (WHERE status = 'successful'),
           COUNT(*) FILTER (WHERE status = 'successful')
    FROM pgqueuer_log WHERE job_id > 0
"""
_PERSISTENT = {"CONN_MAX_AGE": None}
_OURS = {"module": "benchmarks.jobs", "apps": ("django_flare",)}


_SERVED = {
    "apps": ("rest_framework", "django_flare"),
    "connection": _PERSISTENT,
    # Requests are counted as they are by default; nobody gets so far.
    "settings": {"ROOT_URLCONF": "benchmarks.urls", "FLARE": {"API_RATE": "1000000/hour"}},
}


def _pgqueuer(managers: int, batch: int, steps: tuple[str, ...], note: str) -> Queue:
    worker = ("-m", "benchmarks.peers.pgqueuer_tasks", str(managers), str(batch))
    return Queue(
        distribution="pgqueuer",
        module="benchmarks.peers.pgqueuer_tasks",
        steps=steps,
        serve=worker,
        span=_PGQUEUER_SPAN,
        on_django_connection=False,
        most={"latency": 100, "idle": 8},
        note=f"{note}; asyncpg, uvloop, async jobs, durable tables; it stores no results",
    )


def _huey(steps: tuple[str, ...], note: str) -> Queue:
    worker = "-m huey.bin.huey_consumer benchmarks.peers.huey_tasks.huey --workers 2 --no-periodic --quiet"
    return Queue(
        distribution="huey",
        module="benchmarks.peers.huey_tasks",
        databases=(SQLITE,),
        steps=steps,
        serve=tuple(worker.split()),
        on_django_connection=False,
        most={"drain": 4000, "enqueue": 1000, "latency": 100, "idle": 8},
        note=f"SqliteHuey, {note}; 2 worker threads (good in a short trial of 1, 2, 4); results stored",
    )


QUEUES = {
    OURS: Queue(
        **_OURS,
        distribution="django-flare",
        databases=(POSTGRESQL, SQLITE, MARIADB),
        steps=(
            *(*DRAINS, "history", "queues", "unknown", "children", "atomic", "statements"),
            *(*ENQUEUES, *WAITS, "dashboard"),
        ),
        drain=_manage("flare_worker", "--burst"),
        serve=_manage("flare_worker"),
        span=_FLARE_SPAN,
        traceable=True,
        note="defaults: 10 slots; results stored",
    ),
    "django_flare, NOTIFY inside": Queue(
        **_OURS,
        steps=("enqueue8",),
        one="one_notifying_inside",
        settings={"FLARE": {"NOTIFY": False}},
        note="for comparison: the same enqueue with its NOTIFY before the commit",
    ),
    OURS_HTTP: Queue(
        module="benchmarks.jobs",
        databases=(POSTGRESQL, SQLITE, MARIADB),
        steps=HTTP,
        **_SERVED,
        note="gunicorn, 2 workers, persistent connections (CONN_MAX_AGE=None); a key, a rate limit that is"
        " counted, no idempotency key",
    ),
    BARE_HTTP: Queue(
        module="benchmarks.peers.bare",
        databases=(POSTGRESQL, SQLITE, MARIADB),
        steps=("create", "read"),
        **_SERVED,
        note="the same server; a generic view with a ModelSerializer that inserts or reads one row, without"
        " authentication, permissions and throttles",
    ),
    "raw psycopg": Queue(
        module="benchmarks.peers.raw",
        apps=("django_flare",),
        steps=(*DRAINS, *ENQUEUES),
        drain=_manage("raw_drain"),
        fill="fill",
        span=_FLARE_SPAN,
        note="the limit: our table; a drain of two statements and one commit for 200 jobs, no handlers, no"
        " threads; a prepared INSERT without NOTIFY; COPY",
    ),
    "raw psycopg, NOTIFY inside": Queue(
        module="benchmarks.peers.raw",
        apps=("django_flare",),
        steps=SINGLES,
        one="one_notifying_inside",
        note="the same prepared INSERT and a NOTIFY in one transaction",
    ),
    "procrastinate": Queue(
        distribution="procrastinate",
        module="benchmarks.peers.procrastinate_tasks",
        apps=("procrastinate.contrib.django",),
        steps=(*DRAINS, "history", *ENQUEUES, *WAITS),
        drain=_manage("procrastinate", "worker", "--one-shot", "--concurrency", "30"),
        serve=_manage("procrastinate", "worker", "--concurrency", "30"),
        span="""
            SELECT MIN(at) FILTER (WHERE type = 'started'), MAX(at) FILTER (WHERE type = 'succeeded'),
                   COUNT(*) FILTER (WHERE type = 'succeeded')
            FROM procrastinate_events
        """,
        note="through Django; async task, --concurrency 30 (good in a short trial), jobs kept;"
        " it stores no results",
        settings={"PROCRASTINATE_IMPORT_PATHS": ["benchmarks.peers.procrastinate_tasks"]},
        most={"drain": 1500, "drain2": 1500, "history": 100, "latency": 100, "enqueue": 1000, "idle": 8},
    ),
    "django-tasks-db": Queue(
        distribution="django-tasks-db",
        module="benchmarks.peers.tasks_db",
        apps=("django_tasks_db",),
        steps=(*DRAINS, "history", *SINGLES, *WAITS),
        drain=_manage("db_worker", "--batch", "--no-startup-delay", "--verbosity", "0"),
        serve=_manage("db_worker", "--no-startup-delay", "--interval", "0.1", "--verbosity", "0"),
        span="""
            SELECT MIN(started_at), MAX(finished_at), COUNT(*) FROM django_tasks_database_dbtaskresult
            WHERE status = 'SUCCESSFUL' AND worker_ids <> '["w"]'
        """,
        note="persistent connection (CONN_MAX_AGE=None), --interval 0.1; results stored",
        settings={"TASKS": {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}},
        connection=_PERSISTENT,
        most={"drain": 500, "drain2": 500, "history": 50, "latency": 100, "enqueue": 1000, "idle": 8},
    ),
    "django-ox": Queue(
        distribution="django-ox",
        module="benchmarks.peers.ox",
        apps=("django_ox",),
        steps=(*DRAINS, *ENQUEUES, *WAITS),
        drain=_manage("ox_worker", "--batch", "--concurrency", "4"),
        serve=_manage("ox_worker", "--concurrency", "4", "--interval", "0.1"),
        span="""
            SELECT MIN(started_at), MAX(finished_at), COUNT(*) FROM django_ox_oxtask
            WHERE status = 'SUCCESSFUL'
        """,
        note="persistent connections (CONN_MAX_AGE=None), --concurrency 4, --interval 0.1; results stored",
        settings={"TASKS": {"default": {"BACKEND": "django_ox.backend.OxBackend"}}},
        connection=_PERSISTENT,
        most={"drain": 1000, "drain2": 1000, "latency": 100, "enqueue": 1000, "idle": 8},
    ),
    "django-q2": Queue(
        distribution="django-q2",
        module="benchmarks.peers.q2",
        apps=("django_q",),
        steps=(*DRAINS, "history", *SINGLES, *WAITS),
        serve=_manage("qcluster"),
        note="ORM broker, a cluster of 2 workers, bulk 50, queue_limit 500, poll 0.1, save_limit 0 (keeps"
        " all, prunes nothing), persistent connections (CONN_MAX_AGE=None); results stored",
        settings={
            "Q_CLUSTER": {
                "name": "benchmarks",
                "orm": "default",
                "workers": 2,
                "bulk": 50,
                "queue_limit": 500,
                "poll": 0.1,
                "recycle": 100_000,
                "timeout": 60,
                "retry": 600,
                "save_limit": 0,
                "log_level": "ERROR",
            }
        },
        connection=_PERSISTENT,
        most={"drain": 1500, "drain2": 1500, "history": 500, "latency": 100, "enqueue": 1000, "idle": 8},
    ),
    "pgqueuer": _pgqueuer(
        1, 10, (*DRAINS, *ENQUEUES, *WAITS), "defaults: 1 manager (pgq run), batches of 10"
    ),
    "pgqueuer tuned": _pgqueuer(
        1, 200, (*DRAINS, "history"), "1 manager, batches of 200 (good in a short trial of 50 to 500)"
    ),
    "Celery + Redis": Queue(
        distribution="celery",
        module="benchmarks.peers.celery_tasks",
        databases=(REDIS,),
        steps=(*DRAINS, *SINGLES, *WAITS),
        serve=(
            *("-m", "celery", "-A", "benchmarks.peers.celery_tasks", "worker", "--loglevel", "ERROR"),
            *("--pool", "threads", "--concurrency", "4"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ),
        on_django_connection=False,
        most={"drain": 4000, "drain2": 4000, "idle": 8},
        note="4 threads (the best of these, 2 forked processes and solo in a short trial), prefetch"
        " multiplier 128, acknowledged early (its default), no gossip, mingle, heartbeat, events; JSON,"
        " hiredis; results stored in Redis",
    ),
    "huey": _huey(("drain", "enqueue", *WAITS), "fsync=True (what SQLite does by default, and ours)"),
    "huey, fsync off": _huey(("drain", "enqueue"), "fsync=False"),
}
