"""Bars over time as the template draws them: every coordinate is decided here, as text, in any language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from django_flare.admin.dashboard_rows import number
from django_flare.admin.words import state_label
from django_flare.jobs.figures import FAILURES, Bar, Figures
from django_flare.states import JobState

WIDTH, HEIGHT = 640, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 10, 24
_GAP = 0.18
_BASE = HEIGHT - _BOTTOM
_SHOWN = (JobState.SUCCEEDED, JobState.CANCELLED, *FAILURES)
"""From the bottom of a bar to its top."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The part of a column that one state has."""

    name: str
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class Column:
    """A bar, what it says when pointed at, and its row of the table."""

    x: str
    width: str
    title: str
    segments: list[Segment]
    time: str
    numbers: list[str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A line or a label at an axis."""

    at: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart of `columns`; `names` and `labels` are those of its states, for the legend and the table."""

    key: str
    title: str
    description: str
    names: list[str]
    labels: list[str]
    columns: list[Column]
    lines: list[Mark]
    times: list[Mark]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    base: int = _BASE
    below: int = HEIGHT - 7

    @property
    def legend(self) -> list[tuple[str, str]]:
        """Name and label of each state."""
        return list(zip(self.names, self.labels, strict=True))

    @property
    def rows(self) -> list[Column]:
        """The columns that are not empty, for the table."""
        return [column for column in self.columns if column.segments]


def charts(figures: Figures) -> list[Chart]:
    """Return the chart of all that ended, and of what failed: in the first it would be too small to see."""
    return [
        _chart("ended", _("Ended jobs"), _SHOWN, figures),
        _chart("failures", _("Failures"), FAILURES, figures),
    ]


def _chart(key: str, title: str, states: Sequence[JobState], figures: Figures) -> Chart:
    sums = [sum(bar.counts.get(state, 0) for state in states) for bar in figures.bars]
    top = _rounded_up(max(sums))
    width = (WIDTH - _LEFT - _RIGHT) / len(figures.bars)
    columns = [
        _column(bar, states, top, _LEFT + width * (place + _GAP / 2), width * (1 - _GAP))
        for place, bar in enumerate(figures.bars)
    ]
    label = _label(figures.scale.step)
    marked = [(place, label(localtime(bar.start))) for place, bar in enumerate(figures.bars)]
    return Chart(
        key=key,
        title=title,
        description=_("%(title)s: %(number)s, at most %(most)s in a bar")
        % {"title": title, "number": number(sum(sums)), "most": number(max(sums))},
        names=[_name(state) for state in states],
        labels=[state_label(state) for state in states],
        columns=columns,
        lines=[Mark(_text(_y(each, top)), number(each)) for each in dict.fromkeys((0, top // 2, top))],
        times=[Mark(_text(_LEFT + width * (place + 0.5)), text) for place, text in marked if text],
    )


def _column(bar: Bar, states: Sequence[JobState], top: int, x: float, width: float) -> Column:
    segments: list[Segment] = []
    below = 0
    for state in states:
        count = bar.counts.get(state, 0)
        if count:
            height = max(_BASE - _y(count, top), 1.0)
            segments.append(Segment(_name(state), _text(_y(below, top) - height), _text(height)))
        below += count
    time = date_format(localtime(bar.start), "SHORT_DATETIME_FORMAT")
    said = [f"{state_label(state)}: {number(bar.counts[state])}" for state in states if bar.counts.get(state)]
    return Column(
        x=_text(x),
        width=_text(width),
        title=" · ".join([time, *said]),
        segments=segments,
        time=time,
        numbers=[number(bar.counts.get(state, 0)) for state in states],
    )


def _y(count: int, top: int) -> float:
    return _BASE - (_BASE - _TOP) * count / top


def _rounded_up(most: int) -> int:
    """Return the least of 2, 4, 10, 20, 40, 100, … that is not below `most`: half of it is a whole number."""
    magnitude = 1
    while True:
        for step in (2, 4, 10):
            if step * magnitude >= most:
                return step * magnitude
        magnitude *= 10


def _label(step: timedelta) -> Callable[[datetime], str]:
    """Return what names the times at the axis; most have no name."""
    if step < timedelta(minutes=10):
        return lambda at: date_format(at, "H:i") if at.minute % 10 == 0 else ""
    if step < timedelta(hours=1):
        return lambda at: date_format(at, "H:i") if at.hour % 4 == 0 and at.minute < 15 else ""
    return lambda at: date_format(at, "D j") if at.hour < 2 else ""


def _name(state: JobState) -> str:
    return state.value.replace("_", "-")


def _text(coordinate: float) -> str:
    return f"{coordinate:.1f}"
