"""Take back the runs of children that have ended, on a thread that exists only meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError

from django_flare.lifecycle import recovery
from django_flare.states import Event
from django_flare.store.faults import is_passing
from django_flare.worker.deadlines import Deadlines
from django_flare.worker.lines import Line

logger = logging.getLogger("django_flare.worker")

_PATIENCE_WITH_SERVER = 10.0
_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0


@dataclass(slots=True, eq=False)
class _Work:
    worker_id: str
    event: Event
    due: float = 0.0
    pause: float = _SHORTEST_PAUSE
    has_warned: bool = False

    def put_off(self) -> None:
        """Let it be due again after a pause, which grows, so that the others have their turn."""
        self.due = time.monotonic() + self.pause
        self.pause = min(self.pause * 2, _LONGEST_PAUSE)


class Recoverer:
    """Recover workers one after the other; while the database is away it waits and goes on later (F33).

    It waits at most `limit` seconds for an answer, on a connection of its own (F37); one whose rows are
    locked holds up no other.
    """

    def __init__(self, using: str, limit: float = _PATIENCE_WITH_SERVER) -> None:
        self._using = using
        self._limit = limit
        self._waiting: list[_Work] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def put(self, worker_id: str, event: Event) -> None:
        """Let the runs of this worker end by `event`, soon."""
        with self._changed:
            self._waiting.append(_Work(worker_id, event))
            self._changed.notify()
            if self._thread is None:
                self._thread = self._started()

    def finish(self, seconds: float) -> bool:
        """Wait until nothing is left to do; False if something is after `seconds`, which the lease ends."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return not self._waiting and (thread is None or not thread.is_alive())

    def _started(self) -> threading.Thread | None:
        thread = threading.Thread(target=self._run, name="flare-recoverer", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # The next one that dies tries again; until then the lease ends them.
            logger.error("No thread could be started to take back runs: %s", error)
            return None
        return thread

    def _run(self) -> None:
        with _watched(Line(self._using, self._limit)) as line:
            while (work := self._next()) is not None:
                try:
                    self._attend(work, line)
                except Exception:
                    logger.exception(
                        "The runs of %s could not be taken back; the lease ends them", work.worker_id
                    )
                    line.drop()

    def _next(self) -> _Work | None:
        """Wait for what is due and return it; None ends the thread, since there is nothing left."""
        with self._changed:
            while self._waiting:
                work = min(self._waiting, key=lambda each: each.due)
                patience = work.due - time.monotonic()
                if patience <= 0:
                    self._waiting.remove(work)
                    return work
                self._changed.wait(patience)
            self._thread = None
            return None

    def _attend(self, work: _Work, line: Line) -> None:
        try:
            with line:
                count = recovery.recover_worker(work.worker_id, work.event, self._using)
        except (DatabaseError, InterfaceError) as error:
            line.drop()
            if not is_passing(error):
                raise
            if not work.has_warned:
                logger.warning(
                    "The runs of %s are taken back when the database answers: %s", work.worker_id, error
                )
            work.has_warned, count = True, None
        if count is None:
            work.put_off()
            with self._changed:
                self._waiting.append(work)
        else:
            self._tell(work, count)

    def _tell(self, work: _Work, count: int) -> None:
        if count:
            level = logging.WARNING if work.event is Event.LOSE else logging.INFO
            verb = "Took back" if work.event is Event.LOSE else "Released"
            logger.log(level, "%s %d jobs of worker %s", verb, count, work.worker_id)


@contextmanager
def _watched(line: Line) -> Iterator[Line]:
    """Watch the line and drop it at the end: an idle supervisor keeps neither connection nor thread."""
    deadlines = Deadlines([line])
    try:
        deadlines.start()
    except RuntimeError as error:
        logger.error("No thread could be started to watch a connection: %s", error)
    try:
        yield line
    finally:
        deadlines.stop()
        line.drop()
