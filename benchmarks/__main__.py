"""Run all measurements, in turns, and write the results (see benchmarks/report.py).

Everything runs on the databases that the tests find (see tests/databases.py) and on Redis, each measurement
in a database and a process of its own. In a round every queue and database has its turn before the next
round begins, so that noise of the machine meets all alike; the figures are medians of the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import plan, report, servers
from benchmarks.figures import Figures
from benchmarks.queues import QUEUES

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def main() -> None:
    """Measure and report."""
    arguments = _arguments()
    databases = {each.name: each for each in servers.there_are()}
    chosen = _chosen(arguments, tuple(databases))
    left_out = [name for name in arguments.queues if name not in chosen.queues]
    print(f"Left out: {', '.join(left_out) or 'none'}", flush=True)
    given = {
        name: getattr(arguments, name)
        for name in ("jobs", "singles", "many", "latencies", "requests", "history", "rows")
    }
    under = report.conditions(given, [each.facts() for each in databases.values()], chosen.queues)
    figures = Figures()
    for number in range(arguments.rounds):
        for key, count in chosen.round(number):
            _measure(key, count, databases[key.database], figures, arguments.history)
        # After every round, so that a long run that is ended early is not lost.
        text = report.write(arguments.output, figures, {**under, "rounds": number + 1, "left out": left_out})
    print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=3)
    add("--steps", nargs="*", choices=plan.STEPS, default=plan.STEPS)
    add("--queues", nargs="*", choices=QUEUES, default=tuple(QUEUES))
    add("--databases", nargs="*", default=None, help="names such as PostgreSQL; default all there are")
    add("--jobs", type=int, default=20_000, help="jobs in a drain; slow queues get fewer")
    add("--singles", type=int, default=2_000, help="jobs enqueued one by one")
    add("--many", type=int, default=50_000, help="jobs enqueued in one call")
    add("--latencies", type=int, default=300, help="jobs of a latency measurement")
    add("--history", type=int, default=1_000_000, help="finished rows, beside half as many future ones")
    add("--requests", type=int, default=3_000, help="HTTP requests of a measurement")
    add("--rows", type=int, default=5_000_000, help="rows in the table beside which pages are asked for")
    add("--idle", type=int, default=20, help="seconds to look at an idle worker")
    add("--output", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace, there: Sequence[str]) -> plan.Chosen:
    databases = [name for name in there if arguments.databases is None or name in arguments.databases]
    queues = [
        name
        for name, queue in QUEUES.items()
        if name in arguments.queues and queue.version is not None and set(queue.databases) & set(databases)
    ]
    return plan.Chosen(arguments.steps, queues, databases, plan.counts(arguments))


def _measure(key: plan.Key, count: int, database: Any, figures: Figures, history: int) -> None:
    start = time.monotonic()
    with database.database() as url:
        found = _run(key, count, {"BENCHMARKS_URL": url, "BENCHMARKS_HISTORY": str(history)})
    took = f"[{time.monotonic() - start:.0f} s]"
    if found.returncode:
        # A peer that fails must not end a long run; the report names the failure.
        figures.failures.append(f"{key.step}, {key.queue}, {key.database}")
        print(took, *key, "FAILED", found.stderr[-1500:], sep="  ", flush=True)
        return
    numbers: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    figures.add(key, numbers)
    print(took, *key, *(f"{name} {value:,.4g}" for name, value in numbers.items()), sep="  ", flush=True)


def _run(key: plan.Key, count: int, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    own = {
        "BENCHMARKS_QUEUE": key.queue,
        "BENCHMARKS_STEP": key.step,
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
    }
    return subprocess.run(
        [sys.executable, "-m", "django", "measure", key.step, str(count)],
        cwd=ROOT,
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
    )


if __name__ == "__main__":
    main()
