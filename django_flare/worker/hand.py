"""What a worker has in hand: its runs, and the outcomes that are not yet written."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from django_flare.lifecycle.outcomes import Outcome
from django_flare.worker.runs import EndReason, Run


class Hand:
    """Keep track of the claimed; belongs to the dispatcher's thread but for what says otherwise."""

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}
        """Runs claimed and not yet recorded, by key; other threads only read it."""
        self.unwritten: dict[int, Outcome] = {}
        """Outcomes to be written, by key."""
        self.doubtful: list[tuple[Run, Outcome]] = []
        """Refused outcomes that may have been recorded before, when no answer came; the row tells (F08)."""
        self._orphans: deque[Outcome] = deque()
        self._dropped: list[Run] = []

    def __bool__(self) -> bool:
        return bool(self.runs or self.unwritten or self.doubtful)

    def holds(self, run: Run) -> bool:
        """Tell whether `run` is this worker's; a job that was lost may be here again by another run."""
        return self.runs.get(run.row.id) is run

    def staying_beside(self, outcomes: Iterable[Outcome]) -> int:
        """Count the runs that are still in hand when `outcomes` are recorded."""
        return len(self.runs) - sum(outcome.id in self.runs for outcome in outcomes)

    def release(self, run: Run) -> None:
        """Have no more to do with a run that is recorded."""
        if self.holds(run):
            del self.runs[run.row.id]

    def note_unwritten(self, outcome: Outcome) -> None:
        """Have `outcome` written, unless there is one of this job already."""
        self.unwritten.setdefault(outcome.id, outcome)

    def mark_uncertain(self) -> None:
        """Note that a commit failed in a way that leaves open whether it happened (F08)."""
        for key in list(self.unwritten):
            if key in self.runs:
                self.runs[key].uncertain = True

    # Rows that this worker holds and nobody runs.

    def add_orphans(self, outcomes: Iterable[Outcome]) -> None:
        """Take over rows to give back; called from other threads."""
        self._orphans.extend(outcomes)

    def give_back_orphans(self) -> None:
        """Have the orphans written that have not come in hand between their claim and now."""
        while self._orphans:
            outcome = self._orphans.popleft()
            if outcome.id not in self.runs:
                self.note_unwritten(outcome)

    # Runs whose lease was lost.

    def drop(self, run: Run) -> Outcome | None:
        """Forget a run about whose job others decide now (F05); return the outcome that goes with it."""
        run.tell_to_end(EndReason.LEASE_LOST)
        del self.runs[run.row.id]
        if run.started_at is not None:
            self._dropped.append(run)
        return self.unwritten.pop(run.row.id, None)

    def count_dropped(self) -> int:
        """Count the dropped runs that still keep a slot from other jobs."""
        self._dropped = [run for run in self._dropped if run.outcome is None]
        return len(self._dropped)
