"""Which jobs a list shows or an action is about: read from a query string, kept as plain data, applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Min, QuerySet, Value
from django.db.models.functions import Substr
from django.db.models.lookups import Exact
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_flare import values
from django_flare.arguments import parse_id
from django_flare.jobs.reading import with_tags
from django_flare.models import Job
from django_flare.models.indexes import Among, Unset
from django_flare.states import FINAL, Event, JobState, sources
from django_flare.store.overview import count_state

MOST_LOOKED_AT = 100_000
"""How many jobs are looked through for what no index finds, the newest first."""
PERIODS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
PARAMETERS = ("state", "queue", "job_type", "created", "created_from", "created_to")

_LONGEST_TEXT = 500
_MOST_SCOPES = 100


@dataclass(frozen=True)
class Found:
    """Hold the rows that match; with `newest_from`, older ones were not looked at."""

    rows: QuerySet[Job]
    newest_from: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Criteria:
    """Select jobs; what is empty or None selects all. `created_to` is exclusive.

    `search` is a job's id, `key=value` of a tag, an idempotency key, or the beginning of a type: the
    first of these that finds anything.
    """

    state: str = ""
    queue: str = ""
    job_type: str = ""
    created_from: datetime | None = None
    created_to: datetime | None = None
    search: str = ""

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Criteria:
        """Read them from text, as a query string or `as_dict` has it; raises ValueError for bad ones."""
        state = _text(given, "state")
        if state:
            state = JobState(state).value
        return cls(
            state=state,
            queue=_text(given, "queue"),
            job_type=_text(given, "job_type"),
            created_from=_moment(given, "created_from") or _ago(_text(given, "created")),
            created_to=_moment(given, "created_to"),
            search=_text(given, "search").strip(),
        )

    def as_dict(self) -> dict[str, str]:
        """Return them as text, without what is empty; periods have become times."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items()
            if value
        }

    def apply(self, rows: QuerySet[Job], *, is_bounded: bool = True) -> Found:
        """Return those of the rows that match.

        Bounded, what no index finds is looked for among the newest 100,000 jobs of the time asked for alone.
        """
        rows = self._in_time(rows)
        exact = _exact(rows, self.search) if self.search else None
        newest_from = self._boundary(rows) if is_bounded and exact is None else None
        rows = self._filtered(rows)
        if exact is not None:
            return Found(rows.filter(pk__in=exact))
        if newest_from is not None:
            rows = rows.filter(created_at__gte=newest_from)
        return Found(_searched(rows, self.search) if self.search else rows, newest_from)

    def _filtered(self, rows: QuerySet[Job]) -> QuerySet[Job]:
        if self.state:
            rows = _in_state(rows, JobState(self.state))
        if self.queue:
            rows = rows.filter(queue=self.queue)
        if self.job_type:
            rows = rows.filter(job_type=self.job_type)
        return rows

    def _in_time(self, rows: QuerySet[Job]) -> QuerySet[Job]:
        if self.created_from is not None:
            rows = rows.filter(created_at__gte=self.created_from)
        if self.created_to is not None:
            rows = rows.filter(created_at__lt=self.created_to)
        return rows

    def _boundary(self, rows: QuerySet[Job]) -> datetime | None:
        """Return from when on jobs are looked through, None where an index serves or there are few."""
        if not (self.search or self.queue or self.job_type):
            return None
        if self.state and count_state(JobState(self.state), MOST_LOOKED_AT + 1, rows.db) <= MOST_LOOKED_AT:
            return None
        newest = rows.order_by("-created_at", "-id").values_list("created_at", flat=True)
        return next(iter(newest[MOST_LOOKED_AT : MOST_LOOKED_AT + 1]), None)


def _in_state(rows: QuerySet[Job], state: JobState) -> QuerySet[Job]:
    """Name the state in the words of the index that holds its rows."""
    if state is JobState.PENDING:
        # Jobs are not gated yet, and so the claim's index serves.
        return rows.filter(Unset("gated"), state=state)
    of_index = next((states for states in (FINAL, sources(Event.DUE)) if state in states), ())
    found = rows.filter(state=state)
    return found.filter(Among(of_index)) if of_index else found


def _searched(rows: QuerySet[Job], term: str) -> QuerySet[Job]:
    key, is_tag, value = term.partition("=")
    if is_tag:
        return with_tags(rows, {key: value})
    # By comparison of a part: LIKE has wildcards, and letters of either case are one on SQLite.
    return rows.filter(Exact(Substr("job_type", 1, len(term)), Value(term)))


def _exact(rows: QuerySet[Job], term: str) -> list[int] | None:
    """Return the keys of the jobs that have the term as id or as idempotency key; None if there are none."""
    public_id = parse_id(term)
    if public_id is not None:
        found = list(rows.order_by().filter(public_id=public_id).values_list("pk", flat=True))
        if found:
            return found
    return _by_idempotency_key(rows.order_by(), term) or None


def _by_idempotency_key(rows: QuerySet[Job], key: str) -> list[int]:
    """Ask for the key in one scope after the other: the scope leads the index."""
    if len(key) > values.MAX_KEY_LENGTH:
        return []
    keyed = Job.objects.filter(idempotency_key__isnull=False)
    scope: str | None = ""
    scopes: list[str] = []
    while scope is not None and len(scopes) < _MOST_SCOPES:
        scopes.append(scope)
        scope = keyed.filter(idempotency_scope__gt=scope).aggregate(next=Min("idempotency_scope"))["next"]
    found = rows.filter(idempotency_key=key, idempotency_scope__in=scopes)
    return list(found.values_list("pk", flat=True))


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or values.bad_character(value):
        raise ValueError(name)
    return value


def _moment(given: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(given, name)
    if not text:
        return None
    moment = parse_datetime(text)
    if moment is None or not 1900 <= moment.year <= 9000:
        raise ValueError(name)
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _ago(period: str) -> datetime | None:
    if not period:
        return None
    if period not in PERIODS:
        raise ValueError(period)
    return timezone.now() - PERIODS[period]
