"""Record outcomes one by one, after they failed together: one bad row may not hold up the others (F58)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import partial

from django.db import InterfaceError

from django_flare.lifecycle.failures import Failure
from django_flare.lifecycle.finish import Applied, apply, apply_within
from django_flare.lifecycle.outcomes import Outcome
from django_flare.states import Event
from django_flare.store import unreadable
from django_flare.store.faults import is_passing
from django_flare.store.transactions import in_transaction

logger = logging.getLogger("django_flare.lifecycle")

_UNRECORDABLE = Failure("", "the outcome could not be recorded; the worker's log says why", "")
_WITHOUT_CONTENT = frozenset({Event.LOSE, Event.RELEASE})


def apply_each(outcomes: Iterable[Outcome], using: str, failures: int = 0) -> Iterator[Applied]:
    """Record `outcomes` one by one; yield what became of each as soon as it is written.

    The one that the database refuses for what it says fails its attempt instead (F52, F58); where the row
    takes no outcome at all, the job goes to the dead letter, and if even that fails, it is passed over.
    `failures` is how often this has been tried, see `is_passing`. In a caller's transaction each is a
    savepoint.
    """
    for outcome in outcomes:
        yield _apply_one(outcome, using, failures)


def _apply_one(outcome: Outcome, using: str, failures: int) -> Applied:
    ways = (_apply, _exhaust) if outcome.event in _WITHOUT_CONTENT else (_apply, _fail, _exhaust)
    for way in ways:
        try:
            return way(outcome, using)
        except InterfaceError:
            raise
        except Exception as error:
            if is_passing(error, failures):
                raise
            logger.exception("The outcome of job %d could not be recorded", outcome.id)
    return Applied(refused=[outcome])


def _apply(outcome: Outcome, using: str) -> Applied:
    return apply([outcome], using)


def _exhaust(outcome: Outcome, using: str) -> Applied:
    """Send a running job to the dead letter because no outcome can be recorded in its row."""
    what = "the end of its run cannot be recorded; the log says why"
    return in_transaction(partial(exhaust_unread, outcome.id, outcome.fence, what, using), using)


def exhaust_unread(key: int, fence: int, what: str, using: str) -> Applied:
    """Send a running job to the dead letter without reading its row; part of a transaction of the caller."""
    failure = Failure("", f"unreadable row: {what}", "")
    outcome = Outcome(id=key, fence=fence, event=Event.EXHAUST, failure=failure)
    return apply_within([outcome], using, lock=unreadable.lock_runs_unread)


def _fail(outcome: Outcome, using: str) -> Applied:
    failed = Outcome(id=outcome.id, fence=outcome.fence, event=Event.FAIL, failure=_UNRECORDABLE)
    return apply([failed], using)
