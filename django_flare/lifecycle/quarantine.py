"""Send what cannot be read to the dead letter, so that nothing else waits for it (F58).

Called after the normal way has failed for all rows together, with an error that does not pass. A row
is claimed first, with its attempt counted and its fence raised, and its run exhausted in the same
transaction: two ordinary transitions, with all that follows from them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import InterfaceError

from django_flare.lifecycle.claim import ClaimRequest
from django_flare.lifecycle.outcomes import Outcome
from django_flare.lifecycle.singly import apply_each, exhaust_unread
from django_flare.states import Event, JobState
from django_flare.store import unreadable as store
from django_flare.store import workers
from django_flare.store.faults import UNKNOWN_TRIES, is_passing
from django_flare.store.transactions import in_transaction

logger = logging.getLogger("django_flare.lifecycle")

_ROWS_AT_ONCE = 500
"""How many rows of each queue, and of each type in it, are looked at: no claim takes more."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Tell of a row that was unreadable: its key, what could not be read, and the state it is in."""

    id: int
    what: str
    state: JobState


class _LockedError(Exception):
    """Tell that somebody else has locked what the end of a job concerns: later."""


def set_aside_unreadable(request: ClaimRequest, using: str) -> list[SetAside]:
    """Send to the dead letter what no claim can read of the first rows that `request` asks for.

    Empty when all can be read: something else has failed, then.
    """
    if request.is_idle:
        in_transaction(partial(_release_unseen, request, using), using)
    found: list[SetAside] = []
    for key in dict.fromkeys(_unreadable(request, using)):
        found += _set_aside_or_log(key, request.worker_id, using)
    return found


def _release_unseen(request: ClaimRequest, using: str) -> None:
    """Give back what a single statement has claimed and committed before it was found to be unreadable.

    Whoever is idle has nothing else.
    """
    held = workers.runs_of([request.worker_id], request.limit, using)
    for _ in apply_each([Outcome(id=key, fence=fence, event=Event.RELEASE) for key, fence in held], using):
        pass


def _unreadable(request: ClaimRequest, using: str) -> Iterator[int]:
    for queue in request.queues:
        for job_type in (None, *request.known_types):
            ids = store.claimable_ids(queue, job_type, _ROWS_AT_ONCE, using)
            yield from store.unreadable_among(ids, using)


def _set_aside_or_log(key: int, worker_id: str, using: str) -> Sequence[SetAside]:
    try:
        return in_transaction(partial(_set_aside, key, worker_id, using), using)
    except _LockedError:
        return []
    except InterfaceError:
        raise
    except Exception as error:
        if is_passing(error, UNKNOWN_TRIES):
            raise
        logger.exception("Job %d cannot be read, and cannot be sent to the dead letter", key)
        return []


def _set_aside(key: int, worker_id: str, using: str) -> Sequence[SetAside]:
    # Looked at again under the lock: it may have been repaired, claimed or cancelled meanwhile.
    if not store.lock_claimable_row(key, using):
        return []
    columns = store.unreadable_columns(key, using)
    if not columns:
        return []
    what = ", ".join(columns)
    fence = store.mark_claimed_unread(key, columns, worker_id, using)
    applied = exhaust_unread(key, fence, what, using)
    if key not in applied.states:
        raise _LockedError
    return [SetAside(key, what, applied.states[key])]
