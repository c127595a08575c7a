"""The list of jobs: counted up to a bound, read row by row where it has to be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.formats import number_format

from django_flare.admin.criteria import Criteria
from django_flare.jobs.overview import MOST_COUNTED
from django_flare.jobs.tolerance import Unreadable, read_columns, read_tolerantly
from django_flare.models import Job
from django_flare.store.clock import read_now
from django_flare.store.rows import by_index

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

SHOWN = (
    "public_id",
    "state",
    "queue",
    "job_type",
    "attempt",
    "max_attempts",
    "progress",
    "created_at",
    "started_at",
    "completed_at",
    "stop_requested",
)
"""The columns that the list reads: not the large ones."""


class CountedUpTo(int):
    """A number of rows that says "10,000+" when counting stopped there.

    Templates show it with `localize off`: where a project has Django group the digits of numbers, it would
    take the sign for a digit.
    """

    has_more = False

    @classmethod
    def of(cls, counted: int) -> CountedUpTo:
        """Return the count of a query that looked one further than the bound."""
        count = cls(min(counted, MOST_COUNTED))
        count.has_more = counted > MOST_COUNTED
        return count

    def __str__(self) -> str:
        whole = number_format(int(self), decimal_pos=0, force_grouping=self.has_more)
        return f"{whole}+" if self.has_more else whole


class CappedPaginator(_Paginator):
    """Count, and page through, no more than the first 10,000 rows."""

    @cached_property
    def count(self) -> int:
        """The number of rows up to the bound."""
        rows: Any = self.object_list
        return CountedUpTo.of(rows[: MOST_COUNTED + 1].count())


class JobList(ChangeList):
    """Show the jobs that `Criteria` select, the newest first."""

    newest_from: datetime | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        """Return the rows that match the query string; raises IncorrectLookupParameters for a bad one."""
        rows = super().get_queryset(request, exclude_parameters)
        try:
            self.criteria = Criteria.read({**self.params, "search": self.query})
        except ValueError as problem:
            raise IncorrectLookupParameters(problem) from problem
        found = self.criteria.apply(rows)
        self.newest_from = found.newest_from
        return found.rows.only(*SHOWN)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Order by the time of creation alone, in one direction: as the index of the list has it."""
        first = super().get_ordering(request, queryset)[0]
        return ["created_at", "id"] if first == "created_at" else ["-created_at", "-id"]

    def get_results(self, request: HttpRequest) -> None:
        """Read the page; a row that cannot be read is shown with what can be read of it."""
        super().get_results(request)
        now = read_now(self.queryset.db)
        page: Any = self.result_list
        if not (self.criteria.state or self.criteria.search):
            # By the order that is asked for; MariaDB would rather sort what it takes for a small table.
            page = by_index(page, "flare_job_listing")
        rows = read_tolerantly(self.queryset, page)
        self.result_list: Any = [complete(self.queryset, row, SHOWN) for row in rows]
        for job in self.result_list:
            job.seen_at = now

    def url_for_result(self, result: Any) -> str:
        """Return the address of the job's page."""
        if not result.public_id:
            raise NoReverseMatch
        return job_url(result.public_id, self.model_admin.admin_site.name)


def complete(rows: QuerySet[Any], row: Any, columns: Sequence[str]) -> Any:
    """Return the job; of an unreadable row, one with what can be read and the names of the others."""
    if not isinstance(row, Unreadable):
        return row
    found, unreadable = read_columns(rows, row.pk, columns)
    job: Any = Job(pk=row.pk, **dict.fromkeys(columns) | found)
    job.unreadable = unreadable
    return job


def kept_url(page: Any, request: HttpRequest, job_id: Any) -> str:
    """Return the address of a job's page from which the way back is to the list as it was filtered."""
    filters = {"opts": page.opts, "preserved_filters": page.get_preserved_filters(request)}
    return str(add_preserved_filters(filters, job_url(job_id, page.admin_site.name)))


def job_url(job_id: Any, site: str, page: str = "change", *arguments: str) -> str:
    """Return the address of a job's page, or of another page of it."""
    return reverse(f"admin:django_flare_job_{page}", args=(str(job_id), *arguments), current_app=site)
