"""Delete what ended longer ago than the setting KEEP says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from django_flare.failpoints import reach
from django_flare.store import retention as store
from django_flare.store.transactions import in_transaction

BATCH = 500


def prune(keep: Mapping[str, timedelta], using: str) -> int:
    """Delete up to 500 jobs of each final state that are older than `keep` allows; return how many.

    Never a job whose child has not ended, or might still run and read its result (F19). Safe in any number
    of processes at once.
    """
    return sum(in_transaction(partial(_prune, state, age, using), using) for state, age in keep.items())


def count_expired(keep: Mapping[str, timedelta], using: str) -> dict[str, int]:
    """Count by state what `prune` would delete in the end."""
    return {state: store.expired(state, age, using).count() for state, age in keep.items()}


def _prune(state: str, age: timedelta, using: str) -> int:
    locked = store.lock_expired(state, age, BATCH, using)
    ids = store.unneeded(locked, state, using) if locked else []
    reach("retention.before_delete")
    if ids:
        store.delete(ids, using)
    return len(ids)
