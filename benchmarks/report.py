"""Write the results: each value as JSON, tables as Markdown and for the documentation, a picture.

`python -m benchmarks.report FOLDER` writes the tables and the picture again from the JSON.
"""

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import picture
from benchmarks.bounds import FIGURES, number
from benchmarks.figures import Figures
from benchmarks.plan import Key
from benchmarks.queues import QUEUES

Row = Sequence[str]

_PACKAGES = ("Django", "psycopg", "PyMySQL", "asyncpg", "uvloop", "redis", "hiredis")
_HEAD = ("figure", "measured", "bound", "goal")


def conditions(given: dict[str, Any], databases: list[str], measured: Iterable[str]) -> dict[str, Any]:
    """Return under which conditions the figures arise."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "load average at the start": round(os.getloadavg()[0], 2),
        "Python": sys.version.split()[0],
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "databases": databases,
        "queues": {name: f"{QUEUES[name].version} {QUEUES[name].note}".strip() for name in measured},
        **given,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def write(folder: Path, figures: Figures, under: dict[str, Any]) -> str:
    """Write all files into `folder` and return the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(figures, under)
    files = {
        "all.json": _json(figures, under),
        "all.md": text,
        "figures.rst": list_table(_HEAD, _bounds(figures), "46 18 18 18"),
        "queues.rst": list_table(*_drains(figures), "40 20 20 20"),
        "settings.rst": "".join(f"* **{name}**: {words}.\n" for name, words in under["queues"].items()),
        "conditions.rst": _sentence(under),
        "drain.svg": picture.drains(figures),
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    return text


def read(folder: Path) -> tuple[Figures, dict[str, Any]]:
    """Read the figures and the conditions from the JSON."""
    document = json.loads((folder / "all.json").read_text(encoding="utf-8"))
    figures = Figures()
    figures.failures = document["failures"]
    for row in document["figures"]:
        figures.values[Key(row["step"], row["queue"], row["database"])] = row["values"]
    return figures, document["conditions"]


def _json(figures: Figures, under: dict[str, Any]) -> str:
    rows = [{**key._asdict(), "values": values} for key, values in figures.values.items()]
    document = {"conditions": under, "failures": figures.failures, "figures": rows}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _bounds(figures: Figures) -> list[Row]:
    return [each.cells(figures) for each in FIGURES]


def _drains(figures: Figures) -> tuple[Row, list[Row]]:
    """Return the drains of all queues: jobs a second with one process, with two, behind a history."""
    names = ("drain", "drain2", "history")
    pairs = dict.fromkeys((key.queue, key.database) for key in figures.values if key.step in names)
    rows = [
        (
            f"{queue}, {database}",
            *(number(figures.median(step, queue, database, "jobs/s")) for step in names),
        )
        for queue, database in pairs
    ]
    return ("jobs/s", "one process", "two", "one, behind history"), rows


def markdown(figures: Figures, under: dict[str, Any]) -> str:
    """Return the tables; a number is the median of the rounds, with the least and the largest beside it."""
    lines = [*_markdown_table(_HEAD, _bounds(figures)), ""]
    lines += [*_markdown_table(*_drains(figures)), ""]
    head = ("step", "queue", "database", "", "median", "least – largest")
    lines += [*_markdown_table(head, _all(figures)), ""]
    lines += [f"* failed: {name}" for name in figures.failures]
    lines += [f"* {name}: {_words(value)}" for name, value in under.items() if value]
    return "\n".join(lines) + "\n"


def _all(figures: Figures) -> list[Row]:
    rows = []
    for key, numbers in figures.values.items():
        for name, values in numbers.items():
            spread = f"{number(min(values))} – {number(max(values))}" if len(values) > 1 else ""
            rows.append((*key, name, number(median(values)), spread))
    return rows


def _markdown_table(head: Row, rows: Iterable[Row]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def list_table(head: Row, rows: Iterable[Row], widths: str) -> str:
    """Return a table for the documentation."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in (head, *rows):
        for place, cell in enumerate(row):
            lines.append(f"   {'*' if place == 0 else ' '} - {cell}")
    return "\n".join(lines) + "\n"


def _sentence(under: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {found}" for name, found in under["packages"].items())
    left_out = ", ".join(under.get("left out", ())) or "nothing"
    return (
        f"Medians of {under['rounds']} interleaved rounds on {under['date']}, {under['cores']} cores,"
        f" {under['machine']}, Python {under['Python']}, {packages}.\n"
        f"{'; '.join(under['databases'])}.\nLeft out: {left_out}.\n"
    )


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {words}" for name, words in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    write(Path(sys.argv[1]), *read(Path(sys.argv[1])))
