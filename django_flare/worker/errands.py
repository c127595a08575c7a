"""What a supervisor has a process of its own do for it: take back the runs of dead children.

It has no connection, and no Django to make one with.
So whoever takes runs back is started for that, and ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from django_flare.states import Event
from django_flare.worker.board import Overrun
from django_flare.worker.oversight import describe_exit
from django_flare.worker.signal_handlers import STOP_SIGNALS

logger = logging.getLogger("django_flare.worker")

VARIABLE = "FLARE_WORKER_ERRAND"
"""The variable by which a supervisor tells a process what to do for it."""
_AT_ONCE = 2
"""One may wait for locked rows or a database that is away, and does not hold up the next one."""
STOP_IS_DUE = 10
"""The exit code of a process that has asked and found a run that should have heeded a stop."""
_PAUSE = 5.0


@dataclass(frozen=True, kw_only=True)
class Errand:
    """Say whose runs are to end, by which event; `supervisor` is the process that has sent it.

    Those among them that `overran` end as timed out, or as stopped. With `asks` none ends: the question is
    whether one of them is to stop.
    """

    supervisor: int
    runs: Mapping[str, Event]
    overran: Sequence[Overrun] = ()
    asks: bool = False

    def environment(self) -> dict[str, str]:
        """Return the variables by which the process learns it."""
        return {VARIABLE: json.dumps(asdict(self))}


def take_errand() -> Errand | None:
    """Return the errand of this process if it was sent on one."""
    found = os.environ.pop(VARIABLE, None)
    if found is None:
        return None
    told = json.loads(found)
    runs = {worker_id: Event(event) for worker_id, event in told["runs"].items()}
    overran = [Overrun(*each) for each in told["overran"]]
    return Errand(supervisor=told["supervisor"], runs=runs, overran=overran, asks=told["asks"])


def send(command: Sequence[str], errand: Errand) -> subprocess.Popen[bytes]:
    """Start a process for the errand; raises OSError when the system has no room for it."""
    with _deaf():
        return subprocess.Popen(  # noqa: S603 - our own command line
            command,
            env={**os.environ, **errand.environment()},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


class Errands:
    """Send processes, at most two at a time, to take back runs; nothing here waits but `finish`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._waiting: dict[str, Event] = {}
        self._overran: list[Overrun] = []
        self._under_way: list[subprocess.Popen[bytes]] = []
        self._start_at = 0.0

    def put(self, worker_id: str, event: Event, overran: Sequence[Overrun] = ()) -> None:
        """Let the runs of this worker end by `event`, or as overrun, by the next process that is sent."""
        self._waiting[worker_id] = event
        self._overran += overran

    def look(self) -> None:
        """Reap who is back, and send somebody if there is something to do."""
        self._under_way = [process for process in self._under_way if not _is_back(process)]
        if self._waiting and len(self._under_way) < _AT_ONCE and time.monotonic() >= self._start_at:
            self._send()

    def finish(self, seconds: float) -> None:
        """Wait until all are back, for at most `seconds`; the lease ends what is left."""
        deadline = time.monotonic() + seconds
        self.look()
        while (self._waiting or self._under_way) and (left := deadline - time.monotonic()) > 0:
            if self._under_way:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._under_way[0].wait(left)
            else:
                time.sleep(min(left, _PAUSE))
            self.look()
        if self._waiting or self._under_way:
            logger.warning("Runs of dead processes could not be taken back in time; the lease ends them")
        for process in self._under_way:
            process.kill()
            process.wait()

    def _send(self) -> None:
        errand = Errand(supervisor=os.getpid(), runs=self._waiting, overran=self._overran)
        try:
            process = send(self._command, errand)
        except OSError as error:
            self._start_at = time.monotonic() + _PAUSE
            logger.error("No process could be started to take back runs, trying again soon: %s", error)
            return
        self._under_way.append(process)
        self._waiting, self._overran = {}, []


def _is_back(process: subprocess.Popen[bytes]) -> bool:
    code = process.poll()
    if code:
        logger.warning(
            "Process %d, which was to take back runs, failed: %s; the lease ends them",
            process.pid,
            describe_exit(code),
        )
    return code is not None


@contextmanager
def _deaf() -> Iterator[None]:
    """Let what is started meanwhile never hear of STOP_SIGNALS, not even before its first line of Python.

    A process manager may signal all processes; this one ends by itself, and with its supervisor. Signals
    that come to this process meanwhile are only late.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
