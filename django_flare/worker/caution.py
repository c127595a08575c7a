"""Suspects, jobs that have lost their worker before, run alone: they may take it along again (F45)."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Container

from django_flare.lifecycle.eligibility import is_suspect
from django_flare.worker.runs import Run

_WARY = 15.0
_WARY_AGAIN = 60.0
_TO_THE_END = 1 / 3
"""How probable it is that another pause lasts until all runs have ended: not in all workers at once."""


class Caution:
    """Know the suspect in hand, and hold back claims for it."""

    def __init__(self) -> None:
        self._suspect: Run | None = None
        self._wary_until = 0.0
        self._wary_again_at = 0.0
        self._pauses = 0

    def note_claimed(self, run: Run) -> None:
        """Remember a suspect that was claimed."""
        if is_suspect(run.row.losses):
            self._suspect, self._pauses = run, 0

    def note_taken_back(self, runs: Container[Run | None]) -> None:
        """Forget the suspect if it was taken back before it started."""
        if self._suspect in runs:
            self._suspect = None

    def make_room(self) -> None:
        """Claim nothing for a while, so that a suspect that waits in the queue may run alone.

        For 15 seconds at first. Where jobs take longer that is never enough; so later pauses may last
        until the runs in hand have ended.
        """
        now = time.monotonic()
        if now < self._wary_again_at:
            return
        is_unlimited = self._pauses and random.random() < _TO_THE_END  # noqa: S311 - spreads rivals
        self._pauses += 1
        self._wary_until = math.inf if is_unlimited else now + _WARY
        self._wary_again_at = now + _WARY_AGAIN

    @property
    def has_made_room(self) -> bool:
        """Whether claims have been held back and nothing but a suspect's turn was the reason."""
        return time.monotonic() < self._wary_until

    def forbids_claims(self, staying: int) -> bool:
        """Whether a suspect runs, beside which nothing may start, or waits for the `staying` runs to end."""
        if self._suspect is not None and self._suspect.outcome is None:
            return True
        return bool(staying) and self.has_made_room

    def note_idle_claim(self) -> None:
        """Be as before: the room was there, and who needed it has it or is gone."""
        self._wary_until = 0.0
