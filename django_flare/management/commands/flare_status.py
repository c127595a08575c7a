"""Show how queues and workers do."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, connections

import django_flare
from django_flare.conf import flare_settings
from django_flare.jobs.overview import Overview, QueueView, WorkerView, read_overview
from django_flare.worker.logs import escape

_CLEAR = "\x1b[H\x1b[2J"
_NOTHING = "-"


class Command(BaseCommand):
    """Print an overview once, or again and again."""

    help = "Show queues, workers and counts by state. Counts stop at 10,000: it stays cheap on any table."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--watch",
            nargs="?",
            type=_interval,
            const=2.0,
            metavar="SECONDS",
            help="show it again every SECONDS (2) until Ctrl-C",
        )
        parser.add_argument("--json", action="store_true", help="print a JSON object on one line instead")
        parser.add_argument("--database", help="alias of the queue's database")

    def handle(self, *, watch: float | None, **given: Any) -> None:
        using = given["database"] or flare_settings().database
        if using not in connections:
            raise CommandError(f"--database: {using!r} is not in DATABASES", returncode=2)
        try:
            if watch is None:
                self._show(using, as_json=given["json"])
            else:
                self._watch(using, watch, as_json=given["json"])
        except KeyboardInterrupt:
            # How a watch is ended.
            self.stdout.write("")
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(f"Database {using!r}: {escape(str(error).strip())}") from error

    def _show(self, using: str, *, as_json: bool) -> None:
        overview = read_overview(using)
        self.stdout.write(json.dumps(overview.as_dict()) if as_json else "\n".join(_page(overview)))

    def _watch(self, using: str, seconds: float, *, as_json: bool) -> None:
        while True:
            if not as_json and self.stdout.isatty():
                self.stdout.write(_CLEAR, ending="")
            try:
                self._show(using, as_json=as_json)
            except (DatabaseError, InterfaceError) as error:
                # It is during an outage that somebody watches.
                self.stderr.write(f"Database {using!r}: {escape(str(error).strip())}")
                _forget_connection(using)
            self.stdout.flush()
            time.sleep(seconds)


def _forget_connection(using: str) -> None:
    connections[using].close()


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise ArgumentTypeError(f"{text!r}, seconds from 0.1 to 3600")
    return seconds


def _page(overview: Overview) -> Iterator[str]:
    kind = connections[overview.database].display_name
    at = overview.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    yield f"django_flare {django_flare.__version__} on database {overview.database!r} ({kind}), {at}"
    yield ""
    yield from _table(
        ["QUEUE", ">CLAIMABLE", ">OLDEST", ">RUNNING", ">NEXT DUE", ""], map(_queue_row, overview.queues)
    )
    yield ""
    yield from _table(
        ["WORKER", "HOST", ">PID", "VERSION", ">SLOTS", ">RUNNING", ">BEAT", "", "QUEUES"],
        map(_worker_row, overview.workers),
    )
    yield ""
    yield from _table(["STATE", ">JOBS"], ([str(state), str(n)] for state, n in overview.states.items()))
    yield from _remarks(overview)


def _queue_row(queue: QueueView) -> list[str]:
    due = _NOTHING if queue.next_due is None else f"in {_span(queue.next_due)}"
    paused = "paused" if queue.is_paused else ""
    return [escape(queue.name), str(queue.claimable), _span(queue.oldest), str(queue.running), due, paused]


def _worker_row(worker: WorkerView) -> list[str]:
    return [
        escape(worker.worker_id),
        escape(worker.hostname),
        str(worker.pid),
        escape(worker.version),
        str(worker.slots),
        str(worker.running),
        _span(worker.beat_age),
        "stale" if worker.is_stale else "",
        escape(",".join(worker.queues)) or "all",
    ]


def _remarks(overview: Overview) -> Iterator[str]:
    if overview.unknown_types:
        yield ""
        yield "Job types that wait and that no live worker knows:"
        yield from (f"  {escape(name)}" for name in overview.unknown_types)
    if overview.longest_transaction is not None:
        yield ""
        yield f"Oldest open transaction: {_span(overview.longest_transaction)}"


def _table(heads: Sequence[str], rows: Iterable[list[str]]) -> Iterator[str]:
    """Align the columns, those whose head begins with `>` to the right; say so when there are no rows."""
    lines = [[head.removeprefix(">") for head in heads], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if head.startswith(">") else cell.ljust(width)
            for head, cell, width in zip(heads, line, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()
    if len(lines) == 1:
        yield "(none)"


def _span(seconds: float | None) -> str:
    """Write a duration by its two largest units."""
    if seconds is None:
        return _NOTHING
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return "".join(f"{number}{unit}" for number, unit in parts[:2])
