"""Sum up how much work there is and how much has ended in a period that ends now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django_flare.conf import flare_settings
from django_flare.jobs.overview import Capped, read_states
from django_flare.states import FINAL, JobState
from django_flare.status import instant
from django_flare.store import figures as store
from django_flare.store.clock import read_now

PERIODS: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Tell of the jobs in each state now and of how often one reached a final state after `since`.

    Those in a state are counted up to 10,000. Those that ended are all counted, by the minute and over
    periods of more than a day by the hour: what `since` cuts is left out. Times are the database's.
    """

    period: str
    since: datetime
    until: datetime
    states: Mapping[JobState, Capped]
    ended: Mapping[JobState, Capped]

    @property
    def per_minute(self) -> float:
        """Jobs that ended per minute of the period."""
        minutes = (self.until - self.since).total_seconds() / 60
        return round(sum(count.number for count in self.ended.values()) / minutes, 3)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON types, times in RFC 3339 with `Z`."""
        return {
            "period": self.period,
            "since": instant(self.since),
            "until": instant(self.until),
            "states": {state.value: count.as_dict() for state, count in self.states.items()},
            "ended": {state.value: count.as_dict() for state, count in self.ended.items()},
            "ended_per_minute": self.per_minute,
        }


def read_summary(period: str) -> Summary:
    """Return the summary of the period that `PERIODS` names so; it reads no job that has ended long ago."""
    using = flare_settings().database
    until = read_now(using)
    since = until - PERIODS[period]
    counted = store.count_ended(since, using)
    ended = {state: Capped(counted.get(state, 0)) for state in sorted(FINAL)}
    return Summary(period=period, since=since, until=until, states=read_states(using), ended=ended)
