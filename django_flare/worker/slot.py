"""One slot: take a run, perform it, hand its outcome back, and stay fit for the next."""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue

from django_flare import signals
from django_flare.errors import JobTimeout
from django_flare.lifecycle.finish import record_with
from django_flare.lifecycle.outcomes import Outcome
from django_flare.worker.connections import check_idle_connections, clean_connections, drop_connections
from django_flare.worker.event_loop import EventLoop
from django_flare.worker.runs import Run, failure, success

logger = logging.getLogger("django_flare.worker")

Notice = Callable[[], object]


class Slot(threading.Thread):
    """A thread that performs runs until it finds None in the queue, or has been abandoned."""

    def __init__(
        self,
        waiting: SimpleQueue[Run | Notice | None],
        loop: EventLoop,
        using: str,
        done: Callable[[Run], object],
    ) -> None:
        super().__init__(name="flare-slot", daemon=True)
        self.current: Run | None = None
        self._lock = threading.Lock()
        self._interrupted: Run | None = None
        self._abandoned = False
        self._idle_since = time.monotonic()
        self._waiting = waiting
        self._loop = loop
        self._using = using
        self._done = done

    def run(self) -> None:
        while (item := self._waiting.get()) is not None:
            if isinstance(item, Run):
                self._take(item)
            else:
                _call(item)
            if self._abandoned:
                break
            self._idle_since = time.monotonic()
        drop_connections()

    def interrupt(self, run: Run) -> None:
        """Raise JobTimeout in the handler of `run`, once, if it still runs here."""
        with self._lock:
            if self.current is not run or self._interrupted is run or self.ident is None:
                return
            self._interrupted = run
            if run.definition.is_async:
                self._loop.cancel(run)
            else:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self.ident), ctypes.py_object(JobTimeout)
                )

    def abandon(self, run: Run) -> bool:
        """Give up on the thread, which ends after its handler; False when that has just ended."""
        with self._lock:
            if self.current is not run:
                return False
            self._abandoned, self.current = True, None
            return True

    def _take(self, run: Run) -> None:
        run.start()
        outcome: Outcome | None = None
        is_ours: bool | None = None
        while outcome is None or is_ours is None:
            try:
                # What the handler puts into context variables (time zone, language) ends with it (F50).
                outcome = outcome or copy_context().run(self._perform, run)
                is_ours = self._leave()
            except JobTimeout as error:
                # Raised in this thread when the handler had just ended; it comes once at most.
                outcome = outcome or failure(run, error)
        if is_ours:
            _clean_up_after(run)
            run.finish(outcome)
            self._done(run)

    def _perform(self, run: Run) -> Outcome:
        """Return how the run ended; whatever the handler raises is an outcome too (F48)."""
        try:
            self.current = run
            check_idle_connections(time.monotonic() - self._idle_since)
            _send_started(run)
            if run.definition.atomic:
                outcome, run.recorded = record_with(lambda: self._call(run), self._using)
                return outcome
            return self._call(run)
        except BaseException as error:
            return failure(run, error)

    def _call(self, run: Run) -> Outcome:
        payload, context = run.arguments(self._using)
        value = run.definition.call(payload, context)
        return success(run, self._loop.wait_for(value, run) if run.definition.is_async else value)

    def _leave(self) -> bool:
        """End the time in which the run may be interrupted; False when it was abandoned."""
        with self._lock:
            self.current = None
        # An exception that was raised in this thread until now arrives at a call.
        _breathe()
        return not self._abandoned


def _clean_up_after(run: Run) -> None:
    try:
        clean_connections(run.row.job_type)
    except Exception:
        # A slot must not end by what a handler left behind.
        logger.exception("Cleaning the connections after %s failed", run.row.job_type)
        drop_connections()


def _breathe() -> None:
    return None


def _call(notice: Notice) -> None:
    try:
        notice()
    except Exception:
        logger.exception("A notice failed")


def _send_started(run: Run) -> None:
    if signals.job_started.has_listeners():
        row = run.row
        signals.job_started.send_robust(
            sender=row.job_type, job_id=str(row.public_id), queue=row.queue, attempt=row.attempt
        )
