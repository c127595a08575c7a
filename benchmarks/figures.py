"""All values of all rounds, and what is read from them."""

from collections.abc import Callable
from statistics import median

from benchmarks.plan import Key


class Figures:
    """The values by measurement and name."""

    def __init__(self) -> None:
        self.values: dict[Key, dict[str, list[float]]] = {}
        self.failures: list[str] = []

    def add(self, key: Key, numbers: dict[str, float]) -> None:
        """Keep the numbers of one measurement."""
        for name, number in numbers.items():
            self.values.setdefault(key, {}).setdefault(name, []).append(round(number, 4))

    def of(self, step: str, queue: str, database: str, name: str) -> list[float]:
        """Return one value for each round in which it was measured."""
        return self.values.get(Key(step, queue, database), {}).get(name, [])

    def median(self, step: str, queue: str, database: str, name: str) -> float | None:
        """Return the median over the rounds, None for what was not measured."""
        values = self.of(step, queue, database, name)
        return median(values) if values else None


Read = Callable[[Figures], float | None]


def value(step: str, queue: str, database: str, name: str) -> Read:
    """Read a median."""
    return lambda figures: figures.median(step, queue, database, name)


def ratio(above: Read, below: Read) -> Read:
    """Read how many times as large `above` is; None when either was not measured."""

    def read(figures: Figures) -> float | None:
        one, other = above(figures), below(figures)
        return one / other if one is not None and other else None

    return read
