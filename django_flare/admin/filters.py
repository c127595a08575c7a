"""The filters beside the list of jobs: each shows choices from a bounded source.

They only show and keep what was chosen. `Criteria` reads the query string as a whole and applies it, for
the list and for actions alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_flare.definitions import registry
from django_flare.jobs.overview import read_queue_names
from django_flare.models.job import STATE_LABELS

MOST_CHOICES = 100


class _Choice(SimpleListFilter):
    """Show choices; what was chosen is among them, also when its source does not know it."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset

    def _with_chosen(self, names: Iterable[str]) -> list[tuple[str, str]]:
        # The base class has not looked at its parameter yet when it asks for the choices.
        return [(name, name) for name in list(names)[:MOST_CHOICES]]

    def choices(self, changelist: Any) -> Iterator[Any]:
        chosen = self.value()
        if chosen and chosen not in {name for name, _ in self.lookup_choices}:
            self.lookup_choices = [*self.lookup_choices, (chosen, chosen)]
        yield from super().choices(changelist)


class StateFilter(_Choice):
    """The seven states."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return STATE_LABELS


class QueueFilter(_Choice):
    """Queues that have work or are declared."""

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return self._with_chosen(read_queue_names())


class TypeFilter(_Choice):
    """The job types that this process knows; others are found by the search."""

    title = _("job type")
    parameter_name = "job_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return self._with_chosen(registry.names())


class CreatedFilter(_Choice):
    """The last hour, day or week, or a span with two ends."""

    title = _("time of creation")
    parameter_name = "created"
    template = "django_flare/admin/created_filter.html"

    ENDS = ("created_from", "created_to")

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        self.ends = {name: params.pop(name, [""])[-1] for name in self.ENDS}
        self.kept: list[tuple[str, str]] = []

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter_name, *self.ENDS]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("hour", _("Last hour")), ("day", _("Last day")), ("week", _("Last week"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        # The form for the two ends keeps all other parameters.
        self.kept = [
            pair for pair in changelist.params.items() if not pair[0].startswith(self.parameter_name)
        ]
        has_ends = any(self.ends.values())
        without = changelist.get_query_string(remove=[self.parameter_name])
        yield {
            "selected": self.value() is None and not has_ends,
            "query_string": without,
            "display": _("Any time"),
        }
        for period, label in self.lookup_choices:
            yield {
                "selected": self.value() == period,
                "query_string": changelist.get_query_string(
                    {self.parameter_name: period}, remove=[self.parameter_name]
                ),
                "display": label,
            }
