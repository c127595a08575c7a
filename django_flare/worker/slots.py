"""Slots: long-lived threads, each running one job at a time on connections of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from django_flare.conf import flare_settings
from django_flare.worker.board import Board, Entry
from django_flare.worker.event_loop import EventLoop
from django_flare.worker.runs import Run, overrun
from django_flare.worker.slot import Notice, Slot

logger = logging.getLogger("django_flare.worker")

_TELL_TO_RAISE = 1.0
"""Seconds after it was told to end at which an exception is raised in the handler."""
_TICK = 0.25
_A_MOMENT = 0.05


def _always() -> bool:
    return True


class Slots:
    """A fixed number of slots and the runs that wait for one.

    No handler is started while `may_start` says no: its run is given back.
    """

    def __init__(
        self,
        count: int,
        using: str,
        done: Callable[[Run], object],
        overran: Callable[[Run], object] | None = None,
        may_start: Callable[[], bool] = _always,
    ) -> None:
        self._using = using
        self._done = done
        self._may_start = may_start
        self._overran = overran
        self._count = count
        self.board = Board()
        """Where slots show what they run; to be set before the start."""
        self._free_entries: list[Entry] = []
        self._slots: list[Slot] = []
        self._abandoned: list[Slot] = []
        self._waiting: SimpleQueue[Run | Notice | None] = SimpleQueue()
        self._loop = EventLoop()
        self._has_complained = False
        self._stopped = threading.Event()
        self._grace = flare_settings().timeout_grace.total_seconds()
        # A thread that never waits for the database: the overrunning job may be what locks it.
        self._watchdog = threading.Thread(target=self._watch, name="flare-watchdog", daemon=True)

    def start(self) -> None:
        """Start the threads."""
        self._free_entries = [self.board.entry(place, self._grace) for place in reversed(range(self._count))]
        self._fill()
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

    def escalate(self, grace: float) -> None:
        """Make runs end that are past their deadline or asked to stop: token, exception, and then a new slot.

        With the token, and then every two seconds, a query in progress is cancelled; so those by which a
        handler cleans up after the exception, a second after the token, have another second. One that
        does not end within `grace` seconds keeps its thread but loses its slot and, by the outcome
        that is recorded for it, its fence.
        """
        now = time.monotonic()
        for slot in list(self._slots):
            run = slot.current
            if run is None or run.must_end is None:
                continue
            since, reason = run.must_end
            if now < since:
                continue
            run.tell_to_end(reason)
            slot.note_end(run)
            if now >= since + _TELL_TO_RAISE:
                slot.interrupt(run)
            # Again and again: another than at first, for code in C goes on before anything is raised in it.
            slot.cancel_queries(run)
            if now >= since + grace and slot.abandon(run):
                self._give_up(slot, run)
        self._refill()

    def _give_up(self, slot: Slot, run: Run) -> None:
        self._slots.remove(slot)
        self._free_entries.append(slot.entry)
        self._abandoned = [*(each for each in self._abandoned if each.is_alive()), slot]
        run.finish(overrun(run))
        self._done(run)
        if run.definition.is_async:
            # The handler may hold up the whole loop; the others' coroutines end on the old one.
            self._loop.renew(run)
        if self._overran is not None:
            self._overran(run)

    def _fill(self) -> None:
        while len(self._slots) < self._count:
            entry = self._free_entries[-1]
            slot = Slot(self._waiting, self._loop, self._using, self._done, self._may_start, entry)
            slot.start()
            # Only now: one whose thread could not start neither runs nor can be waited for.
            self._slots.append(slot)
            self._free_entries.pop()

    def _refill(self) -> None:
        """Put new slots in the place of those given up; what the system has no room for comes later."""
        try:
            self._fill()
        except RuntimeError as error:
            if not self._has_complained:
                logger.error("A slot has no thread, trying again and again: %s", error)
            self._has_complained = True
        else:
            self._has_complained = False

    def stop(self, seconds: float) -> bool:
        """Let the threads end when they are idle, within `seconds`; tell whether no handler runs any more."""
        self._stopped.set()
        deadline = time.monotonic() + seconds
        slots = list(self._slots)
        self._waiting.put(None)
        for slot in slots:
            # Nobody waits for one that the watchdog gives up, a moment ago or only now.
            while slot.is_alive() and not slot.is_abandoned and time.monotonic() < deadline:
                slot.join(_A_MOMENT)
        self._loop.stop()
        left_behind = [slot for slot in [*self._abandoned, *slots] if slot.is_abandoned and slot.is_alive()]
        return not left_behind and not any(slot.current for slot in slots)

    def _watch(self) -> None:
        while not self._stopped.wait(_TICK):
            try:
                self.escalate(self._grace)
            except Exception:
                logger.exception("Enforcing timeouts and stops failed")
