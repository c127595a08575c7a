"""Read how much has ended over a period, how long it took and what failed, from the rollups."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db.models import QuerySet

from django_flare.conf import flare_settings
from django_flare.models import Job
from django_flare.models.rollup import BOUNDS
from django_flare.states import JobState
from django_flare.store import figures as store
from django_flare.store import overview
from django_flare.store.clock import read_now
from django_flare.store.figures import TypeSums
from django_flare.store.overview import EndedRow as EndedRow

FAILURES = (JobState.FAILED, JobState.DEAD_LETTER)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scale:
    """Divide a period into `bars` of the length `step`, which is whole minutes, or hours beyond a day."""

    bars: int
    step: timedelta

    def starts(self, now: datetime) -> list[datetime]:
        """Return the beginnings of the bars; the last is the one that `now` is in."""
        last = now - (now - _EPOCH) % self.step
        return [last - self.step * place for place in reversed(range(self.bars))]


SCALES: Mapping[str, Scale] = {
    "1h": Scale(60, timedelta(minutes=1)),
    "24h": Scale(96, timedelta(minutes=15)),
    "7d": Scale(84, timedelta(hours=2)),
}


@dataclass(slots=True)
class Spans:
    """Tell how long something took, from a histogram by `BOUNDS`; `seconds` is the sum."""

    seconds: float = 0.0
    classes: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))

    def add(self, seconds: float, classes: Iterable[int]) -> None:
        """Add others."""
        self.seconds += seconds
        self.classes = [one + other for one, other in zip(self.classes, classes, strict=True)]

    @property
    def mean(self) -> float | None:
        """The mean in seconds; None of nothing."""
        number = sum(self.classes)
        return self.seconds / number if number else None

    def percentile(self, share: float) -> float | None:
        """Return below how many seconds `share` of all stay; infinity beyond the last bound, None of nothing.

        Within a class it is interpolated, so it is off by less than the class is wide.
        """
        wanted = share * sum(self.classes)
        if not wanted:
            return None
        for low, high, number in zip((0.0, *BOUNDS), (*BOUNDS, math.inf), self.classes, strict=True):
            if number and wanted <= number:
                return high if high == math.inf else low + (high - low) * wanted / number
            wanted -= number
        return math.inf


@dataclass(slots=True)
class TypeFigures:
    """Tell of one job type how often its jobs reached each state, and how long they ran and waited."""

    job_type: str
    counts: Counter[str] = field(default_factory=Counter)
    ran: Spans = field(default_factory=Spans)
    waited: Spans = field(default_factory=Spans)

    @property
    def ended(self) -> int:
        """How often one of its jobs ended or failed."""
        return self.counts.total()

    @property
    def failures(self) -> int:
        """How often one failed, for now or for good."""
        return sum(self.counts[state] for state in FAILURES)

    def add(self, sums: TypeSums) -> None:
        """Add the jobs that reached one outcome."""
        self.counts[sums.outcome] += sums.number
        self.ran.add(sums.run_seconds, sums.ran)
        self.waited.add(sums.wait_seconds, sums.waited)


@dataclass(frozen=True, slots=True)
class Bar:
    """Tell how often a job reached each state from `start` until the next bar."""

    start: datetime
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Tell what ended since the first bar began: by time, by type, all together; times are the database's."""

    scale: Scale
    bars: Sequence[Bar]
    types: Sequence[TypeFigures]
    total: TypeFigures

    def busiest(self, most: int) -> list[TypeFigures]:
        """Return the types whose jobs ended most often."""
        return self._largest(lambda each: each.ended, most)

    def worst(self, most: int) -> list[TypeFigures]:
        """Return the types whose jobs failed most often."""
        return self._largest(lambda each: each.failures, most)

    def _largest(self, size: Callable[[TypeFigures], int], most: int) -> list[TypeFigures]:
        found = sorted(self.types, key=lambda each: (-size(each), each.job_type))
        return [each for each in found if size(each)][:most]


def read_figures(period: str) -> Figures:
    """Return the figures of the period that `SCALES` names so; no job is read, rollups alone."""
    using = flare_settings().database
    scale = SCALES[period]
    starts = scale.starts(read_now(using))
    counted: defaultdict[datetime, Counter[str]] = defaultdict(Counter)
    for start, outcome, number in store.count_by_start(starts[0], using):
        counted[start - (start - _EPOCH) % scale.step][outcome] += number
    types: dict[str, TypeFigures] = {}
    total = TypeFigures("")
    for sums in store.sum_by_type(starts[0], using):
        types.setdefault(sums.job_type, TypeFigures(sums.job_type)).add(sums)
        total.add(sums)
    bars = [Bar(start, counted[start]) for start in starts]
    return Figures(scale=scale, bars=bars, types=list(types.values()), total=total)


def read_dead_letters(most: int, among: QuerySet[Job]) -> list[EndedRow]:
    """Return up to `most` of the jobs `among` which are in the dead letter, the newest first.

    They are looked for among the newest 10,000 dead letters.
    """
    return overview.newest_ended(JobState.DEAD_LETTER, most, among)
