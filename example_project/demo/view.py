"""Showing the board while it changes: a table that redraws on a terminal, lines anywhere else."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import Protocol

from django_flare import JobState
from example_project.demo.board import Board, Change, WatchedJob
from example_project.demo.client import Reading

_COLOURS = {
    JobState.PROCESSING: "36",
    JobState.SUCCEEDED: "32",
    JobState.FAILED: "33",
    JobState.DEAD_LETTER: "31",
    JobState.CANCELLED: "2",
}
_TROUBLE = (JobState.FAILED, JobState.DEAD_LETTER)
_TITLE_WIDTH = 24
_CELL_WIDTH = 27
_HEADINGS = ("", "job", "its continuation")


class View(Protocol):
    """What shows a board."""

    def show(self, board: Board, changes: Sequence[Change], seconds: float) -> None:
        """Show the board, `seconds` after the beginning."""
        ...


def choose_view(rows: int) -> View:
    """Return a table where the output is a terminal with room for it, otherwise lines."""
    size = shutil.get_terminal_size()
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    has_room = size.lines > rows + 3 and size.columns >= _TITLE_WIDTH + 2 * _CELL_WIDTH
    return Table() if is_terminal and has_room else Lines()


class Lines:
    """One line for each change."""

    def show(self, board: Board, changes: Sequence[Change], seconds: float) -> None:
        """Print what has changed."""
        for change in changes:
            print(f"{seconds:5.1f} s  {_told(change)}")


class Table:
    """The whole board, drawn over the one before."""

    def __init__(self) -> None:
        self._drawn = 0
        self._coloured = "NO_COLOR" not in os.environ

    def show(self, board: Board, changes: Sequence[Change], seconds: float) -> None:
        """Draw the board as it is now."""
        lines = [f"{seconds:5.1f} s", self._line(_HEADINGS[0], *_HEADINGS[1:])]
        lines += [self._line(row.title, *map(self._cell, row.jobs)) for row in board.rows]
        up = f"\x1b[{self._drawn}F" if self._drawn else ""
        print(up + "".join(f"{line}\x1b[K\n" for line in lines), end="", flush=True)
        self._drawn = len(lines)

    def _line(self, title: str, *cells: str) -> str:
        return f"{title[: _TITLE_WIDTH - 1]:<{_TITLE_WIDTH}}" + "".join(
            f"{cell:<{_CELL_WIDTH}}" for cell in cells
        )

    def _cell(self, job: WatchedJob) -> str:
        reading = job.reading
        if reading is None:
            return ""
        text = f"{reading.state:<11} {_attempts(reading)} {_progress(reading)}".ljust(_CELL_WIDTH)
        colour = _COLOURS.get(reading.state) if self._coloured else None
        return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def _attempts(reading: Reading) -> str:
    return f"{reading.attempt}/{reading.max_attempts}" if reading.attempt else ""


def _progress(reading: Reading) -> str:
    if reading.state is not JobState.PROCESSING or reading.progress is None:
        return ""
    return f"{reading.progress:.0%}"


def _told(change: Change) -> str:
    reading, before = change.reading, f"{change.before} → " if change.before else ""
    attempt = f" {_attempts(reading)}" if reading.attempt else ""
    error = f" ({reading.error})" if reading.state in _TROUBLE and reading.error else ""
    who = f"{change.row.title:<{_TITLE_WIDTH}}{change.job.job_type:<{_CELL_WIDTH}}"
    return f"{who}{before}{reading.state}{attempt}{error}"
