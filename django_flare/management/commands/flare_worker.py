"""Run jobs until told to stop."""

from __future__ import annotations

import logging
import os
import sys
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import autoreload

from django_flare.conf import flare_settings
from django_flare.failpoints import activate_from_environment
from django_flare.worker import logs
from django_flare.worker.channel import Leash, take_leash
from django_flare.worker.errands import STOP_IS_DUE, Errand, take_errand
from django_flare.worker.light_supervisor import take_over
from django_flare.worker.options import WorkerOptions, probe_limits, read_options
from django_flare.worker.probes import PortTakenError
from django_flare.worker.stacks import dump_on_sigquit
from django_flare.worker.supervision import Plan, supervise
from django_flare.worker.supervisor import StartError, Terms

logger = logging.getLogger("django_flare.worker")


class Command(BaseCommand):
    """Run workers in processes of their own under a supervisor, or one in this process."""

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
            "--processes",
            default=_environment("PROCESSES"),
            help="how many processes, each with so many jobs; default 1; 0 for none beside this one",
        )
        add(
            "--poll-interval",
            default=_environment("POLL_INTERVAL"),
            help="seconds between looks when nothing wakes it",
        )
        add(
            "--burst",
            action="store_true",
            default=_environment("BURST"),
            help="exit when nothing is left to run",
        )
        add("--max-jobs", default=_environment("MAX_JOBS"), help="renew a process after so many attempts")
        add(
            "--max-memory",
            default=_environment("MAX_MEMORY"),
            help="renew a process that holds more than so many MiB; 2G is 2048",
        )
        add(
            "--shutdown-timeout",
            default=_environment("SHUTDOWN_TIMEOUT"),
            help="seconds that running jobs get; default 30",
        )
        add("--database", default=_environment("DATABASE"), help="alias of the queue's database")
        add(
            "--health-port",
            default=_environment("HEALTH_PORT"),
            help="answer /livez, /readyz and /metrics on this port of 127.0.0.1",
        )
        add("--log-format", default=_environment("LOG_FORMAT"), help="text (the default) or json")

    def execute(self, *args: Any, **given: Any) -> str | None:
        if given.get("log_format") == "json":
            # Before the system checks, whose warnings are lines of the log too.
            logs.set_up("json")
            given["stderr"] = given.get("stderr") or logs.LoggedOutput()
        return super().execute(*args, **given)

    def handle(self, **given: Any) -> None:
        try:
            options = read_options(given)
        except ValueError as error:
            raise CommandError(str(error), returncode=2) from None
        if options.log_format == "text":
            logs.set_up("text")
        leash, errand = take_leash(), take_errand()
        try:
            if errand is not None:
                _run(errand, options)
            elif leash is None and _is_supervised(options):
                _supervise(options)
            else:
                _work(options, leash)
        except PortTakenError as error:
            raise CommandError(str(error), returncode=2) from None


def _work(options: WorkerOptions, leash: Leash | None) -> None:
    # A supervisor does without the parts of a worker, which would only take memory there.
    from django_flare.worker import child, process, reloading  # noqa: PLC0415

    activate_from_environment()
    if threading.current_thread() is threading.main_thread():
        dump_on_sigquit(options.log_format)
    if leash is not None or _is_started_by_hand():
        process.spare_collector()
    try:
        if leash is not None:
            child.serve(options, leash)
        elif _is_reloaded(options):
            reloading.run_with_reloader(options)
        elif not process.run_alone(options) and _is_started_by_hand():
            # Not the process of somebody who called the command; its own may not wait for a thread to end.
            process.end_process()
    except process.MissingTablesError as error:
        raise CommandError(str(error)) from error


def _is_supervised(options: WorkerOptions) -> bool:
    # Who calls the command from Python, as tests do, means this process and its connections.
    return options.processes > 0 and not options.burst and not _is_reloaded(options) and _is_started_by_hand()


def _is_reloaded(options: WorkerOptions) -> bool:
    ends_by_itself = options.burst or options.max_jobs is not None or options.max_memory is not None
    return settings.DEBUG and not ends_by_itself and _is_started_by_hand()


def _supervise(options: WorkerOptions) -> None:
    plan = Plan(
        # This process has made the checks.
        command=[*map(os.fspath, autoreload.get_child_arguments()), "--skip-checks"],
        terms=Terms(
            processes=options.processes,
            shutdown_timeout=options.shutdown_timeout,
            stuck_after=2 * flare_settings().lease.total_seconds(),
        ),
        limits=probe_limits(),
        health_port=options.health_port,
    )
    reason = take_over(plan, options.log_format)
    logger.info("The supervisor keeps all of Django in memory: %s", reason)
    try:
        supervise(plan)
    except StartError as error:
        raise CommandError(str(error)) from error


def _run(errand: Errand, options: WorkerOptions) -> None:
    from django_flare.worker.recoverer import await_stop, run_errand  # noqa: PLC0415 - as above

    if errand.asks:
        sys.exit(STOP_IS_DUE if await_stop(errand, options.database) else 0)
    if not run_errand(errand, options.database):
        sys.exit(1)


def _is_started_by_hand() -> bool:
    """Tell whether this is `manage.py flare_worker`: only that can be started again by the reloader."""
    return (
        len(sys.argv) > 1
        and sys.argv[1] == "flare_worker"
        and threading.current_thread() is threading.main_thread()
    )


def _environment(name: str) -> str | None:
    return os.environ.get(f"FLARE_WORKER_{name}") or None
