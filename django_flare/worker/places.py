"""Where a supervisor keeps its children: one that serves, and those on their way out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from django_flare.worker.children import ChildProcess
from django_flare.worker.oversight import Backoff


@dataclass(slots=True)
class Place:
    """Where one child serves at a time, beside others that are on their way out."""

    serving: ChildProcess | None = None
    leaving: list[ChildProcess] = field(default_factory=list)
    start_at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)

    def is_vacant(self, now: float) -> bool:
        """Whether to start a child now.

        Children that wait for long runs before they end are replaced meanwhile, until those runs are more
        than a place has slots: so a short `--max-jobs` with long jobs gathers no processes without end.
        """
        return self.serving is None and now >= self.start_at and not self._is_crowded()

    def _is_crowded(self) -> bool:
        unlimited = [
            child.report.vitals for child in self.leaving if child.kill_at == math.inf and child.report
        ]
        return bool(unlimited) and sum(max(1, each.running) for each in unlimited) > unlimited[0].slots

    def remove(self, child: ChildProcess) -> None:
        """Forget a child that serves here or leaves."""
        if self.serving is child:
            self.serving = None
        else:
            self.leaving.remove(child)

    @property
    def children(self) -> list[ChildProcess]:
        """All that run here."""
        return [*self.leaving, *([self.serving] if self.serving else [])]
