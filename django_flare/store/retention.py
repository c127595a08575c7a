"""Delete jobs that ended long ago."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet

from django_flare.models import Continuation, Job
from django_flare.states import FINAL, JobState
from django_flare.store.clock import DatabaseNow
from django_flare.store.rows import attempts, by_index, in_state, jobs, links, locked


def expired(state: str, keep: timedelta, using: str) -> QuerySet[Job]:
    """Return the jobs that have been in the final `state` for longer than `keep` and are needed by nobody."""
    needing = _needing(state, using).filter(parent_id=OuterRef("pk"))
    return in_state(state, FINAL, using).filter(~Exists(needing), completed_at__lt=DatabaseNow() - keep)


def _needing(state: str, using: str) -> QuerySet[Continuation]:
    """Return the links to children that need a parent in `state`.

    One that has not ended does: its state follows from its parents'. Of a parent that has succeeded it
    also reads the result, be it after a retry or a revival, so that one may go only when the child has
    succeeded, too.
    """
    enough = {JobState.SUCCEEDED} if state == JobState.SUCCEEDED else FINAL
    return links(using).exclude(child__state__in=sorted(enough))


def lock_expired(state: str, keep: timedelta, limit: int, using: str) -> list[int]:
    """Lock up to `limit` expired jobs, oldest first, passing over those that others hold."""
    rows = by_index(expired(state, keep, using), "flare_job_finished").order_by("completed_at")
    return list(locked(rows, skip=True).values_list("pk", flat=True)[:limit])


def unneeded(ids: Collection[int], state: str, using: str) -> list[int]:
    """Return those of the locked jobs `ids` that nobody needs.

    A child may have been attached after the locking statement had looked and before it had the lock. No
    other comes now, since attaching takes a share of it (F19).
    """
    needed = set(_needing(state, using).filter(parent_id__in=ids).values_list("parent_id", flat=True))
    return [key for key in ids if key not in needed]


def delete(ids: Collection[int], using: str) -> None:
    """Delete jobs with their attempts and links."""
    attempts(using).filter(job_id__in=ids).delete()
    links(using).filter(child_id__in=ids).delete()
    links(using).filter(parent_id__in=ids).delete()
    jobs(using).filter(pk__in=ids).only("pk").delete()
