"""Pause and resume queues."""

from __future__ import annotations

from functools import partial

from django_flare.lifecycle import announce
from django_flare.store import queues as store
from django_flare.store.transactions import in_transaction


def pause(name: str, using: str) -> bool:
    """Let nothing of the queue start once this has committed; tell whether this call changed anything."""
    return in_transaction(partial(store.pause, name, using), using)


def resume(name: str, using: str) -> bool:
    """Let the queue's jobs start again; tell whether this call changed anything."""
    resumed = in_transaction(partial(store.resume, name, using), using)
    if resumed:
        announce.claimable(using)
    return resumed
