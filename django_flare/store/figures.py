"""Sum up the rollups of a period: by time, by type, and as histograms."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import QuerySet, Sum

from django_flare.models import Rollup
from django_flare.models.rollup import RAN, WAITED, Level
from django_flare.store.rollups import rollups
from django_flare.store.rows import by_index


class TypeSums(NamedTuple):
    """Hold how many jobs of a type reached an outcome; histograms and seconds are of those that ran."""

    job_type: str
    outcome: str
    number: int
    run_seconds: float
    wait_seconds: float
    ran: tuple[int, ...]
    waited: tuple[int, ...]


def count_ended(since: datetime, using: str) -> dict[str, int]:
    """Return how many jobs reached each outcome since `since`, which should be the beginning of a minute."""
    found = _since(since, using).values_list("outcome").annotate(Sum("count"))
    return dict(found)


def count_by_start(since: datetime, using: str) -> list[tuple[datetime, str, int]]:
    """Return beginning, outcome and number for each minute or hour since `since` in which jobs ended."""
    return list(_since(since, using).values_list("start", "outcome").annotate(Sum("count")))


def sum_by_type(since: datetime, using: str) -> list[TypeSums]:
    """Return what ended since `since`, for each type and outcome."""
    sums: Any = [Sum(name) for name in ("count", "run_seconds", "wait_seconds", *RAN, *WAITED)]
    found = _since(since, using).values_list("job_type", "outcome").annotate(*sums)
    ran, waited = slice(5, 5 + len(RAN)), slice(5 + len(RAN), None)
    return [TypeSums._make([*row[:5], row[ran], row[waited]]) for row in found]


def _since(since: datetime, using: str) -> QuerySet[Rollup]:
    # All levels, named as the index begins with them: a row is at one of them, whatever is being merged.
    found = rollups(using).filter(level__in=list(Level), start__gte=since)
    return by_index(found, "flare_rollup_start").order_by()
