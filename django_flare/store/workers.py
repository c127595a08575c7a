"""Worker rows: who is alive, who has vanished, what each still holds."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from django_flare.models import Job, Worker
from django_flare.store.clock import DatabaseNow
from django_flare.store.rows import locked, workers
from django_flare.store.runs import running


def register(using: str, **columns: Any) -> None:
    """Insert the row that lets a worker claim; times are the database's."""
    Worker(**columns, started_at=DatabaseNow(), last_beat_at=DatabaseNow()).save(
        using=using, force_insert=True
    )


def beat(worker_id: str, running_count: int, using: str) -> bool:
    """Prove the worker alive; False when its row is gone."""
    return bool(workers(using).filter(pk=worker_id).update(last_beat_at=DatabaseNow(), running=running_count))


def lock(worker_id: str, using: str) -> None:
    """Lock the worker's row, if there is one."""
    locked(workers(using).filter(pk=worker_id)).values_list("pk").first()


def unregister(worker_id: str, using: str) -> None:
    """Remove a worker's row; it claims nothing from then on."""
    workers(using).filter(pk=worker_id).delete()


def held_by(worker_id: str, using: str) -> dict[int, tuple[int, bool]]:
    """Return the rows that the worker holds: key to (fence, stop requested)."""
    rows = running(using).filter(worker_id=worker_id).values_list("id", "fence", "stop_requested")
    return {key: (fence, stop) for key, fence, stop in rows}


def live(lease: timedelta, using: str) -> QuerySet[Worker]:
    """Return the workers that have beaten within `lease`."""
    return workers(using).filter(last_beat_at__gte=DatabaseNow() - lease)


def lost_workers(lease: timedelta, using: str) -> list[str]:
    """Return the ids of workers that have not beaten for `lease`, or that hold rows without being registered.

    One statement, since every worker asks at every beat.
    """
    late = workers(using).filter(last_beat_at__lt=DatabaseNow() - lease).values_list("pk")
    return [worker_id for (worker_id,) in late.union(_orphaned(using).values_list("worker_id"))]


def _orphaned(using: str) -> QuerySet[Job]:
    return running(using).filter(~Exists(workers(using).filter(pk=OuterRef("worker_id"))))


def lock_vanished(lease: timedelta, using: str) -> list[str]:
    """Lock the rows of workers that have not beaten for `lease`; their beats wait meanwhile."""
    late = workers(using).filter(last_beat_at__lt=DatabaseNow() - lease).order_by("pk")
    return list(locked(late, skip=True).values_list("pk", flat=True))


def runs_of(worker_ids: Collection[str], limit: int, using: str) -> list[tuple[int, int]]:
    """Return up to `limit` (key, fence) of rows that the workers hold, ascending."""
    found = running(using).filter(worker_id__in=worker_ids).order_by("pk")
    return list(found.values_list("id", "fence")[:limit])


def orphaned_runs(limit: int, using: str) -> list[tuple[int, int]]:
    """Return up to `limit` (key, fence) of running rows whose worker has no row."""
    return list(_orphaned(using).order_by("pk").values_list("id", "fence")[:limit])
