"""The figures as JSON, with every value behind them, and as Markdown tables of their medians."""

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.queues import QUEUES

Key = tuple[str, str, str]
"""A step, a queue and a database."""


class Figures:
    """All values of all rounds."""

    def __init__(self) -> None:
        self.values: dict[Key, dict[str, list[float]]] = {}

    def add(self, key: Key, numbers: dict[str, float]) -> None:
        """Keep the numbers of one measurement."""
        for name, number in numbers.items():
            self.values.setdefault(key, {}).setdefault(name, []).append(round(number, 4))

    def median(self, step: str, queue: str, database: str, name: str) -> float | None:
        """Return the median over the rounds, None for what was not measured."""
        values = self.values.get((step, queue, database), {}).get(name)
        return median(values) if values else None

    def ratio(self, queue: str) -> float | None:
        """Return how many times as fast as `queue` we drain on PostgreSQL."""
        ours = self.median("drain", "django_flare", "PostgreSQL", "jobs/s")
        theirs = self.median("drain", queue, "PostgreSQL", "jobs/s")
        return ours / theirs if ours and theirs else None


@dataclass(frozen=True)
class Aim:
    """A figure that we want to reach; `most` tells that smaller is better."""

    label: str
    bound: float
    read: Callable[[Figures], float | None]
    most: bool = True

    def row(self, figures: Figures) -> str | None:
        """Return the aim's line of the table."""
        value = self.read(figures)
        if value is None:
            return None
        met = value < self.bound if self.most else value >= self.bound
        aim = f"{'<' if self.most else '≥'} {_number(self.bound)}"
        return f"| {self.label} | {aim} | {_number(value)} | {'yes' if met else 'no'} |"


def _ours(step: str, database: str, name: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures.median(step, "django_flare", database, name)


AIMS = (
    Aim("drain, PostgreSQL, jobs/s", 3000, _ours("drain", "PostgreSQL", "jobs/s"), most=False),
    Aim("the same, times procrastinate", 5, lambda figures: figures.ratio("procrastinate"), most=False),
    Aim("drain, SQLite, jobs/s", 1500, _ours("drain", "SQLite", "jobs/s"), most=False),
    Aim("statements per drained job, PostgreSQL", 0.2, _ours("statements", "PostgreSQL", "statements/job")),
    Aim("idle worker, RSS MB, PostgreSQL", 80, _ours("idle", "PostgreSQL", "RSS MB")),
    Aim("idle worker, statements/s, PostgreSQL", 2, _ours("idle", "PostgreSQL", "statements/s")),
    Aim("pick-up p50, PostgreSQL, ms", 5, _ours("latency", "PostgreSQL", "p50 ms")),
    Aim("pick-up p99, PostgreSQL, ms", 20, _ours("latency", "PostgreSQL", "p99 ms")),
    Aim("pick-up p99, SQLite, ms", 50, _ours("latency", "SQLite", "p99 ms")),
)


def conditions(arguments: dict[str, Any], databases: list[str], left_out: list[str]) -> dict[str, Any]:
    """Return under which conditions the figures arose."""
    measured = [name for name in QUEUES if name not in left_out]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "load average at the start": os.getloadavg()[0],
        "Python": sys.version.split()[0],
        "packages": {name: version(name) for name in ("Django", "psycopg")},
        "databases": databases,
        "queues": {name: f"{QUEUES[name].version} {QUEUES[name].note}".strip() for name in measured},
        "left out": left_out,
        **arguments,
    }


def write(folder: Path, figures: Figures, under: dict[str, Any]) -> str:
    """Write both files into `folder` and return the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"step": step, "queue": queue, "database": database, "values": values}
        for (step, queue, database), values in figures.values.items()
    ]
    document = json.dumps({"conditions": under, "figures": rows}, indent=1, ensure_ascii=False)
    (folder / "core.json").write_text(document + "\n", encoding="utf-8")
    text = markdown(figures, under)
    (folder / "core.md").write_text(text, encoding="utf-8")
    return text


def markdown(figures: Figures, under: dict[str, Any]) -> str:
    """Return the tables; a number is the median of the rounds, with the least and the largest beside it."""
    aims = [row for aim in AIMS if (row := aim.row(figures))]
    others = [name for name in QUEUES if name != "django_flare"]
    ratios = [f"{name} {ratio:.2g}" for name in others if (ratio := figures.ratio(name))]
    lines = ["| figure | aim | measured | met |", "|---|--:|--:|---|", *aims, ""]
    lines += ["| step | queue | database | | median | least – largest |", "|---|---|---|---|--:|--:|"]
    for (step, queue, database), numbers in figures.values.items():
        for name, values in numbers.items():
            spread = f"{_number(min(values))} – {_number(max(values))}" if len(values) > 1 else ""
            lines.append(f"| {step} | {queue} | {database} | {name} | {_number(median(values))} | {spread} |")
    lines += ["", f"On PostgreSQL we drain so many times as fast: {', '.join(ratios) or '–'}.", ""]
    lines += [f"* {name}: {_words(value)}" for name, value in under.items() if value]
    return "\n".join(lines) + "\n"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {words}" for name, words in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
