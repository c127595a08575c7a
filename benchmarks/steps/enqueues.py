"""Put jobs into the queue."""

import json
import subprocess
import sys
import time

from benchmarks import workers

Numbers = dict[str, float]

PROCESSES = 8


def enqueue(count: int) -> Numbers:
    """Create jobs one by one, each its own transaction."""
    return {"jobs/s": _rate(*timed(count), count)}


def timed(count: int) -> tuple[float, float]:
    """Enqueue and return the moments before and after."""
    one = workers.one()
    one(0)  # connects
    start = time.monotonic()
    for number in range(count):
        one(number)
    return start, time.monotonic()


def enqueue_at_once(count: int) -> Numbers:
    """Create jobs one by one from eight processes at once; `count` is that of all together."""
    command = [sys.executable, "-m", "django", "enqueue_some", str(count // PROCESSES)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        spans = [json.loads(told) for told in _go(processes)]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    starts, ends = zip(*spans, strict=True)
    return {"jobs/s": _rate(min(starts), max(ends), count // PROCESSES * PROCESSES)}


def _go(processes: list[subprocess.Popen[str]]) -> list[str]:
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate()[0] for process in processes]


def many(count: int) -> Numbers:
    """Create jobs in as few calls as the queue allows."""
    workers.one()(0)  # connects
    start = time.monotonic()
    workers.module().many(count)
    return {"jobs/s": _rate(start, time.monotonic(), count)}


def _rate(start: float, end: float, count: int) -> float:
    return count / (end - start)
