"""What a worker has done since its start, as plain numbers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from django_flare.states import TRANSITIONS, JobState

CLAIMED = "claimed"
TIMED_OUT = "timed_out"
LEASES_LOST = "leases_lost"

RUN_ENDS = sorted(
    {
        state
        for event in TRANSITIONS.values()
        if JobState.PROCESSING in event.sources
        for state in event.targets
    }
)
"""The states in which a run can leave its job."""


class Tally:
    """Count; one thread writes, others may read at any time."""

    def __init__(self) -> None:
        self.claimed = 0
        self.timed_out = 0
        self.leases_lost = 0
        self._finished = dict.fromkeys(map(str, RUN_ENDS), 0)

    def note_finished(self, state: str, *, timed_out: bool) -> None:
        """Count a run that was recorded and left its job in `state`."""
        self._finished[state] = self._finished.get(state, 0) + 1
        if timed_out:
            self.timed_out += 1

    def counts(self) -> dict[str, int]:
        """Return the runs by the state in which they left their job, and the words above."""
        return {
            **self._finished,
            CLAIMED: self.claimed,
            TIMED_OUT: self.timed_out,
            LEASES_LOST: self.leases_lost,
        }


class Totals:
    """Add up what processes have counted. What one has said last stays when it ends, so no sum ever falls.

    One thread notes, any may ask.
    """

    def __init__(self) -> None:
        self._latest: dict[int, Mapping[str, int]] = {}
        self._ended: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, process: int, counts: Mapping[str, int]) -> None:
        """Learn what a process has counted since its start."""
        with self._lock:
            self._latest[process] = counts

    def end(self, process: int) -> None:
        """Learn that a process has ended; another may have its number from now on."""
        with self._lock:
            self._ended.update(self._latest.pop(process, {}))

    def sums(self) -> Counter[str]:
        """Return the sums, those of the ended ones included."""
        with self._lock:
            sums = Counter(self._ended)
            for counts in self._latest.values():
                sums.update(counts)
            return sums
