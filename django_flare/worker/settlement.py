"""What follows when the database has answered: runs leave the hand, are counted, logged and signalled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django_flare.lifecycle import finish
from django_flare.lifecycle.finish import Applied
from django_flare.lifecycle.outcomes import Outcome
from django_flare.lifecycle.quarantine import SetAside
from django_flare.worker import reports
from django_flare.worker.hand import Hand
from django_flare.worker.runs import Run
from django_flare.worker.tally import Tally


class Settlement:
    """Settle runs; belongs to the dispatcher's thread. Signals are sent by what `notify` hands them to."""

    def __init__(self, hand: Hand, tally: Tally, notify: Callable[[Callable[[], Any]], Any]) -> None:
        self._hand = hand
        self._tally = tally
        self._notify = notify

    def conclude(self, applied: Applied) -> None:
        """Have no more to do with what was recorded or refused; it may be claimed again in the same turn."""
        for key, state in applied.states.items():
            self._hand.unwritten.pop(key, None)
            run = self._hand.runs.get(key)
            if run is not None:
                self.settle(run, state)
        for outcome in applied.refused:
            self._hand.unwritten.pop(outcome.id, None)
            run = self._hand.runs.pop(outcome.id, None)
            if run is not None:
                self.refuse(run, outcome)

    def settle(self, run: Run, state: str) -> None:
        """Count and tell that the end of the run is recorded."""
        self._hand.release(run)
        self._count_and_tell(run, state)

    def _count_and_tell(self, run: Run, state: str) -> None:
        self._tally.note_finished(state, timed_out=run.outcome is not None and run.outcome.timed_out)
        reports.finished(run, state, self._notify)

    def refuse(self, run: Run, outcome: Outcome) -> None:
        """Count and tell that somebody else has the job (F02), if a handler has begun it, when it is sure."""
        if run.started_at is None:
            return
        if run.uncertain:
            self._hand.doubtful.append((run, outcome))
        else:
            self.note_lost_lease(run)

    def note_lost_lease(self, run: Run) -> None:
        """Count and tell that the outcome of the run is dropped."""
        reports.lost_lease(run)
        self._tally.leases_lost += 1

    def clear_doubts(self, using: str) -> Applied:
        """Ask the rows what became of the doubtful; whoever is not answered asks again (F08)."""
        doubtful = self._hand.doubtful
        if not doubtful:
            return Applied()
        states = finish.look_back([outcome for _, outcome in doubtful], using)
        self._hand.doubtful = []
        for run, outcome in doubtful:
            if outcome.id in states:
                # Not out of the hand: the same job may be there again, with a new run.
                self._count_and_tell(run, states[outcome.id])
            else:
                self.note_lost_lease(run)
        return Applied(states)

    def note_set_aside(self, rows: Iterable[SetAside]) -> None:
        """Count and tell of rows that were sent to the dead letter because they cannot be read (F58)."""
        for row in rows:
            self._tally.claimed += 1
            self._tally.note_finished(row.state, timed_out=False)
            reports.set_aside(row)
