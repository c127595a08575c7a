"""Worker processes of the measured queue."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from django.conf import settings

from benchmarks import starts

PATIENCE = 60
LONGEST = 300
"""Seconds that a drain may take."""

_SENT = re.compile(rb"\tF\t\d+\t(?:Query|Execute)\t")


def module() -> Any:
    """Return the module that has the measured queue's `one`, `many`, `tell`."""
    return import_module(settings.QUEUE.module)


def one() -> Callable[[int], object]:
    """Return the function that queues one job."""
    function: Callable[[int], object] = getattr(module(), settings.QUEUE.one)
    return function


class Trace:
    """Count the statements that the worker's processes send to PostgreSQL, BEGIN and COMMIT included."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self.environment = {"BENCHMARKS_TRACE": folder}

    @property
    def statements(self) -> int:
        return sum(len(_SENT.findall(file.read_bytes())) for file in self._folder.iterdir())


@contextmanager
def traced() -> Iterator[Trace]:
    """Keep what a worker sends in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="flare-bench-") as folder:
        yield Trace(folder)


def run_to_the_end(number: int, environment: dict[str, str] | None = None) -> None:
    """Run so many workers that end by themselves, at once."""
    command = settings.QUEUE.drain
    with ExitStack() as stack:
        processes = [stack.enter_context(running(command, environment)) for _ in range(number)]
        if ended := [process.returncode for process in processes if process.wait(LONGEST)]:
            raise RuntimeError(f"{command} ended with {ended}")


def run_until(is_over: Callable[[], bool], number: int) -> None:
    """Run so many workers that go on for ever, until it is over."""
    with ExitStack() as stack:
        processes = [stack.enter_context(running(settings.QUEUE.serve)) for _ in range(number)]
        deadline = time.monotonic() + LONGEST
        while not is_over():
            if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
                raise RuntimeError(f"{settings.QUEUE.serve} ended too early or takes too long")


@contextmanager
def serving(environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run a worker; yield its process id once it has run a first job and has calmed down."""
    with tempfile.TemporaryDirectory(prefix="flare-bench-") as folder:
        os.environ[starts.VARIABLE] = str(Path(folder) / "starts")
        with running(settings.QUEUE.serve, environment) as process:
            first = -1000
            module().tell(first)
            wait_until(lambda: first in starts.noted())
            time.sleep(2)
            yield process.pid


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look again and again; raise after a minute."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Nothing came of it in {PATIENCE} s")
        time.sleep(0.05)


@contextmanager
def running(
    arguments: tuple[str, ...], environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Python with these arguments, and end it with all that it has started."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # its children can be ended with it
    )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
