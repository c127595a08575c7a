"""The queues that are measured: how each is set up, how one worker of it drains, where its times stand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Queue:
    """One queue. `drain` is the `manage.py` command of a worker that ends when no job is left.

    `fill` is the dotted path of a function that queues n jobs. `span` selects the first start, the
    last end and the number of succeeded jobs. At most `most` jobs are drained, for the slow.
    """

    apps: tuple[str, ...]
    drain: tuple[str, ...]
    fill: str
    span: str
    distribution: str | None = None
    note: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    most: int | None = None

    @property
    def version(self) -> str | None:
        """The installed version, None when it is not installed, empty when it is no distribution."""
        try:
            return version(self.distribution) if self.distribution else ""
        except PackageNotFoundError:
            return None


_FLARE_SPAN = """
    SELECT MIN(started_at), MAX(completed_at), COUNT(*) FROM django_flare_job WHERE state = 'succeeded'
"""

QUEUES = {
    "django_flare": Queue(
        distribution="django-flare",
        apps=("django_flare",),
        drain=("flare_worker", "--burst"),
        fill="benchmarks.jobs.fill",
        span=_FLARE_SPAN,
        note="defaults: 10 slots; results stored",
    ),
    "raw psycopg": Queue(
        apps=("django_flare",),
        drain=("raw_drain",),
        fill="benchmarks.jobs.fill",
        span=_FLARE_SPAN,
        note="the limit: our table, two statements and one commit for 200 jobs, no handlers, no threads",
    ),
    "procrastinate": Queue(
        distribution="procrastinate",
        apps=("procrastinate.contrib.django",),
        drain=("procrastinate", "worker", "--one-shot", "--concurrency", "30"),
        fill="benchmarks.peers.procrastinate_tasks.fill",
        span="""
            SELECT MIN(at) FILTER (WHERE type = 'started'), MAX(at) FILTER (WHERE type = 'succeeded'),
                   COUNT(*) FILTER (WHERE type = 'succeeded')
            FROM procrastinate_events
        """,
        note="async task, --concurrency 30 (good in a short trial), jobs kept; it stores no results",
        settings={"PROCRASTINATE_IMPORT_PATHS": ["benchmarks.peers.procrastinate_tasks"]},
    ),
    "django-tasks-db": Queue(
        distribution="django-tasks-db",
        apps=("django_tasks_db",),
        drain=("db_worker", "--batch", "--no-startup-delay", "--verbosity", "0"),
        fill="benchmarks.peers.django_tasks.fill",
        span="""
            SELECT MIN(started_at), MAX(finished_at), COUNT(*) FROM django_tasks_database_dbtaskresult
            WHERE status = 'SUCCESSFUL'
        """,
        note="persistent connection (CONN_MAX_AGE=None); results stored; 500 jobs at most, as it is slow",
        settings={"TASKS": {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}},
        connection={"CONN_MAX_AGE": None},
        most=500,
    ),
}
