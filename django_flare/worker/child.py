"""A child of the supervisor: a worker's service that reports, obeys a pipe, and ends with its parent."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from django_flare.worker.board import Board
from django_flare.worker.channel import PULSE, Leash, Report, Sender, file_of
from django_flare.worker.options import WorkerOptions
from django_flare.worker.parents import ORPHANED, die_with
from django_flare.worker.process import MemoryWatch, MissingTablesError, run_service
from django_flare.worker.service import WorkerService, end_process
from django_flare.worker.signal_handlers import STOP_SIGNALS, handled

logger = logging.getLogger("django_flare.worker")


def serve(options: WorkerOptions, leash: Leash) -> None:
    """Run a worker as the child of a supervisor; returns when it has ended, or ends the process."""
    die_with(leash.supervisor)
    child = Child(options, leash)
    child.start()
    # A process manager may signal all processes of the group; that and the supervisor's order are one.
    with handled(STOP_SIGNALS, child.retire_by_signal):
        is_free = child.run()
    if not is_free:
        end_process()


class Child:
    """The service, and the two threads that tie it to the supervisor."""

    def __init__(self, options: WorkerOptions, leash: Leash) -> None:
        self._options = options
        self._orders = leash.orders
        self._pipes = {descriptor: file_of(descriptor) for descriptor in (leash.orders, leash.reports)}
        self._sender = Sender(leash.reports)
        board = Board(leash.board)
        # What is mapped stays, whatever a handler closes.
        os.close(leash.board)
        self._service = WorkerService(options, self._report, self._distrust, board)
        self._memory = MemoryWatch(self._service, options.max_memory)
        self._ended = threading.Event()
        self._has_complained = False

    def start(self) -> None:
        """Start the threads."""
        threading.Thread(target=self._obey, name="flare-orders", daemon=True).start()
        threading.Thread(target=self._pulse, name="flare-pulse", daemon=True).start()

    def run(self) -> bool:
        """Run the service; tell whether every slot is free."""
        try:
            return run_service(self._service, self._options)
        except MissingTablesError as error:
            self._report(fatal=str(error))
            sys.exit(1)
        finally:
            self._ended.set()

    def retire_by_signal(self) -> None:
        """Let the worker end because its process was told to, and not its supervisor."""
        self._service.retire("a signal told its process to end")

    def _obey(self) -> None:
        # Without the supervisor the pipe has no writer and is at its end (F54).
        try:
            while orders := os.read(self._orders, 16):
                for _ in orders:
                    self._service.stop()
        finally:
            os._exit(ORPHANED)

    def _pulse(self) -> None:
        self._attempt(self._report)
        while not self._ended.wait(PULSE):
            self._attempt(self._memory.look)
            self._attempt(self._report)

    def _attempt(self, step: Callable[[], object]) -> None:
        """Take a step of the pulse; one that fails does not end it, or this process would pass for stuck."""
        try:
            step()
        except Exception:
            if not self._has_complained:
                logger.exception("A step of the pulse failed; it is tried again every second")
            self._has_complained = True

    def _distrust(self) -> None:
        """End this process if a handler has closed its pipes, and with them what the others had open.

        The supervisor sees that, too, and kills it; by then a neighbour might have failed for want of its
        connection, and that attempt would count.
        """
        if any(file_of(descriptor) != file for descriptor, file in self._pipes.items()):
            os.killpg(0, signal.SIGKILL)

    def _report(self, **more: Any) -> None:
        service = self._service
        self._sender.send(
            Report(
                vitals=service.vitals(),
                announced_id=service.announced_id,
                retiring=service.retiring,
                within=service.ends_within,
                is_ready=service.is_ready,
                has_overrun=service.has_overrun,
                has_resigned=service.has_resigned,
                has_ended=service.ended.is_set(),
                **more,
            )
        )
