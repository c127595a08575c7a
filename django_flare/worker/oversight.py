"""What a supervisor decides about its children, apart from doing it."""

from __future__ import annotations

import logging
import math
import signal
from dataclasses import dataclass

from django_flare.states import Event
from django_flare.worker.channel import Report

logger = logging.getLogger("django_flare.worker")

SOON = 30.0
"""A child that lives shorter than so many seconds has died soon after its start."""
LONGEST_PAUSE = 30.0
_FIRST_PAUSE = 0.5
_HOPELESS = 3
"""How many processes for each place may die before they could work, until none is expected to."""
STARTS = 60.0
"""Seconds in which a child must have reported for the first time."""
_REPORTS_IN_A_ROW = 2
_SILENT = 2.5
"""Seconds without a report, of which there is one a second, after which a child may be unable to speak."""


class Backoff:
    """How long to wait before a dead child is replaced: not at all, unless they keep dying soon."""

    def __init__(self) -> None:
        self._soon = 0

    def after(self, lifetime: float) -> float:
        """Return the pause after a child that lived for `lifetime` seconds."""
        self._soon = self._soon + 1 if lifetime < SOON else 0
        if self._soon <= 1:
            return 0.0
        return min(LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._soon - 2, 10))


@dataclass(slots=True)
class Watch:
    """What one child has been heard of; all times are of one monotonic clock."""

    started_at: float
    heard_at: float | None = None
    overdue_reports: int = 0
    beatless_reports: int = 0
    _beaten_at: float = -math.inf

    def note(self, report: Report, now: float, limit: float) -> None:
        """Learn from a report."""
        vitals = report.vitals
        self.heard_at = now
        self.overdue_reports = self.overdue_reports + 1 if vitals.overdue > limit else 0
        if not vitals.worker_id or vitals.failing:
            # It has not begun to beat, or nobody could.
            self._beaten_at = now
        elif math.isfinite(vitals.beat_age):
            self._beaten_at = max(self._beaten_at, now - vitals.beat_age)
        beatless = now - max(self._beaten_at, self.started_at)
        self.beatless_reports = self.beatless_reports + 1 if beatless > limit else 0

    def forgive(self, now: float) -> None:
        """Take the silence until now for the supervisor's own, which stood still (F60)."""
        self.started_at = max(self.started_at, now - STARTS / 2)
        self.heard_at = None if self.heard_at is None else now

    @property
    def silent_from(self) -> float:
        """From when on it counts as silent unless it reports; infinite before its first report."""
        return math.inf if self.heard_at is None else self.heard_at + _SILENT

    @property
    def speaks(self) -> bool:
        """Whether its last report came in and complained of a loop of its own."""
        return bool(self.overdue_reports or self.beatless_reports)

    def complaint(self, now: float, limit: float) -> str:
        """Say why the child counts as stuck, "" if it does not.

        It is stuck when it has said nothing for `limit` seconds, or when by two reports in a row its claim
        loop is overdue for longer, or no beat was recorded for longer although the database answers.
        """
        if self.heard_at is None:
            patience = max(limit, STARTS)
            return f"it has said nothing in its first {patience:g} s" * (now - self.started_at > patience)
        if now - self.heard_at > limit:
            return f"it has said nothing for {limit:g} s"
        if self.overdue_reports >= _REPORTS_IN_A_ROW:
            return f"its claim loop has been stuck for {limit:g} s"
        if self.beatless_reports >= _REPORTS_IN_A_ROW:
            return f"no beat of it has been recorded for {limit:g} s, though the database answers"
        return ""


class Starts:
    """Whether children come up, by those that do and those that die before."""

    def __init__(self, processes: int) -> None:
        self._hopeless_from = _HOPELESS * processes
        self._failed = 0
        self._any_came_up = False

    def note_ready(self) -> None:
        """Learn that one has come up."""
        self._any_came_up, self._failed = True, 0

    def note_death(self, fatal: str, code: int) -> str:
        """Learn that one has died before; say why none is expected to come up, "" while one is."""
        self._failed += 1
        if fatal and not self._any_came_up:
            return fatal
        if self._failed < self._hopeless_from:
            return ""
        text = (
            f"{self._failed} processes in a row have died before they could work, the last one: "
            f"{describe_exit(code)}; what they said stands above"
        )
        if self._any_came_up:
            logger.error("%s", text)
            return ""
        return text


def fate(code: int, *, has_ended: bool, was_cut_short: bool) -> Event:
    """Return how the runs end that a child has left behind.

    Nobody is to blame when it had ended in order, as it said, and could not give them back, or was killed
    because it took too long to end; otherwise it died of something, perhaps of one of them: the exit code
    alone proves nothing, since a handler may end its process with 0.
    """
    in_order = has_ended and code == 0
    return Event.RELEASE if in_order or was_cut_short else Event.LOSE


def describe_exit(code: int) -> str:
    """Say how a process ended, by its return code as `subprocess` gives it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
