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

        One that waits for long runs before it ends may be replaced meanwhile; a second one may not,
        or a short `--max-jobs` with long jobs would gather processes without end.
        """
        is_crowded = sum(child.kill_at == math.inf for child in self.leaving) > 1
        return self.serving is None and now >= self.start_at and not is_crowded

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
