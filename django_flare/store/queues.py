"""Which queues are paused: read by every claim, written by two verbs."""

from __future__ import annotations

from django.db.models import QuerySet

from django_flare.models import Queue
from django_flare.store.clock import DatabaseNow
from django_flare.store.rows import queues


def paused(using: str) -> QuerySet[Queue]:
    """Return the queues of which nothing may start: the one condition for the claim and for `explain`."""
    return queues(using).filter(paused_at__isnull=False)


def pause(name: str, using: str) -> bool:
    """Pause the queue; tell whether this call did it."""
    # The unique name decides between rivals: one inserts, the other waits for its commit.
    queues(using).bulk_create([Queue(name=name)], ignore_conflicts=True)
    return bool(queues(using).filter(name=name, paused_at__isnull=True).update(paused_at=DatabaseNow()))


def resume(name: str, using: str) -> bool:
    """Let the queue's jobs start again; tell whether this call did it."""
    return bool(paused(using).filter(name=name).update(paused_at=None))
