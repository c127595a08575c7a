"""Tell the outside what happened, once, after the commit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django_flare import signals
from django_flare.store.insert import NewRow
from django_flare.store.transactions import after_commit
from django_flare.store.wakeup import wake_workers


def created(rows: Sequence[NewRow], using: str) -> None:
    """Wake workers and send `job_enqueued` when the caller's transaction commits."""
    wake_workers(using)
    if not signals.job_enqueued.has_listeners():
        return
    by_kind: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        by_kind.setdefault((row.job_type, row.queue), []).append(str(row.public_id))
    for (job_type, queue), ids in by_kind.items():
        send = partial(signals.job_enqueued.send_robust, sender=job_type, job_ids=ids, queue=queue)
        after_commit(send, using)


def claimable(using: str) -> None:
    """Wake workers when jobs became claimable other than by being created."""
    wake_workers(using)
