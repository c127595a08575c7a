"""Cancel, stop, retry and discard: one compare-and-swap and all that follows from it, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

from django_flare.failpoints import reach
from django_flare.lifecycle import announce
from django_flare.lifecycle.continuations import lock_descendants, revive_descendants, settle_children
from django_flare.states import JobState
from django_flare.store import control as store
from django_flare.store import rollups
from django_flare.store.transactions import in_transaction


def cancel(public_id: UUID, using: str) -> bool | None:
    """Cancel a waiting job and its waiting descendants; False when its state forbids it, None if unknown."""
    return in_transaction(partial(_end, public_id, store.cancel, JobState.CANCELLED, using), using)


def discard(public_id: UUID, using: str) -> bool | None:
    """Send a failed job to the dead letter; False when its state forbids it, None if unknown."""
    return in_transaction(partial(_end, public_id, store.discard, JobState.DEAD_LETTER, using), using)


def stop(public_id: UUID, using: str) -> bool | None:
    """Ask a running job to stop; False when it does not run, None if unknown.

    Nothing else follows yet: its run decides, at its end, whether the job is cancelled (`outcomes.decide`).
    """
    return in_transaction(partial(_stop, public_id, using), using)


def retry(public_id: UUID, using: str, *, revive: bool) -> bool | None:
    """Make a failed or dead job claimable; False when its state forbids it, None if unknown."""
    return in_transaction(partial(_retry, public_id, using, revive=revive), using)


def _end(public_id: UUID, change: Callable[[int, str], bool], state: JobState, using: str) -> bool | None:
    found = store.find(public_id, using)
    if found is None:
        return None
    reach("control.after_read")
    if not change(found.id, using):
        return _refusal(public_id, using)
    rollups.write_unrun([found.id], state, using)
    lock_descendants(found.id, using)
    settle_children([found.id], using)
    return True


def _stop(public_id: UUID, using: str) -> bool | None:
    found = store.find(public_id, using)
    if found is None:
        return None
    reach("control.after_read")
    return store.stop(found.id, using) or _refusal(public_id, using)


def _retry(public_id: UUID, using: str, *, revive: bool) -> bool | None:
    found = store.find(public_id, using)
    if found is None:
        return None
    reach("control.after_read")
    if not store.retry(found.id, using):
        return _refusal(public_id, using)
    if revive:
        lock_descendants(found.id, using)
        revive_descendants(found.id, public_id, using)
    announce.claimable(using)
    return True


def _refusal(public_id: UUID, using: str) -> bool | None:
    """Answer for a job that was not changed: False, or None when it was deleted since it was found (F19)."""
    return False if store.find(public_id, using) else None
