"""Who a worker is: random per start, so that nobody is taken for a dead one (F06)."""

from __future__ import annotations

import os
import secrets
import socket
import time
from datetime import timedelta

import django_flare
from django_flare.definitions import registry
from django_flare.lifecycle import recovery
from django_flare.worker.options import WorkerOptions

_HOST_CHARACTERS = 30


class Identity:
    """A worker's registration, and how fresh its proof of life is."""

    def __init__(self, options: WorkerOptions, lease: timedelta) -> None:
        self._options = options
        self._lease = lease.total_seconds()
        self._last_beat: float | None = None
        self.worker_id = ""

    @property
    def may_claim(self) -> bool:
        """Whether the last beat is recent enough that nobody can have declared this worker dead."""
        return self._last_beat is not None and time.monotonic() - self._last_beat < self._lease

    def register(self) -> None:
        """Register under a new id."""
        worker_id = _new_worker_id()
        before = time.monotonic()
        recovery.register(
            self._options.database,
            id=worker_id,
            hostname=socket.gethostname()[:255],
            pid=os.getpid(),
            version=django_flare.__version__,
            queues=list(self._options.queues),
            job_types=registry.names(),
            slots=self._options.concurrency,
            running=0,
        )
        self.worker_id, self._last_beat = worker_id, before

    def note_beat(self, sent_at: float) -> None:
        """Learn that the beat sent at the monotonic time `sent_at` was recorded."""
        self._last_beat = sent_at

    def forget(self) -> None:
        """Claim nothing more under this id."""
        self._last_beat = None


def _new_worker_id() -> str:
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in socket.gethostname())
    return f"wrk_{host[:_HOST_CHARACTERS]}_{os.getpid()}_{secrets.token_hex(6)}"
