"""Work that any worker may do at any time for everybody's jobs."""

from __future__ import annotations

from functools import partial

from django_flare.lifecycle import announce, continuations
from django_flare.states import Event, sources
from django_flare.store import control as store
from django_flare.store.control import next_due as next_due
from django_flare.store.runs import write_progress
from django_flare.store.transactions import in_transaction

_ROWS_AT_ONCE = 500


def promote_due(using: str) -> int:
    """Make jobs claimable whose time has come, up to 500 of each state; return how many."""
    return sum(in_transaction(partial(_promote, state, using), using) for state in sorted(sources(Event.DUE)))


def _promote(state: str, using: str) -> int:
    due = store.lock_due(state, _ROWS_AT_ONCE, using)
    if not due:
        return 0
    promoted = store.promote([key for key, _ in due], using)
    announce.claimable(using)
    return promoted


def repair_children(using: str) -> int:
    """Settle waiting jobs whose parents have all ended, up to 500; return how many there were."""
    return in_transaction(partial(continuations.repair, _ROWS_AT_ONCE, using), using)


def record_progress(progress: dict[tuple[int, int], float], using: str) -> None:
    """Write the progress of runs, keyed by (id, fence), where the fence still holds."""
    in_transaction(partial(write_progress, progress, using), using)
