"""What a worker process tells of itself: the one source of probes, metrics and the supervisor's watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Say how a worker's loops do at this moment; all times are seconds.

    `overdue` is by how much the claim loop should have come round and has not, 0 while it waits as it
    should; `failing` for how long its turns have failed, 0 when the database answered the last one;
    `beat_age` how old the newest recorded beat is, infinite before the first.
    `counts` is what the process has done since its start, see `Tally.counts`.
    """

    worker_id: str
    slots: int
    running: int
    overdue: float
    failing: float
    beat_age: float
    counts: Mapping[str, int] = field(default_factory=dict)


class Limits(NamedTuple):
    """Say from how many seconds on something is wrong."""

    overdue: float
    beat_age: float
    lost_beat: float
