"""Delete jobs that ended long ago."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet

from django_flare.models import Job
from django_flare.states import FINAL
from django_flare.store.clock import DatabaseNow
from django_flare.store.rows import attempts, by_index, in_state, jobs, links, locked


def expired(state: str, keep: timedelta, using: str) -> QuerySet[Job]:
    """Return the jobs that have been in the final `state` for longer than `keep` and are needed by nobody.

    A job with a child that has not ended is needed: the child's state follows from its parents'.
    """
    unfinished = links(using).filter(parent_id=OuterRef("pk")).exclude(child__state__in=sorted(FINAL))
    return in_state(state, FINAL, using).filter(~Exists(unfinished), completed_at__lt=DatabaseNow() - keep)


def lock_expired(state: str, keep: timedelta, limit: int, using: str) -> list[int]:
    """Lock up to `limit` expired jobs, oldest first, passing over those that others hold."""
    rows = by_index(expired(state, keep, using), "flare_job_finished").order_by("completed_at")
    return list(locked(rows, skip=True).values_list("pk", flat=True)[:limit])


def delete(ids: Collection[int], using: str) -> None:
    """Delete jobs with their attempts and links."""
    attempts(using).filter(job_id__in=ids).delete()
    links(using).filter(child_id__in=ids).delete()
    links(using).filter(parent_id__in=ids).delete()
    jobs(using).filter(pk__in=ids).only("pk").delete()
