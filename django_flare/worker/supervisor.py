"""The parent of the worker processes: starts them, watches them, replaces them, ends them.

It runs no job, keeps no connection, and blocks until a child reports, a child ends, or a signal comes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django_flare.states import Event
from django_flare.worker.board import Overrun
from django_flare.worker.children import ChildProcess
from django_flare.worker.errands import Errands
from django_flare.worker.oversight import Starts, describe_exit, fate
from django_flare.worker.places import Place
from django_flare.worker.signal_handlers import STOP_SIGNALS, handled
from django_flare.worker.tally import Totals
from django_flare.worker.vitals import Vitals

logger = logging.getLogger("django_flare.worker")

MARGIN = 10.0
"""Seconds that a child gets beyond `--shutdown-timeout` before it is killed."""
_LOOK = 5.0
"""Seconds after which it looks at everything although nothing has happened."""
_LATE = 5.0
_LAST_ERRANDS = 10.0


class StartError(Exception):
    """No child can start, and waiting will not change that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a supervisor is told: how many children, and how long it waits for them, in seconds.

    A child is stuck that has not been heard of, or whose claim loop or beat has not moved, for `stuck_after`.
    """

    processes: int
    shutdown_timeout: float
    stuck_after: float
    margin: float = MARGIN


class Supervisor:
    """Keep `terms.processes` children at work until told to stop; it has dead ones' runs taken back."""

    def __init__(
        self,
        terms: Terms,
        command: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = terms
        self._command = command
        self._errands = Errands(command)
        self._clock = clock
        self._places = [Place() for _ in range(terms.processes)]
        self.totals = Totals()
        """What all children have counted, also those that have ended."""
        self._selector = selectors.DefaultSelector()
        self._stops = 0
        self._stops_passed_on = 0
        self._starts = Starts(terms.processes)
        self._hopeless = ""
        self._woken, self._waker = os.pipe()
        for descriptor in (self._woken, self._waker):
            os.set_blocking(descriptor, False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def stop(self) -> None:
        """Ask for a clean end; asked twice, running jobs are not waited for.

        May be called from any thread and from a signal handler.
        """
        self._stops += 1
        self._wake()

    def vitals(self) -> list[Vitals]:
        """Return what the children, also those on their way out, have last said; that of silent ones ages."""
        now = self._clock()
        return [vitals for child in self._children() if (vitals := child.vitals(now))]

    def pass_on(self, number: int) -> None:
        """Send a signal to all children that have reported: the others may not handle it yet."""
        for child in self._children():
            if child.report is not None:
                child.send_signal(number)

    def run(self) -> None:
        """Supervise until told to stop and all children have ended.

        Raises StartError when none of them has ever come up and none will. Belongs in the main
        thread; elsewhere it handles no signals, and hears of a child's end by its pipe.
        """
        logger.info("Supervisor %d with %d processes", os.getpid(), self._terms.processes)
        try:
            # SIGCHLD, for `select` to return when a child has ended.
            with handled(STOP_SIGNALS, self.stop), handled((signal.SIGCHLD,), self._wake):
                while not self._is_over():
                    self._turn()
                self._errands.finish(_LAST_ERRANDS)
        finally:
            self._close()
        if self._hopeless:
            raise StartError(self._hopeless)
        logger.info("Supervisor %d has ended", os.getpid())

    def _turn(self) -> None:
        self._start_children()
        self._wait()
        self._pass_stops_on()
        now = self._clock()
        for place in self._places:
            for child in place.children:
                self._attend(place, child, now)
        self._errands.look()

    def _is_over(self) -> bool:
        return self.is_stopping and not self._children()

    @property
    def is_stopping(self) -> bool:
        """Whether it starts no child any more."""
        return bool(self._stops or self._hopeless)

    def _children(self) -> list[ChildProcess]:
        return [child for place in self._places for child in place.children]

    # Starting.

    def _start_children(self) -> None:
        now = self._clock()
        for place in self._places:
            if not self.is_stopping and place.is_vacant(now):
                self._start(place, now)

    def _start(self, place: Place, now: float) -> None:
        try:
            place.serving = child = ChildProcess(self._command, now)
        except OSError as error:
            pause = max(1.0, place.backoff.after(0.0))
            logger.error("No process could be started, trying again in %g s: %s", pause, error)
            place.start_at = now + pause
            return
        self._selector.register(child.receiver, selectors.EVENT_READ)

    # Waiting.

    def _wait(self) -> None:
        before = self._clock()
        patience = self._patience(before)
        for key, _ in self._selector.select(patience):
            if key.fileobj == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
        now = self._clock()
        if now - before > patience + _LATE:
            # It stood still itself, and cannot tell who was silent meanwhile.
            for child in self._children():
                child.watch.forgive(now)

    def _patience(self, now: float) -> float:
        moments = [min(each.kill_at, each.cut_at, each.next_look(now)) for each in self._children()]
        if not self.is_stopping:
            moments += [
                place.start_at for place in self._places if not place.serving and place.start_at > now
            ]
        return max(0.0, min([now + _LOOK, *moments]) - now)

    # Ending.

    def _pass_stops_on(self) -> None:
        while self._stops_passed_on < min(self._stops, 2):
            self._stops_passed_on += 1
            is_second = self._stops_passed_on == 2
            logger.info("Supervisor %d stops%s", os.getpid(), " without waiting" if is_second else "")
            allowed = (0.0 if is_second else self._terms.shutdown_timeout) + self._terms.margin
            for child in self._children():
                child.order_stop()
                child.kill_before(self._clock() + allowed)

    # Watching.

    def _attend(self, place: Place, child: ChildProcess, now: float) -> None:
        # In this order: what it said before its end has arrived when the end is seen.
        code = child.poll()
        child.read(now, self._terms.stuck_after)
        self._note_report(child)
        if child.retiring and not child.is_leaving:
            self._let_go(place, child, child.retiring)
        if code is not None:
            self._bury(place, child, code, now)
            return
        if child.receiver.is_closed:
            self._forget_pipe(child)
            self._cut_off_if_due(child, now)
        if child.is_leaving and child.report is not None:
            child.kill_before(now + child.report.within + self._terms.margin)
        if child.has_resigned:
            child.kill_before(now + self._terms.margin)
        self._kill_if_due(place, child, now)

    def _note_report(self, child: ChildProcess) -> None:
        if child.was_ready:
            self._starts.note_ready()
        if child.report:
            self.totals.note(child.pid, child.report.vitals.counts)

    def _let_go(self, place: Place, child: ChildProcess, reason: str) -> None:
        child.is_leaving = child.was_told = True
        place.remove(child)
        place.leaving.append(child)
        logger.info("Process %d retires: %s", child.pid, reason)

    def _cut_off_if_due(self, child: ChildProcess, now: float) -> None:
        # Later if it is ending, which what its handlers have left running is to survive. Else a handler has
        # closed (or written into) what it found open, perhaps connections too: nothing may come of that.
        if now >= child.cut_at:
            child.kill()
            child.cut_at = now + self._terms.margin

    def _kill_if_due(self, place: Place, child: ChildProcess, now: float) -> None:
        overruns = child.overruns(now)
        child.inquire(now)
        complaint = child.watch.complaint(now, self._terms.stuck_after)
        if now >= child.kill_at:
            child.was_cut_short, child.overran = child.was_told, overruns
            logger.warning("Process %d does not end and is killed", child.pid)
            child.kill()
            child.kill_at = now + self._terms.margin
        elif (overruns or child.is_to_stop) and not child.receiver.is_closed:
            self._end_overrun(place, child, overruns, now)
        elif complaint and not child.receiver.is_closed:
            logger.error("Process %d is stuck and is killed: %s", child.pid, complaint)
            # While it speaks no handler holds it up, so no job is to blame.
            child.was_cut_short = child.was_told or child.watch.speaks
            child.kill()
            child.watch.forgive(now)

    def _end_overrun(self, place: Place, child: ChildProcess, overruns: list[Overrun], now: float) -> None:
        # What holds its interpreter keeps its watchdog from ending anything; the other runs are given back.
        logger.error("Process %d is silent with a job in it past its end, and is killed", child.pid)
        child.was_cut_short, child.overran = True, overruns
        child.kill()
        child.watch.forgive(now)
        if not child.is_leaving:
            self._let_go(place, child, "a job in it could not be ended otherwise")

    def _bury(self, place: Place, child: ChildProcess, code: int, now: float) -> None:
        self._forget_pipe(child)
        if child.report and child.report.has_overrun:
            # With it ends what the overrun handler has started (F49). After other ends that may go on.
            child.kill()
        child.close()
        self.totals.end(child.pid)
        event = fate(code, has_ended=child.has_ended, was_cut_short=child.was_cut_short)
        # Before it was ready it has claimed nothing.
        if child.was_ready and not child.has_resigned:
            for worker_id in child.worker_ids:
                self._errands.put(worker_id, event, child.overran)
        place.remove(child)
        if child.was_told:
            if event is Event.LOSE:
                logger.warning("Process %d, which was to end, has died: %s", child.pid, describe_exit(code))
        elif not self.is_stopping:
            self._plan_replacement(place, child, code, now)

    def _plan_replacement(self, place: Place, child: ChildProcess, code: int, now: float) -> None:
        pause = place.backoff.after(now - child.started_at)
        place.start_at = now + pause
        if not child.was_ready:
            fatal = child.report.fatal if child.report else ""
            if reason := self._starts.note_death(fatal, code):
                self._give_up(reason)
        if not self._hopeless:
            when = f"in {pause:g} s" if pause else "at once"
            logger.warning(
                "Process %d has died: %s; the next one starts %s", child.pid, describe_exit(code), when
            )

    def _give_up(self, reason: str) -> None:
        self._hopeless = self._hopeless or reason
        for child in self._children():
            child.order_stop()
            child.kill_before(self._clock() + self._terms.margin)

    def _forget_pipe(self, child: ChildProcess) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.receiver)

    def _close(self) -> None:
        for child in self._children():
            # Only after an error of our own; they must not outlive it.
            child.kill()
            child.poll()
        self._selector.close()
        for descriptor in (self._woken, self._waker):
            os.close(descriptor)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b".")
