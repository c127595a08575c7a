"""Workers' lives: registering, beating, resigning, and taking back what the vanished held."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import InterfaceError

from django_flare.failpoints import reach
from django_flare.lifecycle import announce
from django_flare.lifecycle.finish import Applied, apply, total
from django_flare.lifecycle.outcomes import Outcome
from django_flare.lifecycle.singly import apply_each
from django_flare.states import Event
from django_flare.store import workers as store
from django_flare.store.faults import UNKNOWN_TRIES, is_passing
from django_flare.store.transactions import in_transaction, statement

logger = logging.getLogger("django_flare.lifecycle")

_RUNS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Beat:
    """Tell a worker what its beat found: its row, and the rows it holds as key to (fence, stop requested)."""

    alive: bool
    held: dict[int, tuple[int, bool]]


def register(using: str, **columns: Any) -> None:
    """Let a worker claim, from now on, under the id it gives."""
    in_transaction(lambda: store.register(using, **columns), using)


def beat(worker_id: str, running: int, using: str) -> Beat:
    """Prove the worker alive; on `alive` False it must drop every run and register under a new id (F05)."""

    reach("beat.before_write")
    alive = statement(partial(store.beat, worker_id, running, using), using)
    return Beat(alive, store.held_by(worker_id, using) if alive else {})


def is_any_to_stop(worker_ids: Iterable[str], using: str) -> bool:
    """Tell whether one of these workers holds a run that was asked to stop."""
    return any(stop for each in worker_ids for _, stop in store.held_by(each, using).values())


def resign(worker_id: str, using: str) -> bool:
    """End a worker's life after its last run: what it still holds is given back without blame.

    False when somebody has locked one of its rows: the worker stays registered, try again.
    """

    def work() -> bool:
        # Before its runs, as everywhere, so that nobody waits in a ring.
        store.lock(worker_id, using)
        while held := store.runs_of([worker_id], _RUNS_AT_ONCE, using):
            applied = _end_runs(held, Event.RELEASE, using)
            if applied.busy and not applied.states:
                return False
            if not applied.states:
                # Rows that take no outcome are left to recovery: they must not keep the worker for ever.
                break
        store.unregister(worker_id, using)
        return True

    return in_transaction(work, using)


def recover_worker(worker_id: str, event: Event, using: str, known: Collection[Outcome] = ()) -> int | None:
    """End the life of a worker whose process is known to have ended; return how many runs that ended.

    Its runs end by `event`: LOSE when it died, RELEASE when it was ended on purpose and no job is to
    blame. Those of which an outcome is `known` end by that, before the others. None when there are more, or
    somebody has locked one of its rows: call again. An id that is not registered holds nothing. Safe beside
    `recover` and beside a late beat, as that is.
    """
    return in_transaction(partial(_recover_worker, worker_id, event, using, known), using)


def _recover_worker(worker_id: str, event: Event, using: str, known: Collection[Outcome]) -> int | None:
    store.lock(worker_id, using)
    runs = store.runs_of([worker_id], _RUNS_AT_ONCE, using)
    reach("recover.after_select")
    ended = {(each.id, each.fence): each for each in known if (each.id, each.fence) in runs}
    apart = _apply(list(ended.values()), using)
    if apart.states:
        announce.claimable(using)
        # The others in a transaction of their own, so that each takes its locks in order.
        return None
    applied = _end_runs([each for each in runs if each not in ended], event, using)
    if len(runs) == _RUNS_AT_ONCE or apart.busy or applied.busy:
        return None
    store.unregister(worker_id, using)
    return len(applied.states)


def recover(lease: timedelta, using: str) -> int:
    """Take back the runs of workers that have not beaten for `lease`; return how many were lost.

    A worker's row is locked before its runs, so that a late beat waits and then finds the row
    gone (F01, F02). Safe in any number of workers at once: what another has locked is passed over.
    """
    if not store.lost_workers(lease, using):
        return 0
    return in_transaction(partial(_recover, lease, using), using)


def _recover(lease: timedelta, using: str) -> int:
    vanished = store.lock_vanished(lease, using)
    runs = store.runs_of(vanished, _RUNS_AT_ONCE, using) if vanished else []
    reach("recover.after_select")
    applied = _end_runs(runs, Event.LOSE, using)
    if len(runs) < _RUNS_AT_ONCE and not applied.busy:
        for worker_id in vanished:
            store.unregister(worker_id, using)
    orphans = _end_runs(store.orphaned_runs(_RUNS_AT_ONCE, using), Event.LOSE, using)
    return len(applied.states) + len(orphans.states)


def _end_runs(held: Collection[tuple[int, int]], event: Event, using: str) -> Applied:
    applied = _apply([Outcome(id=key, fence=fence, event=event) for key, fence in held], using)
    if applied.states:
        announce.claimable(using)
    return applied


def _apply(outcomes: Sequence[Outcome], using: str) -> Applied:
    """Record the outcomes, each alone if one row keeps all from being recorded (F58)."""
    if not outcomes:
        return Applied()
    try:
        # A savepoint, so that the transaction with the worker's lock goes on after a failure.
        return apply(outcomes, using)
    except InterfaceError:
        raise
    except Exception as error:
        # Nobody counts how often this has failed: an unknown code is one of the row's.
        if is_passing(error, UNKNOWN_TRIES):
            raise
        logger.exception("Runs could not be ended together; trying each alone")
        return total(apply_each(outcomes, using, UNKNOWN_TRIES))
