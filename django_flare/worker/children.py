"""A child as its supervisor holds it: the process, the two pipes and the board."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from django_flare.states import Event
from django_flare.worker.board import Board, Overrun, open_board
from django_flare.worker.channel import PULSE, STOP, Leash, Receiver, Report
from django_flare.worker.errands import STOP_IS_DUE, Errand, send
from django_flare.worker.oversight import Watch
from django_flare.worker.vitals import Vitals

_LAST_MOMENT = 0.5
"""Seconds that a child gets from the end of its pipe to its own."""
_TO_END_ITSELF = 0.5
"""Seconds that a child gets to end a run that must be over: two looks of its own watchdog."""
_BEFORE_ASKING = 2.5
"""Seconds of silence until somebody asks for it: after five it may have missed a beat."""
_EXITING = 0x4  # PF_EXITING among the flags of /proc/<pid>/stat, proc(5)


class ChildProcess:
    """A spawned worker process; raises OSError when the system has no room for it."""

    def __init__(self, command: Sequence[str], now: float) -> None:
        # If anything fails, both ends of what was opened so far are closed; the child's in any case.
        with ExitStack() as ours, ExitStack() as its:
            orders, self._orders = _pipe(its, ours)
            reports, far_end = _pipe(ours, its)
            self.receiver = Receiver(reports)
            board = open_board()
            its.callback(os.close, board)
            self._board = Board(board)
            ours.callback(self._board.close)
            leash = Leash(orders=orders, reports=far_end, board=board, supervisor=os.getpid())
            # A session of its own, so that Ctrl-C in a terminal reaches the supervisor alone.
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                command,
                env={**os.environ, **leash.environment()},
                pass_fds=(orders, far_end, board),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            ours.pop_all()
        self.pid = self._process.pid
        self._command = command
        self._inquiry: subprocess.Popen[bytes] | None = None
        self.started_at = now
        self.watch = Watch(now)
        self.worker_ids: list[str] = []
        """All ids under which it may have claimed."""
        self.report: Report | None = None
        self.was_ready = False
        self.has_resigned = False
        """Whether it has given everything back."""
        self.has_ended = False
        """Whether it has come to the end of its work in order."""
        self.kill_at = math.inf
        """When it is killed if it has not ended by itself."""
        self.is_leaving = False
        self.was_told = False
        """Whether its end was asked for, by itself or by the supervisor."""
        self.was_cut_short = False
        """Whether it was killed for what only some of its runs are to blame for, or none."""
        self.overran: list[Overrun] = []
        """The runs that were past their end when it was killed."""
        self.cut_at = math.inf
        """When it is killed although it was not to end, since its pipe is closed."""

    def read(self, now: float, limit: float) -> None:
        """Take in the reports that have arrived."""
        for report in self.receiver.receive():
            self.watch.note(report, now, limit)
            self.report = report
            # What was said once holds, though an older report may arrive after it.
            self.was_ready = self.was_ready or report.is_ready
            self.has_resigned = self.has_resigned or report.has_resigned
            self.has_ended = self.has_ended or report.has_ended
            worker_id = report.announced_id
            if worker_id and worker_id not in self.worker_ids:
                self.worker_ids.append(worker_id)
        if self.receiver.is_closed and self.cut_at == math.inf:
            self.cut_at = now + (_LAST_MOMENT if is_exiting(self.pid) else 0.0)

    def vitals(self, now: float) -> Vitals | None:
        """Return its vitals as they may be by now, or None before its first report.

        Nobody knows how the loops of a silent one do: the longer, the worse.
        """
        report, heard_at = self.report, self.watch.heard_at
        if report is None or heard_at is None:
            return None
        silence, vitals = now - heard_at, report.vitals
        late = max(0.0, silence - 2 * PULSE)
        return replace(vitals, overdue=vitals.overdue + late, beat_age=vitals.beat_age + silence)

    def overruns(self, now: float) -> list[Overrun]:
        """Return the runs that are past their end while the child is silent and cannot end them itself."""
        return self._board.overruns(now - _TO_END_ITSELF) if now >= self.watch.silent_from else []

    def inquire(self, now: float) -> None:
        """Have a process ask whether a run of it is to stop, as long as it is silent and runs something."""
        if now < self.watch.silent_from + _BEFORE_ASKING or self._board.next_end == math.inf:
            self._end_inquiry()
        elif self._inquiry is None:
            runs = dict.fromkeys(self.worker_ids, Event.RELEASE)
            with contextlib.suppress(OSError):
                self._inquiry = send(self._command, Errand(supervisor=os.getpid(), runs=runs, asks=True))

    @property
    def is_to_stop(self) -> bool:
        """Whether it has been silent ever since a run of it should have heeded a stop."""
        return self._inquiry is not None and self._inquiry.poll() == STOP_IS_DUE

    def _end_inquiry(self) -> None:
        if self._inquiry is not None:
            self._inquiry.kill()
            self._inquiry.wait()
            self._inquiry = None

    def next_look(self, now: float) -> float:
        """When it may be silent; and while it is, when to ask for it, or when a run of it is past its end."""
        silent_from = self.watch.silent_from
        if self.receiver.is_closed:
            return math.inf
        if now < silent_from:
            return silent_from
        ask_at = silent_from + _BEFORE_ASKING
        return min(self._board.next_end + _TO_END_ITSELF, ask_at if now < ask_at else math.inf)

    @property
    def retiring(self) -> str:
        """Why it retires, empty while it does not."""
        return self.report.retiring if self.report else ""

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, None while it runs; a dead one is reaped by this."""
        return self._process.poll()

    def order_stop(self) -> None:
        """Ask it to end; asked twice, it does not wait for its jobs."""
        self.was_told = True
        # It may just have ended.
        with contextlib.suppress(OSError):
            os.write(self._orders, STOP)

    def kill_before(self, moment: float) -> None:
        """Let it be killed at `moment` at the latest."""
        self.kill_at = min(self.kill_at, moment)

    def kill(self) -> None:
        """End it at once, and with it what its handlers have started and not put elsewhere (F49)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """Pass a signal on."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Close the pipes and the board, and ask nothing more."""
        self._end_inquiry()
        self._board.close()
        os.close(self._orders)
        self.receiver.close()


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    """Open a pipe whose ends are closed with those to whom they belong."""
    reader, writer = os.pipe()
    reading.callback(os.close, reader)
    writing.callback(os.close, writer)
    return reader, writer


def is_exiting(pid: int) -> bool:
    """Tell whether the kernel is about to end the process or has; without /proc nobody knows, and False."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
        # After the name, which may hold anything.
        return bool(int(line.rpartition(")")[2].split()[6]) & _EXITING)
    except (OSError, ValueError, IndexError):
        return False
