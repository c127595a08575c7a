"""Find the jobs that idempotency keys have made."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django_flare.store.rows import jobs, locked


def holders(scope: str, names: Sequence[str], using: str, *, locking: bool) -> list[tuple[str, UUID, str]]:
    """Return (key, public id, fingerprint) of the jobs that hold the keys `names` in `scope`.

    With `locking` the newest committed rows are read, also where the caller's snapshot on
    MariaDB is older.
    """
    found = jobs(using).filter(idempotency_scope=scope, idempotency_key__in=names).order_by("pk")
    columns = ("idempotency_key", "public_id", "fingerprint")
    rows = list(found.values_list(*columns))
    if locking and len(rows) < len(names):
        rows = list(locked(found).values_list(*columns))
    return rows
