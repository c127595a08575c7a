"""Slots: long-lived threads, each running one job at a time on connections of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from django_flare.conf import flare_settings
from django_flare.worker.event_loop import EventLoop
from django_flare.worker.runs import EndReason, Run, overrun
from django_flare.worker.slot import Notice, Slot

logger = logging.getLogger("django_flare.worker")

_TELL_TO_RAISE = 1.0
"""Seconds after the deadline at which JobTimeout is raised in the handler."""
_TICK = 0.25


class Slots:
    """A fixed number of slots and the runs that wait for one."""

    def __init__(self, count: int, using: str, done: Callable[[Run], object]) -> None:
        self._using = using
        self._done = done
        self._waiting: SimpleQueue[Run | Notice | None] = SimpleQueue()
        self._loop = EventLoop()
        self._slots = [self._new_slot() for _ in range(count)]
        self._stopped = threading.Event()
        # A thread that never waits for the database: the overrunning job may be what locks it.
        self._watchdog = threading.Thread(target=self._watch, name="flare-watchdog", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        for slot in self._slots:
            slot.start()
        self._watchdog.start()

    def put(self, run: Run) -> None:
        """Let the next free slot run it."""
        self._waiting.put(run)

    def notify(self, notice: Notice) -> None:
        """Let the next free slot call `notice`: receivers of signals run in slots."""
        self._waiting.put(notice)

    def take_back(self) -> list[Run]:
        """Take back the runs that no slot has started."""
        items: list[Run | Notice | None] = []
        try:
            while True:
                items.append(self._waiting.get_nowait())
        except Empty:
            pass
        for item in items:
            if not isinstance(item, Run):
                self._waiting.put(item)
        return [item for item in items if isinstance(item, Run)]

    def enforce_timeouts(self, grace: float) -> None:
        """Escalate against runs past their deadline: token, exception, and then a new slot.

        A handler that does not end within `grace` seconds keeps its thread but loses its slot
        and, by the outcome that is recorded for it, its fence.
        """
        now = time.monotonic()
        for number, slot in enumerate(self._slots):
            run = slot.current
            if run is None or run.deadline is None or now < run.deadline:
                continue
            run.tell_to_end(EndReason.TIMEOUT)
            if now >= run.deadline + _TELL_TO_RAISE:
                slot.interrupt(run)
            if now >= run.deadline + grace and slot.abandon(run):
                run.finish(overrun(run))
                self._done(run)
                if run.definition.is_async:
                    # The handler may hold up the whole loop; the others' coroutines end on the old one.
                    self._loop.renew()
                self._slots[number] = self._new_slot()
                self._slots[number].start()

    def stop(self, seconds: float) -> bool:
        """Let the threads end when they are idle, within `seconds`; tell whether no handler runs any more."""
        self._stopped.set()
        deadline = time.monotonic() + seconds
        for _ in self._slots:
            self._waiting.put(None)
        for slot in self._slots:
            slot.join(max(0.0, deadline - time.monotonic()))
        self._loop.stop()
        return not any(slot.current for slot in self._slots)

    def _watch(self) -> None:
        grace = flare_settings().timeout_grace.total_seconds()
        while not self._stopped.wait(_TICK):
            try:
                self.enforce_timeouts(grace)
            except Exception:
                logger.exception("Enforcing timeouts failed")

    def _new_slot(self) -> Slot:
        return Slot(self._waiting, self._loop, self._using, self._done)
