"""How many jobs a worker wants in hand: its slots, and some more while jobs are short."""

from __future__ import annotations

_SHORT = 0.05
_AHEAD = 0.1
_MOST_AHEAD = 400
_SHORTEST = 1e-5


class Appetite:
    """Fetch ahead by time, not by count.

    While the mean run is under 50 ms, jobs for 100 ms of all slots are in hand beside the running
    ones, at most 400, so that no slot waits for the database; longer jobs are never buffered
    behind each other. More are fetched when half of those ahead are used up: a claim of many rows
    costs hardly more than that of one.
    """

    def __init__(self, slots: int, max_jobs: int | None) -> None:
        self._slots = slots
        self._left = max_jobs
        self._mean: float | None = None

    def note(self, duration: float) -> None:
        """Learn from a finished run that took `duration` seconds."""
        self._mean = duration if self._mean is None else 0.9 * self._mean + 0.1 * duration

    def note_stall(self) -> None:
        """Learn that runs take longer than they did: fetch nothing ahead until shorter ones have finished."""
        self._mean = _SHORT

    def note_claimed(self, count: int) -> None:
        """Count claimed jobs against `--max-jobs`; negative for those given back unstarted."""
        if self._left is not None:
            self._left -= count

    @property
    def is_satisfied(self) -> bool:
        """Whether `--max-jobs` attempts have been claimed."""
        return self._left is not None and self._left <= 0

    def surplus(self, in_hand: int) -> int:
        """Return how many of the `in_hand` jobs may end before there is room for others."""
        return max(0, in_hand - self._slots - self._ahead() // 2)

    def room(self, in_hand: int) -> int:
        """Return how many jobs to claim beside the `in_hand` ones; 0 while there are enough."""
        if self.surplus(in_hand):
            return 0
        room = self._slots + self._ahead() - in_hand
        return room if self._left is None else min(room, self._left)

    def _ahead(self) -> int:
        if self._mean is None or self._mean >= _SHORT:
            return 0
        return min(_MOST_AHEAD, int(self._slots * _AHEAD / max(self._mean, _SHORTEST)))
