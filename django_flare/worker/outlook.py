"""What a worker knows of the work there is: queues with claimable jobs, and when the next job is due."""

from __future__ import annotations

import time
from collections.abc import Collection

from django_flare.lifecycle import claim, housekeeping
from django_flare.lifecycle.finish import Applied
from django_flare.states import JobState
from django_flare.worker.options import WorkerOptions

_NAMES_LAST = 1.0
_DUE_LASTS = 3.0
"""Seconds that a lost wake-up may hide a due time; at each poll it would cost an idle worker a third more."""
_DUE_LASTS_AT_MOST = 10.0
_DUE_PAUSE = 0.05
_ATTENTIVE_PAUSE = 0.003


class Outlook:
    """Look at the database no more than needed.

    The names of queues are kept a second while claims come back full. The next due time is looked
    up when something may have changed it, and every few seconds in case a wake-up was lost;
    without wake-ups the poll interval is short, and it is looked up at every poll. After a wake-up that
    may stand for several, it looks a few times more within 15 ms.
    """

    def __init__(
        self, options: WorkerOptions, poll_interval: float, *, has_wakeups: bool, attention: float = 0
    ) -> None:
        self._only = options.queues
        self._burst = options.burst
        self.rely(poll_interval, has_wakeups=has_wakeups)
        self._attention = attention
        self._attentive_until = 0.0
        self._names: list[str] = []
        self._last_names: list[str] = []
        self._is_guess = False
        self._look_at = 0.0
        self._due_at: float | None = None
        self._look_at_due_at = 0.0
        self._looked_at_due = 0.0
        self._turns = 0
        self.is_empty = False
        """Whether nothing is claimable or due, as far as the last look and claim have shown."""
        self.mixed: set[str] = set()
        """Queues with jobs of types that this worker does not know, as seen since the last look."""

    def rely(self, poll_interval: float, *, has_wakeups: bool) -> None:
        """Poll at this interval, with wake-ups or without; from any thread, in force after the next look."""
        self._poll_interval = poll_interval
        asked = min(max(_DUE_LASTS, poll_interval), _DUE_LASTS_AT_MOST)
        self._due_lasts = asked if has_wakeups else poll_interval

    @property
    def queues(self) -> list[str]:
        """The queues to claim from, in order: as told, or all in turn."""
        if self._only:
            return [name for name in self._only if name in self._names]
        start = self._turns % len(self._names) if self._names else 0
        return self._names[start:] + self._names[:start]

    @property
    def patience(self) -> float:
        """Seconds until there may be something to do that nobody announces."""
        next_look = min(self._look_at, self._look_at_due_at)
        wake = next_look if self._due_at is None else min(next_look, self._due_at)
        return max(0.0, wake - time.monotonic())

    def look(self, using: str, *, woken: bool) -> None:
        """Promote what is known to be due, and see which queues have claimable jobs if it is time to."""
        now = time.monotonic()
        if woken:
            self._attentive_until = now + self._attention
            self._expect_due_soon()
            self._guess()
        if self._due_at is not None and now >= self._due_at:
            self._look_at_due(using)
        if now >= self._look_at:
            self._names, self._is_guess = claim.claimable_queues(using), False
            self._last_names = self._names or self._last_names
            self._look_at = now + (_NAMES_LAST if self._names else self._pause)
            self.mixed = set()
            self.is_empty = not self.queues

    def look_ahead(self, using: str) -> None:
        """See when the next job is due if it is time to; after the claim, whose jobs need not wait for it."""
        if time.monotonic() >= self._look_at_due_at:
            self._look_at_due(using)

    def note_claim(self, *, found: bool, has_more: bool, mixed: Collection[str] = ()) -> None:
        """Learn from a claim: one that left nothing behind has emptied the queues."""
        self._turns += 1
        self.is_empty = not found and not has_more
        self.mixed.update(mixed)
        if self._is_guess:
            self._is_guess, self._look_at = False, 0.0
        elif not has_more:
            self._names = []
            self._look_at = time.monotonic() + self._pause

    def note_recorded(self, applied: Applied) -> None:
        """Learn from recorded outcomes: children may be claimable now, a retry may be due soon."""
        states = set(applied.states.values())
        if applied.activated or JobState.PENDING in states or (states and self._burst):
            self.is_empty = False
            if not self._names:
                self._look_at = 0.0
        if states - {JobState.SUCCEEDED}:
            self._expect_due_soon()

    @property
    def _pause(self) -> float:
        """Seconds from an empty look to the next: short, then longer, after a wake-up."""
        left = self._attentive_until - time.monotonic()
        if left <= 0:
            return self._poll_interval
        return max(_ATTENTIVE_PAUSE, self._attention - left)

    def _guess(self) -> None:
        """Claim from the queues that had jobs last and look after that: the first job waits less."""
        if not self._names and not self._burst:
            self._names = self._last_names
            self._is_guess = bool(self.queues)
        if not self._is_guess:
            self._look_at = 0.0

    def _expect_due_soon(self) -> None:
        # Not at once each time: under a storm of wake-ups every turn would ask. A burst ends by what
        # the next look finds, so that comes at once.
        pause = 0.0 if self._burst else _DUE_PAUSE
        self._look_at_due_at = min(self._look_at_due_at, self._looked_at_due + pause)

    def _look_at_due(self, using: str) -> None:
        wait = housekeeping.next_due(using)
        if wait is not None and wait <= 0:
            if housekeeping.promote_due(using):
                self._look_at, self.is_empty = 0.0, False
            # There may be more than one batch; a row that stays due is locked by somebody else.
            wait = _DUE_PAUSE
        self._looked_at_due = time.monotonic()
        self._due_at = None if wait is None else self._looked_at_due + wait
        self._look_at_due_at = self._looked_at_due + self._due_lasts
        if self._looked_at_due < self._attentive_until:
            # Once more when all that the wake-up stands for has been committed.
            self._look_at_due_at = max(self._attentive_until, self._looked_at_due + _DUE_PAUSE)
