"""A whole worker in this process: its threads, its start and its end."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connections

import django_flare
from django_flare.conf import flare_settings
from django_flare.definitions import registry
from django_flare.lifecycle import recovery
from django_flare.store.faults import is_passing
from django_flare.worker.board import Board
from django_flare.worker.deadlines import Deadlines
from django_flare.worker.dispatcher import Dispatcher
from django_flare.worker.heartbeat import Heartbeat
from django_flare.worker.housekeeper import Housekeeper
from django_flare.worker.identity import Identity
from django_flare.worker.lines import Line
from django_flare.worker.options import WorkerOptions
from django_flare.worker.outlook import Outlook
from django_flare.worker.runs import EndReason, Run
from django_flare.worker.vitals import Vitals
from django_flare.worker.wakeups import Waker, waker_for

logger = logging.getLogger("django_flare.worker")

_WITH_WAKEUPS = 1.0
_WITHOUT_WAKEUPS = 0.2
_SHORT_LOOK = 0.1
_LONG_LOOK = 1.0
_TOKENS_TO_END = 1.0
_LAST_WRITES = 5.0
_LONGEST_BACKOFF = 5.0


class WorkerService:
    """Run jobs until told to stop; `stop` may be called from any thread and from a signal handler.

    `changed` is called when there is something new to tell the supervisor, which replaces this process
    when it retires. Without one, a handler that nothing can end keeps a thread of this process.
    `distrust` is called before a failure counts: it may end the process instead. On `board` the slots show
    what they run.
    """

    def __init__(
        self,
        options: WorkerOptions,
        changed: Callable[[], object] | None = None,
        distrust: Callable[[], object] | None = None,
        board: Board | None = None,
    ) -> None:
        self._options = options
        self._changed = changed or (lambda: None)
        self.announced_id = ""
        """The id under which it claims or is about to."""
        self._identity = Identity(options, flare_settings().lease, self._note_id)
        kind = waker_for(options.database)
        self._poll = self._poll_interval(has_wakeups=kind is not None)
        self._outlook = Outlook(
            options,
            self._poll,
            has_wakeups=kind is not None,
            attention=kind.attention if kind else 0,
        )
        self._dispatcher = Dispatcher(options, self._identity, self._outlook, self._overran, distrust)
        self._dispatcher.slots.board = board or Board()
        self._heartbeat = Heartbeat(self._dispatcher, self._identity, options.database)
        self._housekeeper = Housekeeper(lambda: self._heartbeat.is_steady, options.database)
        wake = self._dispatcher.inbox.wake
        self._waker: Waker | None = kind(options.database, wake, self._rely) if kind else None
        self._line = Line(options.database, _LAST_WRITES)
        lines = [self._line, self._dispatcher.line, self._heartbeat.line, self._housekeeper.line]
        self._deadlines = Deadlines([*lines, *(self._waker.lines if self._waker else ())])
        self._stop_asked = threading.Event()
        self._told = False
        self._hurry = threading.Event()
        self._drained_by = math.inf
        self.has_supervisor = changed is not None
        """Whether another process replaces this one when it retires, and can kill it."""
        self.retiring = ""
        """Why this worker retires, empty while it does not."""
        self.is_ready = False
        """Whether the worker has registered."""
        self.has_overrun = False
        """Whether a handler did not end when told to."""
        self.has_resigned = False
        """Whether the worker's row is gone and it holds no run."""
        self.ended = threading.Event()
        """Set when the worker does nothing more; it has given everything back if it `has_resigned`."""

    def stop(self) -> None:
        """Ask for a clean end; asked twice, running jobs are not waited for."""
        if self._told:
            self._hurry.set()
        self._told = True
        self._drain_within(self._options.shutdown_timeout)

    def retire(self, reason: str, *, limited: bool = True) -> None:
        """Claim nothing more, let the running jobs end, and end; may be called from any thread, also twice.

        They get `--shutdown-timeout` seconds, or with `limited` False as long as they take. A supervisor
        learns it at once and starts the replacement; a worker without one just ends.
        """
        first, self.retiring = not self.retiring, self.retiring or reason
        self._dispatcher.stop()
        self._drain_within(self._options.shutdown_timeout if limited else math.inf)
        self._changed()
        if first:
            logger.info("Worker %s retires: %s", self.announced_id, reason)

    @property
    def is_stopping(self) -> bool:
        """Whether it claims nothing more."""
        return self._told or bool(self.retiring)

    @property
    def ends_within(self) -> float:
        """Seconds until running jobs are no longer waited for, infinite while there is no such moment."""
        return max(0.0, self._drained_by - time.monotonic())

    @property
    def runs_ended(self) -> int:
        """How many runs have ended here."""
        return self._dispatcher.runs_ended

    def _drain_within(self, seconds: float) -> None:
        self._drained_by = min(self._drained_by, time.monotonic() + seconds)
        self._stop_asked.set()

    def vitals(self) -> Vitals:
        """Return how the worker does at this moment; safe from any thread, asks no database."""
        runs = list(self._dispatcher.in_hand.values())
        return Vitals(
            worker_id=self._identity.worker_id,
            slots=self._options.concurrency,
            running=sum(run.started_at is not None and run.outcome is None for run in runs),
            overdue=self._dispatcher.overdue,
            failing=self._dispatcher.failing,
            beat_age=self._identity.beat_age,
            counts=self._dispatcher.tally.counts(),
        )

    def _note_id(self, worker_id: str) -> None:
        self.announced_id = worker_id
        self._changed()

    def _overran(self, run: Run) -> None:
        what = f"{run.row.job_type} {run.row.public_id} did not end when told to"
        self.has_overrun = True
        if self.has_supervisor:
            logger.warning("%s; its process is replaced", what)
            self.retire(what)
        else:
            logger.warning("%s; its thread stays behind, and a new one takes its slot", what)

    def run(self) -> bool:
        """Run until stopped or done; tell whether every slot is free.

        False leaves threads behind that still run a handler: the process should end.
        """
        self._deadlines.start()
        try:
            is_registered = self._register()
        except BaseException:
            self._deadlines.stop()
            raise
        if not is_registered:
            self._deadlines.stop()
            self._note_end()
            return True
        self.is_ready = True
        self._changed()
        self._announce()
        for thread in (self._dispatcher, self._heartbeat, self._housekeeper, self._waker):
            if thread is not None:
                thread.start()
        self._wait()
        return self._end()

    def _register(self) -> bool:
        """Register as soon as the database answers; False when told to stop before."""
        pause = 0.1
        while not self._stop_asked.is_set():
            try:
                with self._line:
                    self._identity.register()
            except (DatabaseError, InterfaceError) as error:
                if not is_passing(error):
                    raise
                logger.warning("The database does not answer yet: %s", error)
                self._line.drop()
                self._stop_asked.wait(pause)
                pause = min(pause * 2, _LONGEST_BACKOFF)
            else:
                # The next use is the end's, and by then the server may have dropped it.
                self._line.drop()
                return True
        return False

    def _poll_interval(self, *, has_wakeups: bool) -> float:
        return self._options.poll_interval or (_WITH_WAKEUPS if has_wakeups else _WITHOUT_WAKEUPS)

    def _rely(self, has_wakeups: bool) -> None:
        self._outlook.rely(self._poll_interval(has_wakeups=has_wakeups), has_wakeups=has_wakeups)

    def _announce(self) -> None:
        options = self._options
        logger.info(
            "django_flare %s worker %s on database %r (%s)",
            django_flare.__version__,
            self._identity.worker_id,
            options.database,
            connections[options.database].display_name,
        )
        logger.info(
            "%d slots, queues: %s, %d job types, wake-ups: %s, poll every %g s",
            options.concurrency,
            ", ".join(options.queues) or "all",
            len(registry.names()),
            self._waker.name_shown if self._waker else "none",
            self._poll,
        )
        if not self.has_supervisor:
            logger.info("No supervisor: a handler that does not end when told to cannot be killed")

    def _wait(self) -> None:
        """Wait for the end of the work, or for a stop and then for the running jobs as long as allowed."""
        settled = self._dispatcher.settled
        # Only these end it before it is told to.
        ends_by_itself = self._options.burst or self._options.max_jobs is not None
        patience = _SHORT_LOOK if ends_by_itself else _LONG_LOOK
        while not self._stop_asked.wait(patience) and not settled.is_set():
            self._retire_after_max_jobs()
        self._retire_after_max_jobs()
        if not settled.is_set():
            logger.info("Stopping: %d jobs in hand", len(self._dispatcher.in_hand))
            self._dispatcher.stop()
            self._wait_unless_hurried(lambda: self._drained_by)
        if not settled.is_set():
            self._dispatcher.tell_all_to_end(EndReason.SHUTDOWN)
            until = time.monotonic() + _TOKENS_TO_END
            self._wait_unless_hurried(lambda: until)
        if not settled.is_set():
            self._dispatcher.give_up()
            settled.wait(_LAST_WRITES)

    def _retire_after_max_jobs(self) -> None:
        if self.has_supervisor and self._dispatcher.has_begun_all:
            self.retire(f"it has run --max-jobs {self._options.max_jobs}", limited=False)

    def _wait_unless_hurried(self, deadline: Callable[[], float]) -> None:
        while time.monotonic() < deadline() and not self._hurry.is_set():
            if self._dispatcher.settled.wait(0.05):
                return

    def _end(self) -> bool:
        is_free = False
        try:
            is_free = self._end_threads()
        except Exception:
            # Whatever is left behind then: others are to have the jobs.
            logger.exception("Worker %s could not end in order", self._identity.worker_id)
        # What still runs is given back last of all, so that nobody starts it long before this process ends.
        self._resign()
        self._deadlines.stop()
        logger.info("Worker %s has ended", self._identity.worker_id)
        self._note_end()
        return is_free

    def _end_threads(self) -> bool:
        helpers = [each for each in (self._heartbeat, self._housekeeper, self._waker) if each is not None]
        for helper in helpers:
            helper.stop()
        for helper in helpers:
            helper.join(2.0)
        # Handlers have had their time; receivers of their signals get as much.
        is_over = self._dispatcher.has_given_up or self._hurry.is_set()
        return self._dispatcher.slots.stop(0.0 if is_over else self._options.shutdown_timeout)

    def _note_end(self) -> None:
        self.ended.set()
        self._changed()

    def _resign(self) -> None:
        until = time.monotonic() + _LAST_WRITES
        while not self._has_resigned():
            if time.monotonic() > until:
                # Then the lease ends it: others take back what is left.
                logger.warning("The worker's row could not be removed; the lease ends what it holds")
                break
            time.sleep(0.05)
        else:
            self.has_resigned = True
        self._line.drop()

    def _has_resigned(self) -> bool:
        """Give everything back; False to try again: a row is locked, or the database does not answer."""
        try:
            with self._line:
                return recovery.resign(self._identity.worker_id, self._options.database)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("Resigning failed: %s", error)
            self._line.drop()
            return False


def end_process() -> None:
    """End the process although threads of it still run handlers; exit code 0."""
    logging.shutdown()
    os._exit(0)
