"""How a loop rides out an outage: patiently, and without many words."""

from __future__ import annotations

import logging
import random
import time

from django_flare.store.faults import is_passing

logger = logging.getLogger("django_flare.worker")

_LONGEST_PAUSE = 5.0
_ENOUGH = 10


class Outage:
    """Count the failures in a row, say the first and the end, and let the pauses grow (F33)."""

    def __init__(self) -> None:
        self.failures = 0
        self._began = 0.0

    def note(self, error: Exception | None) -> None:
        """Count a failure; None for one that has been logged already."""
        self.failures = min(self.failures + 1, _ENOUGH)
        if self.failures > 1:
            return
        self._began = time.monotonic()
        if error is not None and is_passing(error):
            logger.warning("The database does not answer; going on when it does: %s", error)
        elif error is not None:
            logger.error("The database refuses what the worker needs; trying again", exc_info=error)

    def end(self) -> None:
        """Forget the failures: something has worked."""
        if self.failures:
            logger.info("Went on after %.1f s", time.monotonic() - self._began)
        self.failures = 0

    @property
    def seconds(self) -> float:
        """For how long it has failed, 0 when the last try has worked."""
        return time.monotonic() - self._began if self.failures else 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next try, random so that rivals spread."""
        return random.uniform(0.1, min(_LONGEST_PAUSE, 0.2 * 2**self.failures))  # noqa: S311 - keeps no secret
