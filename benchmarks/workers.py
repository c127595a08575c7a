"""Worker processes, and what they can be asked from outside."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

_SENT = re.compile(rb"\tF\t\d+\t(?:Query|Execute)\t")


def command(*arguments: str) -> list[str]:
    """Return the command line of a management command in this environment."""
    return [sys.executable, "-m", "django", *arguments]


class Trace:
    """Count the statements that one worker's process sends to PostgreSQL, BEGIN and COMMIT included."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self.environment = {**os.environ, "BENCHMARKS_TRACE": folder}

    @property
    def statements(self) -> int:
        return sum(len(_SENT.findall(file.read_bytes())) for file in self._folder.iterdir())


@contextmanager
def traced() -> Iterator[Trace]:
    """Keep what a worker sends in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="flare-bench-") as folder:
        yield Trace(folder)


@contextmanager
def running_worker(environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run a django_flare worker with default settings; yield its process id once it is at work."""
    process = subprocess.Popen(command("flare_worker"), env=environment, stderr=subprocess.DEVNULL)
    try:
        _wait_until_registered()
        time.sleep(2)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_registered() -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM django_flare_worker")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.1)
    raise RuntimeError("The worker did not start")


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    found = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(found.stdout) / 1024
