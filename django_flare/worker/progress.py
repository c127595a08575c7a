"""Progress of running jobs, gathered from the slots and written at most twice a second."""

from __future__ import annotations

import time
from collections.abc import Iterable

from django_flare.lifecycle import housekeeping
from django_flare.worker.runs import Run

INTERVAL = 0.5
"""Seconds between two writes."""


class ProgressWriter:
    """Write what handlers have reported since the last write, where the run's fence still holds."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._changed = False
        self._written_at = 0.0

    def note(self) -> None:
        """Remember that some run has reported progress; called from slots."""
        self._changed = True

    def write(self, runs: Iterable[Run]) -> None:
        """Write the progress of `runs` if any has changed and the last write is long enough ago."""
        now = time.monotonic()
        if not self._changed or now - self._written_at < INTERVAL:
            return
        self._changed, self._written_at = False, now
        reported = ((run.row.id, run.row.fence, run.progress.value) for run in runs)
        latest = {(key, fence): value for key, fence, value in reported if value is not None}
        try:
            housekeeping.record_progress(latest, self._using)
        except Exception:
            self._changed = True
            raise
