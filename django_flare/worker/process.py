"""A worker's service in a process of its own, as the command or a supervisor has started it."""

from __future__ import annotations

import gc
import logging
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from django.db import DatabaseError, connections

from django_flare.models import Worker
from django_flare.worker.options import WorkerOptions, probe_limits
from django_flare.worker.probes import probed
from django_flare.worker.service import WorkerService
from django_flare.worker.service import end_process as end_process
from django_flare.worker.signal_handlers import STOP_SIGNALS, handled

_LOOK = 1.0
_PAGES = Path("/proc/self/statm")


class MissingTablesError(Exception):
    """The database answers and has no tables of ours."""


def spare_collector() -> None:
    """Keep what is loaded by now, which stays to the end, out of what the garbage collector looks through.

    It would do so again and again while jobs run, for tens of milliseconds in which none goes on.
    """
    gc.collect()
    gc.freeze()


def run_alone(options: WorkerOptions) -> bool:
    """Run a worker in this process until it is told to stop or done; tell whether every slot is free.

    Raises MissingTablesError and PortTakenError.
    """
    service = WorkerService(options)
    stops = handled(STOP_SIGNALS, service.stop)
    with probes_of(service, options), stops, watched_memory(service, options):
        return run_service(service, options)


def probes_of(service: WorkerService, options: WorkerOptions) -> AbstractContextManager[None]:
    """Answer probes for a worker without a supervisor meanwhile; raises PortTakenError."""
    return probed(
        options.health_port,
        probe_limits(),
        lambda: [service.vitals()],
        lambda: service.is_stopping,
        lambda: service.vitals().counts,
    )


def run_service(service: WorkerService, options: WorkerOptions) -> bool:
    """Run `service`, and say it by MissingTablesError when nobody has migrated its database."""
    try:
        return service.run()
    except DatabaseError as error:
        if Worker._meta.db_table in connections[options.database].introspection.table_names():
            raise
        raise MissingTablesError(
            f"No tables of django_flare in database {options.database!r}: run manage.py migrate"
        ) from error


class MemoryWatch:
    """Let a worker retire when its process holds more memory than `--max-memory` allows."""

    def __init__(self, service: WorkerService, most: int | None) -> None:
        self._service = service
        self._most = most
        self._has_warned = False

    def look(self) -> None:
        """Compare; before the first run has ended a worker that is too large only says so.

        Otherwise a limit below what the project needs to start would let it start for ever.
        """
        if self._most is None or (held := resident_memory()) <= self._most:
            return
        excess = f"{held >> 20} MiB of memory, --max-memory is {self._most >> 20} MiB"
        if self._service.runs_ended:
            self._service.retire(excess, limited=False)
        elif not self._has_warned:
            self._has_warned = True
            logging.getLogger("django_flare.worker").warning("Before its first job it holds %s", excess)


@contextmanager
def watched_memory(service: WorkerService, options: WorkerOptions) -> Iterator[None]:
    """Look at the memory of this process once a second if it is limited."""
    if options.max_memory is None:
        yield
        return
    watch, over = MemoryWatch(service, options.max_memory), threading.Event()

    def keep_looking() -> None:
        while not over.wait(_LOOK):
            watch.look()

    threading.Thread(target=keep_looking, name="flare-memory", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def resident_memory() -> int:
    """Return how many bytes of memory this process holds; without /proc the most that it ever held."""
    if _PAGES.exists():
        return int(_PAGES.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
