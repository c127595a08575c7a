"""Draw the drains as horizontal bars, in SVG."""

import math
from html import escape

from benchmarks.bounds import number
from benchmarks.figures import Figures
from benchmarks.queues import OURS

_WIDTH, _LEFT, _RIGHT = 760, 250, 90
_ROW, _BAR, _TOP, _BOTTOM = 28, 18, 56, 34

# On a card of its own, so that it reads the same on a light page and on a dark one.
_STYLE = """
.card { fill: #fff } .head { font-weight: 600 }
text { font: 13px system-ui, sans-serif; fill: #24292f }
.tick { fill: #57606a; font-size: 11px } line { stroke: #d0d7de }
rect { fill: #8c959f } .ours { fill: #d9480f }
"""


def drains(figures: Figures) -> str:
    """Return the picture of all drains with one process; its scale is logarithmic."""
    bars = [
        (key.queue, key.database, rate)
        for key in figures.values
        if key.step == "drain" and (rate := figures.median(*key, "jobs/s"))
    ]
    bars.sort(key=lambda bar: -bar[2])
    return _Picture(bars).text()


class _Picture:
    def __init__(self, bars: list[tuple[str, str, float]]) -> None:
        self._bars = bars
        rates = [rate for *_, rate in bars] or [1.0]
        self._first = math.floor(math.log10(min(rates) * 0.9))
        self._last = max(math.ceil(math.log10(max(rates))), self._first + 1)
        self._height = _TOP + _ROW * len(bars) + _BOTTOM

    def text(self) -> str:
        told = "; ".join(f"{queue} on {database} {number(rate)}" for queue, database, rate in self._bars)
        title = "Jobs a second that one worker process drains"
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {self._height}" role="img"'
            ' aria-labelledby="title desc">',
            f'<title id="title">{title}</title>',
            f'<desc id="desc">{escape(told)}</desc>',
            f"<style>{_STYLE}</style>",
            f'<path class="card" d="M0 0H{_WIDTH}V{self._height}H0Z"/>',
            f'<text class="head" x="8" y="24">{title}, logarithmic scale</text>',
            *(self._tick(power) for power in range(self._first, self._last + 1)),
            *(self._bar(place, *bar) for place, bar in enumerate(self._bars)),
            "</svg>",
        ]
        return "\n".join(lines) + "\n"

    def _x(self, rate: float) -> float:
        share = (math.log10(rate) - self._first) / (self._last - self._first)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def _tick(self, power: int) -> str:
        x, low = self._x(10.0**power), self._height - _BOTTOM
        return (
            f'<line x1="{x:.1f}" y1="{_TOP - 8}" x2="{x:.1f}" y2="{low}"/>'
            f'<text class="tick" x="{x:.1f}" y="{low + 18}" text-anchor="middle">{10**power:,}</text>'
        )

    def _bar(self, place: int, queue: str, database: str, rate: float) -> str:
        y, end = _TOP + _ROW * place, self._x(rate)
        kind = ' class="ours"' if queue == OURS else ""
        # The name of the database is a part of some names.
        label = queue if database in queue else f"{queue}, {database}"
        return (
            f'<text x="{_LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(label)}</text>'
            f'<rect{kind} x="{_LEFT}" y="{y}" width="{end - _LEFT:.1f}" height="{_BAR}" rx="2"/>'
            f'<text x="{end + 6:.1f}" y="{y + 14}">{number(rate)}</text>'
        )
