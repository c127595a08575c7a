"""What a running handler knows of its job and may say to the worker."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django_flare.errors import JobCancelled

_JOB_LOGGER = logging.getLogger("django_flare.job")


class CancelToken:
    """Tell a run that it should end, and why; set once, never cleared.

    Safe to set from any thread; `wait` serves threads, `wait_async` serves coroutines.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._lock = threading.Lock()
        self._wakers: list[Callable[[], object]] = []

    def __bool__(self) -> bool:
        return self.reason is not None

    def set(self, reason: str) -> None:
        """Set the token; the first reason stays."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def wait(self, seconds: float) -> bool:
        """Block up to `seconds`; return whether the token is set."""
        woken = threading.Event()
        with self._woken_by(woken.set):
            woken.wait(seconds)
        return bool(self)

    async def wait_async(self, seconds: float) -> bool:
        """Suspend the coroutine up to `seconds`; return whether the token is set."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()

        def wake() -> None:
            # A loop that has closed meanwhile has nobody left to wake.
            if not loop.is_closed():
                loop.call_soon_threadsafe(woken.set)

        with self._woken_by(wake), suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), seconds)
        return bool(self)

    @contextmanager
    def _woken_by(self, wake: Callable[[], object]) -> Iterator[None]:
        """Call `wake` once if the token is set already or while the block runs."""
        with self._lock:
            self._wakers.append(wake)
            is_set = self.reason is not None
        try:
            if is_set:
                wake()
            yield
        finally:
            with self._lock, suppress(ValueError):
                self._wakers.remove(wake)


class Progress:
    """Keep the highest progress that an attempt has reported, from 0.0 to 1.0."""

    __slots__ = ("_changed", "value")

    def __init__(self, changed: Callable[[], object]) -> None:
        self.value: float | None = None
        self._changed = changed

    def report(self, value: float | None) -> None:
        """Take `value` if it is higher than before; above 1 is 1, NaN, None and negatives are ignored."""
        if value is None or math.isnan(value) or value < 0:
            return
        value = min(float(value), 1.0)
        if self.value is None or value > self.value:
            self.value = value
            self._changed()


class _JobLogger(logging.LoggerAdapter[logging.Logger]):
    """Add the job's fields to those of each call, which the adapter's own way would drop."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), **(self.extra or {})}}


def _ignore() -> None:
    return None


@dataclass(kw_only=True, eq=False)
class JobContext:
    """Describe the running attempt to its handler.

    The worker builds it. `parents` holds
    `(job_id, result)` for each parent, in the order given when the job was created.
    """

    job_id: str
    job_type: str
    queue: str
    attempt_number: int
    max_attempts: int
    created_at: datetime
    tags: dict[str, str] = field(default_factory=dict)
    parents: tuple[tuple[str, Any], ...] = ()
    _token: CancelToken = field(default_factory=CancelToken, repr=False)
    _progress: Progress = field(default_factory=lambda: Progress(_ignore), repr=False)

    @cached_property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Log under `django_flare.job` with the job's id, type, queue and attempt as fields.

        Fields of your own (`extra=`) are kept beside them.
        """
        return _JobLogger(
            _JOB_LOGGER,
            {
                "job_id": self.job_id,
                "job_type": self.job_type,
                "queue": self.queue,
                "attempt": self.attempt_number,
            },
        )

    @property
    def is_cancelled(self) -> bool:
        """Tell whether the job should end: timed out, stopped, its lease lost or its worker stopping."""
        return bool(self._token)

    def raise_if_cancelled(self) -> None:
        """Raise `JobCancelled` when the job should end."""
        if self._token:
            raise JobCancelled(self._token.reason)

    def report_progress(self, value: float | None) -> None:
        """Report how much is done, from 0.0 to 1.0.

        Above 1 counts as 1; None, NaN, negatives and steps back are ignored. It is written
        at most twice a second while the job runs; after a lost lease nothing is written.
        """
        self._progress.report(value)

    def sleep(self, seconds: float) -> bool:
        """Block for `seconds`; return True when woken early because the job should end."""
        return self._token.wait(seconds)

    async def asleep(self, seconds: float) -> bool:
        """Suspend for `seconds`; return True when woken early because the job should end."""
        return await self._token.wait_async(seconds)
