"""What a worker does for everybody, on a thread and a connection of its own: it may wait and be slow."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError

from django_flare.conf import flare_settings
from django_flare.lifecycle import housekeeping, recovery, retention, rollups
from django_flare.worker.lines import Line

logger = logging.getLogger("django_flare.worker")

_REPAIR_INTERVAL = 300.0
_PRUNE_INTERVAL = 60.0
_MOMENT = 0.5
_MERGE_INTERVAL = 10.0
_THIN_INTERVAL = 300.0


class Housekeeper(threading.Thread):
    """Take back what vanished workers held, settle what cascades missed, delete what has expired,
    put together what was counted.

    Only while `is_steady` says that this worker's own beats are on time.
    """

    def __init__(self, is_steady: Callable[[], bool], using: str) -> None:
        super().__init__(name="flare-housekeeper", daemon=True)
        settings = flare_settings()
        self._is_steady = is_steady
        self._using = using
        self._interval = settings.beat.total_seconds()
        self._lease = settings.lease
        self.line = Line(using, settings.lease.total_seconds())
        self._keep = settings.keep
        self._stopped = threading.Event()
        self._next_repair = time.monotonic() + _REPAIR_INTERVAL
        self._next_prune = time.monotonic() + _PRUNE_INTERVAL
        self._next_merge = time.monotonic() + random.uniform(0, _MERGE_INTERVAL)  # noqa: S311 - spreads workers
        self._next_thinning = time.monotonic() + _PRUNE_INTERVAL

    def run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                if self._is_steady():
                    with self.line:
                        self._keep_house()
            except (DatabaseError, InterfaceError) as error:
                logger.warning("Housekeeping failed and will be tried again: %s", error)
                self.line.drop()
            except Exception:
                logger.exception("Housekeeping failed and will be tried again")
                self.line.drop()
        self.line.drop()

    def stop(self) -> None:
        """End the thread soon."""
        self._stopped.set()

    def _keep_house(self) -> None:
        lost = recovery.recover(self._lease, self._using)
        if lost:
            logger.warning("Took back %d jobs whose workers have vanished", lost)
        if time.monotonic() >= self._next_repair:
            self._next_repair = time.monotonic() + _REPAIR_INTERVAL
            repaired = housekeeping.repair_children(self._using)
            if repaired:
                logger.warning("Settled %d waiting jobs whose parents had all ended", repaired)
        if time.monotonic() >= self._next_prune:
            more = self._for_a_moment(lambda: retention.prune(self._keep, self._using))
            self._next_prune = time.monotonic() + (0 if more else _PRUNE_INTERVAL)
        if time.monotonic() >= self._next_merge:
            more = self._for_a_moment(lambda: rollups.merge(self._using))
            self._next_merge = time.monotonic() + (0 if more else _MERGE_INTERVAL)
        if time.monotonic() >= self._next_thinning:
            more = self._for_a_moment(lambda: rollups.thin_out(self._using))
            self._next_thinning = time.monotonic() + (0 if more else _THIN_INTERVAL)

    def _for_a_moment(self, work: Callable[[], object]) -> bool:
        """Do `work` again and again while it says that there is more; tell whether it still says so."""
        until = time.monotonic() + _MOMENT
        while work():
            if time.monotonic() > until or self._stopped.is_set():
                return True
        return False
