"""A whole worker in this process: its threads, its start and its end."""

from __future__ import annotations

import logging
import os
import threading
import time

from django.db import DatabaseError, InterfaceError, connections

import django_flare
from django_flare.conf import flare_settings
from django_flare.definitions import registry
from django_flare.lifecycle import recovery
from django_flare.store.faults import is_passing
from django_flare.worker.dispatcher import Dispatcher
from django_flare.worker.heartbeat import Heartbeat
from django_flare.worker.housekeeper import Housekeeper
from django_flare.worker.identity import Identity
from django_flare.worker.options import WorkerOptions
from django_flare.worker.outlook import Outlook
from django_flare.worker.runs import EndReason
from django_flare.worker.wakeups import Waker, waker_for

logger = logging.getLogger("django_flare.worker")

_WITH_WAKEUPS = 1.0
_WITHOUT_WAKEUPS = 0.2
_TOKENS_TO_END = 1.0
_LAST_WRITES = 5.0
_LONGEST_BACKOFF = 5.0


class WorkerService:
    """Run jobs until told to stop; `stop` may be called from any thread and from a signal handler."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._identity = Identity(options, flare_settings().lease)
        kind = waker_for(options.database)
        poll = options.poll_interval or (_WITH_WAKEUPS if kind else _WITHOUT_WAKEUPS)
        self._dispatcher = Dispatcher(
            options, self._identity, Outlook(options, poll, has_wakeups=kind is not None)
        )
        self._heartbeat = Heartbeat(self._dispatcher, self._identity, options.database)
        self._housekeeper = Housekeeper(lambda: self._heartbeat.is_steady, options.database)
        self._waker: Waker | None = kind(options.database, self._dispatcher.inbox.wake) if kind else None
        self._poll = poll
        self._stop_asked = threading.Event()
        self._hurry = threading.Event()
        self.ended = threading.Event()
        """Set when the worker has given everything back and unregistered."""

    def stop(self) -> None:
        """Ask for a clean end; asked twice, running jobs are not waited for."""
        if self._stop_asked.is_set():
            self._hurry.set()
        self._stop_asked.set()

    def run(self) -> bool:
        """Run until stopped or done; tell whether every slot is free.

        False leaves threads behind that still run a handler: the process should end.
        """
        if not self._register():
            self.ended.set()
            return True
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
                self._identity.register()
            except (DatabaseError, InterfaceError) as error:
                if not is_passing(error):
                    raise
                logger.warning("The database does not answer yet: %s", error)
                connections[self._options.database].close()
                self._stop_asked.wait(pause)
                pause = min(pause * 2, _LONGEST_BACKOFF)
            else:
                # The next use is the end's, and by then the server may have dropped it.
                connections[self._options.database].close()
                return True
        return False

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

    def _wait(self) -> None:
        """Wait for the end of the work, or for a stop and then for the running jobs as long as allowed."""
        settled = self._dispatcher.settled
        while not self._stop_asked.is_set() and not settled.wait(0.1):
            pass
        if not settled.is_set():
            logger.info("Stopping: %d jobs in hand", len(self._dispatcher.in_hand))
            self._dispatcher.stop()
            self._wait_unless_hurried(self._options.shutdown_timeout)
        if not settled.is_set():
            self._dispatcher.tell_all_to_end(EndReason.SHUTDOWN)
            self._wait_unless_hurried(_TOKENS_TO_END)
        if not settled.is_set():
            self._dispatcher.give_up()
            settled.wait(_LAST_WRITES)

    def _wait_unless_hurried(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._hurry.is_set():
            if self._dispatcher.settled.wait(0.05):
                return

    def _end(self) -> bool:
        helpers = [each for each in (self._heartbeat, self._housekeeper, self._waker) if each is not None]
        for helper in helpers:
            helper.stop()
        for helper in helpers:
            helper.join(2.0)
        # Handlers have had their time; receivers of their signals get as much.
        is_over = self._dispatcher.has_given_up or self._hurry.is_set()
        is_free = self._dispatcher.slots.stop(0.0 if is_over else self._options.shutdown_timeout)
        # What still runs is given back last of all, so that nobody starts it long before this process ends.
        self._resign()
        logger.info("Worker %s has ended", self._identity.worker_id)
        self.ended.set()
        return is_free

    def _resign(self) -> None:
        until = time.monotonic() + _LAST_WRITES
        try:
            while not recovery.resign(self._identity.worker_id, self._options.database):
                if time.monotonic() > until:
                    logger.warning("A row of this worker is locked; the lease ends what it holds")
                    break
                time.sleep(0.05)
        except (DatabaseError, InterfaceError) as error:
            # Then the lease ends it: others take back what is left.
            logger.warning("The worker's row could not be removed: %s", error)
        connections[self._options.database].close()


def end_process() -> None:
    """End the process although threads of it still run handlers; exit code 0."""
    logging.shutdown()
    os._exit(0)
