"""Read pages of jobs, each within a bounded time."""

from __future__ import annotations

from typing import Any

from django_flare import jobs
from django_flare.api.problems import problem
from django_flare.conf import flare_settings
from django_flare.status import JobPage
from django_flare.store.patience import OutOfPatienceError, patient_read

PATIENCE = 5
"""How many seconds a search may take."""

# Without these a page is read off the index of the list. With them rows are passed over, and when few
# match, that may be the whole table.
_SEARCHING = frozenset({"state", "queue", "job_type", "tags"})


def read_page(filters: dict[str, Any]) -> JobPage:
    """Return the page that `list_jobs` finds; raises the 503 for a search that takes too long."""
    if _SEARCHING.isdisjoint(filters):
        return jobs.list_jobs(**filters)
    try:
        with patient_read(PATIENCE, flare_settings().database):
            return jobs.list_jobs(**filters)
    except OutOfPatienceError:
        raise problem(
            "unavailable",
            f"the search took longer than {PATIENCE} s; narrow it with created_after and created_before",
            headers={"Retry-After": str(PATIENCE)},
        ) from None
