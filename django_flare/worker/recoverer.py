"""Take back the runs of children that have ended, in a process that exists only for that."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError

from django_flare.conf import flare_settings
from django_flare.errors import JobTimeout
from django_flare.lifecycle import recovery
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome
from django_flare.states import Event
from django_flare.store.faults import is_passing
from django_flare.worker.board import Overrun
from django_flare.worker.deadlines import Deadlines
from django_flare.worker.errands import Errand
from django_flare.worker.lines import Line
from django_flare.worker.parents import die_with

logger = logging.getLogger("django_flare.worker")

_PATIENCE_WITH_SERVER = 10.0
_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0


def run_errand(errand: Errand, using: str) -> bool:
    """Do what the supervisor asks for; False if something is left, which the lease ends.

    It tries for two leases: by then the leases of the dead have ended, and every worker may take their runs.
    """
    die_with(errand.supervisor)
    seconds = 2 * flare_settings().lease.total_seconds()
    return Recoverer(using).recover(errand.runs, seconds, [_outcome(each) for each in errand.overran])


def await_stop(errand: Errand, using: str) -> bool:
    """Wait until a run of these workers, which cannot learn it, should have heeded a stop.

    False when none was asked to stop within two leases: by then their process has been killed.
    """
    die_with(errand.supervisor)
    settings = flare_settings()
    grace, beat = settings.timeout_grace.total_seconds(), settings.beat.total_seconds()
    asked_at, deadline = math.inf, time.monotonic() + 2 * settings.lease.total_seconds()
    with _watched(Line(using, _PATIENCE_WITH_SERVER)) as line:
        while time.monotonic() < min(deadline, asked_at + grace):
            if asked_at == math.inf and _is_any_to_stop(errand, line, using):
                asked_at = time.monotonic()
            time.sleep(max(0.0, min(beat, asked_at + grace - time.monotonic())))
    return asked_at < math.inf


def _is_any_to_stop(errand: Errand, line: Line, using: str) -> bool:
    try:
        with line:
            return recovery.is_any_to_stop(errand.runs, using)
    except (DatabaseError, InterfaceError):
        # It may answer the next time.
        line.drop()
        return False


def _outcome(overrun: Overrun) -> Outcome:
    if overrun.stop:
        return Outcome(id=overrun.key, fence=overrun.fence, event=Event.STOPPED)
    failure = describe(JobTimeout("the attempt ran longer than its timeout, until its process was killed"))
    return Outcome(id=overrun.key, fence=overrun.fence, event=Event.FAIL, failure=failure, timed_out=True)


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
        self._known: Sequence[Outcome] = ()

    def recover(self, runs: Mapping[str, Event], seconds: float, known: Sequence[Outcome] = ()) -> bool:
        """Let the runs of these workers end by their events; False if that failed for some.

        Those of which an outcome is `known` end by that.
        """
        self._known = known
        deadline = time.monotonic() + seconds
        waiting = [_Work(worker_id, event) for worker_id, event in runs.items()]
        failed = 0
        with _watched(Line(self._using, self._limit)) as line:
            while waiting and time.monotonic() < deadline:
                work = min(waiting, key=lambda each: each.due)
                time.sleep(max(0.0, min(work.due, deadline) - time.monotonic()))
                try:
                    is_done = self._attend(work, line)
                except Exception:
                    logger.exception(
                        "The runs of %s could not be taken back; the lease ends them", work.worker_id
                    )
                    line.drop()
                    is_done, failed = True, failed + 1
                if is_done:
                    waiting.remove(work)
                else:
                    work.put_off()
        return not waiting and not failed

    def _attend(self, work: _Work, line: Line) -> bool:
        """Try once; tell whether nothing is left to do."""
        try:
            with line:
                count = recovery.recover_worker(work.worker_id, work.event, self._using, self._known)
        except (DatabaseError, InterfaceError) as error:
            line.drop()
            if not is_passing(error):
                raise
            if not work.has_warned:
                logger.warning(
                    "The runs of %s are taken back when the database answers: %s", work.worker_id, error
                )
            work.has_warned, count = True, None
        if count:
            level = logging.WARNING if work.event is Event.LOSE else logging.INFO
            verb = "Took back" if work.event is Event.LOSE else "Released"
            logger.log(level, "%s %d jobs of worker %s", verb, count, work.worker_id)
        return count is not None


@contextmanager
def _watched(line: Line) -> Iterator[Line]:
    """Watch the line, and drop it at the end."""
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
