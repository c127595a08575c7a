"""Keep what the HTTP API answered under an idempotency key, and find it again."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from django_flare.models import Reply
from django_flare.store.rows import jobs


def keep(job_id: UUID, body: str, using: str) -> None:
    """Keep `body` with the job, in the caller's transaction, which has created it."""
    key = jobs(using).filter(public_id=job_id).values_list("pk", flat=True).get()
    QuerySet(Reply, using=using).create(job_id=key, body=body)


def find(job_id: UUID, using: str) -> str | None:
    """Return the body kept with the job; None for one that was created otherwise."""
    rows: QuerySet[Reply] = QuerySet(Reply, using=using).filter(job__public_id=job_id)
    return rows.values_list("body", flat=True).first()
