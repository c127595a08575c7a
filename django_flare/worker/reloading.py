"""A worker that starts again when the code has changed, as `runserver` does."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys

from django.utils import autoreload

from django_flare.worker.options import WorkerOptions
from django_flare.worker.process import probes_of
from django_flare.worker.service import WorkerService
from django_flare.worker.signal_handlers import STOP_SIGNALS


def run_with_reloader(options: WorkerOptions) -> None:
    """Run a worker in this process, or in a new one, again after each change; ends the process."""
    if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true":
        service = WorkerService(options)
        with probes_of(service, options):
            autoreload.run_with_reloader(_run_reloaded, service)
        return
    # Django's own parent process would kill the child at a signal, with its jobs.
    while (status := _run_child()) == _CHANGED:
        pass
    sys.exit(status)


_CHANGED = 3
"""The exit status by which Django's reloader says that the code has changed."""


def _run_child() -> int:
    environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    child = subprocess.Popen(autoreload.get_child_arguments(), env=environment, close_fds=False)  # noqa: S603 - ourselves
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: child.send_signal(signal.SIGTERM))
    signal.signal(signal.SIGQUIT, lambda *_: child.send_signal(signal.SIGQUIT))
    return child.wait()


def _run_reloaded(service: WorkerService) -> None:
    # The reloader owns the main thread and ends the process by sys.exit, on a change as on SIGTERM.

    def end() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        service.stop()
        service.stop()
        service.ended.wait(10)

    atexit.register(end)
    service.run()
