"""The watchdog of the worker's own lines: what a driver waits for in vain ends after all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from django_flare.worker.lines import Line

logger = logging.getLogger("django_flare.worker")

_TICK = 0.25


class Deadlines(threading.Thread):
    """Hang up where a line has waited longer than its limit for the database (F37).

    Only what is overdue at two looks in a row: when the whole process stood still, its loops get
    the time of one look to go on.
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        super().__init__(name="flare-deadlines", daemon=True)
        self._lines = lines
        self._overdue: dict[Line, float] = {}
        self._hung_up: dict[Line, float] = {}
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(_TICK):
            self.look()

    def stop(self) -> None:
        """End the thread soon."""
        self._stopped.set()

    def look(self) -> None:
        """Hang up what was overdue at the last look already."""
        now = time.monotonic()
        overdue: dict[Line, float] = {}
        for line in self._lines:
            since = line.busy_since
            if since is not None and now - since > line.limit:
                overdue[line] = since
        for line, since in overdue.items():
            if line.can_hang_up and self._overdue.get(line) == since and self._hung_up.get(line) != since:
                self._hung_up[line] = since
                # On a thread of its own: it may have to wait, and the other lines not.
                threading.Thread(target=_hang_up, args=(line, since), daemon=True).start()
        self._overdue = overdue


def _hang_up(line: Line, since: float) -> None:
    logger.warning("The database has not answered for %.0f s; hanging up", time.monotonic() - since)
    try:
        line.hang_up(since)
    except Exception:
        # The connection ended by itself meanwhile, or could not be told.
        logger.debug("Hanging up failed", exc_info=True)
