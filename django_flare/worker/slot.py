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
from django_flare.errors import JobCancelled, JobTimeout
from django_flare.lifecycle.finish import NotRecordedError, record_with
from django_flare.lifecycle.outcomes import Outcome
from django_flare.worker import reports
from django_flare.worker.board import Entry
from django_flare.worker.connections import check_idle_connections, clean_connections, drop_connections
from django_flare.worker.event_loop import EventLoop
from django_flare.worker.logs import escape
from django_flare.worker.queries import Connections, cancel_queries, note_connections_of_this_thread
from django_flare.worker.runs import EndReason, Run, failure, success, unrecorded, unstarted

logger = logging.getLogger("django_flare.worker")

_BETWEEN_CANCELS = 2.0
"""Seconds that a handler has, each time, to tidy up in the database."""

Notice = Callable[[], object]


class Slot(threading.Thread):
    """A thread that performs runs until it finds None in the queue, or has been abandoned.

    None stays in the queue: it ends all slots, also one that starts while the others end.
    """

    def __init__(
        self,
        waiting: SimpleQueue[Run | Notice | None],
        loop: EventLoop,
        using: str,
        done: Callable[[Run], object],
        may_start: Callable[[], bool],
        entry: Entry,
    ) -> None:
        super().__init__(name="flare-slot", daemon=True)
        self.current: Run | None = None
        self.entry = entry
        """Where it shows what it runs."""
        self._lock = threading.Lock()
        self._connections: Connections = {}
        self._abandoned = False
        self._idle_since = time.monotonic()
        self._waiting = waiting
        self._loop = loop
        self._using = using
        self._done = done
        self._may_start = may_start

    def run(self) -> None:
        note_connections_of_this_thread(self._connections)
        while (item := self._waiting.get()) is not None:
            if isinstance(item, Run):
                self._take(item)
            else:
                _call(item)
            if self._abandoned:
                break
            self._idle_since = time.monotonic()
        else:
            self._waiting.put(None)
        drop_connections()

    def note_end(self, run: Run) -> None:
        """Show, if `run` still runs here, by when it must be over."""
        with self._lock:
            if self.current is run:
                self._show(run)

    def _show(self, run: Run) -> None:
        if (end := run.must_end) is not None:
            since, reason = end
            self.entry.write(run.row.id, run.row.fence, since, stop=reason is EndReason.STOP)

    def cancel_queries(self, run: Run) -> None:
        """Cancel the queries that `run` has in progress, at most every two seconds, if it still runs here."""
        with self._lock:
            last = run.query_cancelled_at
            if self.current is run and (last is None or time.monotonic() - last >= _BETWEEN_CANCELS):
                self._cancel_queries(run)

    def interrupt(self, run: Run) -> None:
        """Raise JobTimeout or JobCancelled in the handler of `run`, once, if it still runs here."""
        with self._lock:
            if self.current is not run or run.is_interrupted or self.ident is None:
                return
            run.is_interrupted = True
            if run.definition.is_async:
                self._loop.cancel(run)
            else:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self.ident), ctypes.py_object(run.interruption)
                )

    @property
    def is_abandoned(self) -> bool:
        """Whether the thread was given up, since nothing could end its handler."""
        return self._abandoned

    def abandon(self, run: Run) -> bool:
        """Give up on the thread, which ends after its handler; False when that has just ended."""
        with self._lock:
            if self.current is not run:
                return False
            self._abandoned, self.current = True, None
            self.entry.clear()
            self._cancel_queries(run)
            return True

    def _cancel_queries(self, run: Run) -> None:
        run.query_cancelled_at = time.monotonic()
        cancel_queries([*self._connections.values(), *run.connections.values()])

    def _take(self, run: Run) -> None:
        run.start()
        if not self._may_start():
            # This process may have stood still since the claim, and somebody else may have the job (F47).
            run.tell_to_end(EndReason.LEASE_LOST)
        if early := unstarted(run):
            run.finish(early)
            self._done(run)
        else:
            self._run_handler(run)

    def _run_handler(self, run: Run) -> None:
        outcome: Outcome | None = None
        is_ours: bool | None = None
        while outcome is None or is_ours is None:
            try:
                # What the handler puts into context variables (time zone, language) ends with it (F50).
                outcome = outcome or copy_context().run(self._perform, run)
                is_ours = self._leave()
            except (JobTimeout, JobCancelled) as error:
                # Raised in this thread when the handler had just ended; it comes once at most.
                outcome = outcome or failure(run, error)
        if is_ours:
            _clean_up_after(run)
            run.finish(outcome)
            self._done(run)

    def _perform(self, run: Run) -> Outcome:
        """Return how the run ended; whatever the handler raises is an outcome too (F48)."""
        try:
            with self._lock:
                self.current = run
                self._show(run)
            check_idle_connections(time.monotonic() - self._idle_since)
            _send_started(run)
            if run.definition.atomic:
                row = run.row
                outcome, run.recorded = record_with(
                    lambda: self._call(run), row.queue, row.job_type, self._using
                )
                return outcome
            return self._call(run)
        except NotRecordedError as error:
            reports.not_recorded(run, error.__cause__ or error)
            return unrecorded(run, error)
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
            if not self._abandoned:
                # Otherwise it is another slot's by now.
                self.entry.clear()
        # An exception that was raised in this thread until now arrives at a call.
        _breathe()
        return not self._abandoned


def _clean_up_after(run: Run) -> None:
    try:
        if run.query_cancelled_at is not None:
            # A cancel that comes late must not meet the next job's query.
            drop_connections()
        else:
            clean_connections(run.row.job_type, lambda: reports.fields(run))
    except Exception:
        # A slot must not end by what a handler left behind.
        logger.exception(
            "Cleaning the connections after %s failed", escape(run.row.job_type), extra=reports.fields(run)
        )
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
