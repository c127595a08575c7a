"""What the dispatcher waits on: finished runs, and reasons to look for work."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue

from django_flare.worker.runs import Run

_GATHERING = 0.005
_GLANCE = 0.001


class Inbox:
    """Collect finished runs and wake-ups from other threads; any number of wake-ups is one."""

    def __init__(self) -> None:
        self._items: SimpleQueue[Run | None] = SimpleQueue()
        self._woken = False

    def put(self, run: Run) -> None:
        """Hand over a finished run."""
        self._items.put(run)

    def wake(self) -> None:
        """Let the dispatcher look for work now."""
        if not self._woken:
            self._woken = True
            self._items.put(None)

    def collect(self, seconds: float, gather: int = 0) -> tuple[list[Run], bool]:
        """Wait up to `seconds` for something; return all finished runs there are, and whether to look.

        Others may join the first for 5 ms, but no longer than until there are `gather` of them.
        """
        finished: list[Run] = []
        try:
            self._take(self._items.get(timeout=max(seconds, 0)), finished)
            until = time.monotonic() + _GATHERING
            while self._items.qsize() + 1 < gather and time.monotonic() < until:
                time.sleep(_GLANCE)
            while True:
                self._take(self._items.get_nowait(), finished)
        except Empty:
            pass
        # Cleared before the look that follows, so that a wake-up from now on causes another.
        woken, self._woken = self._woken, False
        return finished, woken

    def _take(self, item: Run | None, finished: list[Run]) -> None:
        if item is not None:
            finished.append(item)
