"""Who a worker is: random per start, so that nobody is taken for a dead one (F06)."""

from __future__ import annotations

import math
import os
import secrets
import socket
import time
from collections.abc import Callable
from datetime import timedelta

import django_flare
from django_flare.definitions import registry
from django_flare.lifecycle import recovery
from django_flare.worker import logs
from django_flare.worker.options import WorkerOptions

_HOST_CHARACTERS = 30
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's monotonic clock stands still while the machine is suspended; that of macOS does not."""


def now() -> float:
    """Return seconds by the clock that judges leases: they run out during a suspend, too (F32)."""
    return time.clock_gettime(_CLOCK)


class Identity:
    """A worker's registration, and how fresh its proof of life is."""

    def __init__(
        self, options: WorkerOptions, lease: timedelta, announce: Callable[[str], object] | None = None
    ) -> None:
        self._options = options
        self._lease = lease.total_seconds()
        self._announce = announce
        self._last_beat: float | None = None
        self.worker_id = ""

    @property
    def may_claim(self) -> bool:
        """Whether the last beat is recent enough that nobody can have declared this worker dead."""
        return self._last_beat is not None and now() - self._last_beat < self._lease

    @property
    def beat_age(self) -> float:
        """Seconds since the last recorded beat was sent; infinite before the first."""
        return math.inf if self._last_beat is None else now() - self._last_beat

    def register(self) -> None:
        """Register under a new id, which is announced before there can be a row that names it."""
        worker_id = _new_worker_id()
        if self._announce is not None:
            self._announce(worker_id)
        before = now()
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
        logs.note_worker_id(worker_id)

    def note_beat(self, sent_at: float) -> None:
        """Learn that the beat was recorded that was sent at `sent_at`, by `now()`."""
        self._last_beat = sent_at

    def forget(self) -> None:
        """Claim nothing more under this id."""
        self._last_beat = None


def _new_worker_id() -> str:
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in socket.gethostname())
    return f"wrk_{host[:_HOST_CHARACTERS]}_{os.getpid()}_{secrets.token_hex(6)}"
