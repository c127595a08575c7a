"""Run all measurements, in turns, and write `results/core.json` and `results/core.md`.

Everything runs on the databases that the tests find (see tests/databases.py), each measurement in a
database and a process of its own. In a round every queue and database has its turn before the next
round begins, so that noise of the machine meets all alike; the figures are medians of the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import report, servers
from benchmarks.queues import QUEUES

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STEPS = ("drain", "latency", "enqueue", "statements", "idle")
ONCE = {"statements", "idle"}
OURS = "django_flare"
# A minute is enough for these; a shorter backlog is to their advantage.
SLOWER = ("procrastinate", "django-tasks-db")


def main() -> None:
    """Measure and report."""
    arguments = _arguments()
    databases = servers.there_are()
    left_out = [name for name in QUEUES if QUEUES[name].version is None]
    for name in left_out:
        print(f"{name} is not installed and left out")
    facts = [each.facts() for each in databases]
    under = report.conditions({"jobs": arguments.jobs}, facts, left_out)
    figures = report.Figures()
    for number in range(arguments.rounds):
        for key, database, count in _plan(arguments, databases, left_out, number):
            with database.database() as url:
                numbers = _measure(key, url, count)
            figures.add(key, numbers)
            shown = (f"{name} {value:,.2f}" for name, value in numbers.items())
            print(f"round {number + 1}", *key, *shown, sep="  ", flush=True)
        # After every round, so that a long run that is ended early is not lost.
        text = report.write(arguments.output, figures, {**under, "rounds": number + 1})
    print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs in a drain and in one enqueue_many")
    parser.add_argument("--peer-jobs", type=int, default=2_000, help="the same for the slower peers")
    parser.add_argument("--latencies", type=int, default=300, help="jobs of a latency measurement")
    parser.add_argument("--idle", type=int, default=20, help="seconds to look at an idle worker")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", nargs="*", choices=STEPS, default=STEPS)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args()


def _plan(
    arguments: argparse.Namespace, databases: list[Any], left_out: list[str], number: int
) -> Iterator[tuple[report.Key, Any, int]]:
    """Yield what to measure in one round: the peers on PostgreSQL, our own queue everywhere."""
    counts = {"latency": arguments.latencies, "idle": arguments.idle}
    for step in arguments.steps:
        if step in ONCE and number:
            continue
        for database in databases:
            on_postgres = database.name == "PostgreSQL"
            if step == "statements" and not on_postgres:
                continue
            for queue in QUEUES if step == "drain" and on_postgres else [OURS]:
                if queue not in left_out:
                    jobs = arguments.peer_jobs if queue in SLOWER else arguments.jobs
                    yield (step, queue, database.name), database, counts.get(step, jobs)


def _measure(key: report.Key, url: str, count: int) -> dict[str, float]:
    step, queue, _ = key
    environment = {
        **os.environ,
        "BENCHMARKS_QUEUE": queue,
        "BENCHMARKS_URL": url,
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
    }
    found = subprocess.run(
        [sys.executable, "-m", "django", "measure", step, str(count)],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    numbers: dict[str, float] = json.loads(found.stdout)
    return numbers


if __name__ == "__main__":
    main()
