"""Keep the counts of what ended few: by the minute, later by the quarter, then by the hour, at last no more.

The sums stay what they are at every moment, and any number of processes may do this at once.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django_flare.failpoints import reach
from django_flare.models.rollup import Level
from django_flare.store import rollups as store
from django_flare.store.transactions import in_transaction

MINUTES_KEPT = timedelta(hours=3)
QUARTERS_KEPT = timedelta(hours=25)
HOURS_KEPT = timedelta(days=90)
_ROWS_AT_ONCE = 5_000


def merge(using: str) -> bool:
    """Put up to 5,000 rows, as they were written, into their minutes; tell whether there may be more."""
    # Asked first, as an idle worker asks often: outside a transaction it is one statement.
    return store.is_any_written(using) and in_transaction(partial(_merge, using), using) == _ROWS_AT_ONCE


def _merge(using: str) -> int:
    merged = store.merge_written(_ROWS_AT_ONCE, using)
    reach("rollups.before_commit")
    return merged


def thin_out(using: str) -> bool:
    """Put old minutes into a quarter, old quarters into an hour, delete the oldest; tell whether to go on."""
    quartered = in_transaction(partial(store.coarsen, Level.MINUTE, MINUTES_KEPT, using), using)
    merged = in_transaction(partial(store.coarsen, Level.QUARTER, QUARTERS_KEPT, using), using)
    deleted = in_transaction(partial(store.delete_hours, HOURS_KEPT, _ROWS_AT_ONCE, using), using)
    return bool(quartered or merged) or deleted == _ROWS_AT_ONCE
