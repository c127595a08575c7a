"""Run jobs until told to stop."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import subprocess
import sys
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django.utils import autoreload

from django_flare.failpoints import activate_from_environment
from django_flare.models import Worker
from django_flare.worker.options import WorkerOptions, read_options
from django_flare.worker.service import WorkerService, end_process

_TRUE = {"1", "true", "yes", "on"}


class Command(BaseCommand):
    """Run a worker in this process."""

    help = "Run jobs until told to stop. Every option can also come from the environment as FLARE_WORKER_…"
    # The check of unapplied migrations would make the start wait for the database.
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--queues",
            default=_environment("QUEUES"),
            help="names, comma-separated, in order of preference; default all",
        )
        add(
            "--concurrency",
            default=_environment("CONCURRENCY"),
            help="how many jobs run at a time; default 10",
        )
        add(
            "--poll-interval",
            default=_environment("POLL_INTERVAL"),
            help="seconds between looks when nothing wakes it",
        )
        add(
            "--burst",
            action="store_true",
            default=_is_true(_environment("BURST")),
            help="exit when nothing is left to run",
        )
        add("--max-jobs", default=_environment("MAX_JOBS"), help="exit after so many attempts")
        add(
            "--shutdown-timeout",
            default=_environment("SHUTDOWN_TIMEOUT"),
            help="seconds that running jobs get; default 30",
        )
        add("--database", default=_environment("DATABASE"), help="alias of the queue's database")

    def handle(self, **given: Any) -> None:
        try:
            options = read_options(given)
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from None
        _ensure_logging()
        activate_from_environment()
        ends_by_itself = options.burst or options.max_jobs is not None
        if settings.DEBUG and not ends_by_itself and _is_started_by_hand():
            _run_with_reloader(options)
        else:
            _run(options)


def _run(options: WorkerOptions) -> None:
    service = WorkerService(options)
    is_main = threading.current_thread() is threading.main_thread()
    before = (
        {number: signal.signal(number, lambda *_: service.stop()) for number in _SIGNALS} if is_main else {}
    )
    try:
        is_free = service.run()
    except DatabaseError as error:
        if _is_migrated(options.database):
            raise
        raise CommandError(
            f"No tables of django_flare in database {options.database!r}: run manage.py migrate"
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not is_free:
        end_process()


def _is_migrated(using: str) -> bool:
    return Worker._meta.db_table in connections[using].introspection.table_names()


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _run_with_reloader(options: WorkerOptions) -> None:
    if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true":
        autoreload.run_with_reloader(_run_reloaded, options)
        return
    # Django's own parent process would kill the child at a signal, with its jobs.
    while (status := _run_child()) == _CHANGED:
        pass
    sys.exit(status)


_CHANGED = 3
"""The exit status by which Django's reloader says that the code has changed."""


def _run_child() -> int:
    environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    child = subprocess.Popen(autoreload.get_child_arguments(), env=environment, close_fds=False)  # noqa: S603 - ourselves
    for number in _SIGNALS:
        signal.signal(number, lambda *_: child.send_signal(signal.SIGTERM))
    return child.wait()


def _run_reloaded(options: WorkerOptions) -> None:
    # The reloader owns the main thread and ends the process by sys.exit, on a change as on SIGTERM.
    service = WorkerService(options)

    def end() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        service.stop()
        service.stop()
        service.ended.wait(10)

    atexit.register(end)
    service.run()


def _is_started_by_hand() -> bool:
    """Tell whether this is `manage.py flare_worker`: only that can be started again by the reloader."""
    return (
        len(sys.argv) > 1
        and sys.argv[1] == "flare_worker"
        and threading.current_thread() is threading.main_thread()
    )


def _environment(name: str) -> str | None:
    return os.environ.get(f"FLARE_WORKER_{name}") or None


def _is_true(value: str | None) -> bool:
    return value is not None and value.lower() in _TRUE


def _ensure_logging() -> None:
    """Log to stderr at INFO unless the project's LOGGING says what to do."""
    logger = logging.getLogger("django_flare")
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
