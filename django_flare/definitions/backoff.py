"""How long a failed job waits before its next attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from random import random as _random
from typing import Any, TypeAlias

from django_flare import values
from django_flare.conf import BackoffSettings, Settings, flare_settings
from django_flare.errors import option_error

Duration: TypeAlias = timedelta | float
"""A timedelta, or a number of seconds."""

# Doubled this often, the longest base overflows no float and the shortest exceeds any cap.
_MOST_DOUBLINGS = 900


def duration_seconds(field: str, value: Any, low: float = 0, high: float = values.TEN_YEARS) -> float:
    """Return the timedelta or seconds `value` as seconds between `low` and `high`.

    Raises FlareOptionError naming `field` for a bool, NaN, an infinity, another kind or a value
    out of bounds.
    """
    try:
        return values.seconds(value, low, high)
    except values.BadValueError as problem:
        raise option_error(field, str(problem)) from None


@dataclass(frozen=True, init=False)
class Backoff:
    """Double the delay from `base` with each attempt up to `cap`, plus up to `jitter` at random.

    Each part is a timedelta or seconds from 0 to ten years, and is read as a float of seconds.
    Raises FlareOptionError for anything else.
    """

    base: float
    cap: float
    jitter: float

    def __init__(self, base: Duration = 15, cap: Duration = 21_600, jitter: Duration = 3) -> None:
        for name, value in (("base", base), ("cap", cap), ("jitter", jitter)):
            object.__setattr__(self, name, duration_seconds(f"backoff.{name}", value))

    def delay(self, attempt: int, random: Callable[[], float] = _random) -> float:
        """Return the seconds to wait after the failed `attempt`, counted from 1.

        min(cap, base * 2^(attempt - 1)) + uniform(0, jitter), where `random` gives numbers from
        0 to 1. Never raises OverflowError.
        """
        doublings = min(max(attempt - 1, 0), _MOST_DOUBLINGS)
        return min(self.cap, self.base * 2.0**doublings) + self.jitter * random()

    def as_json(self) -> dict[str, float]:
        """Return the value that is stored with a job: seconds by part."""
        return {"base": self.base, "cap": self.cap, "jitter": self.jitter}

    @classmethod
    def from_json(cls, stored: Mapping[str, float]) -> Backoff:
        """Return the backoff that `as_json` stored."""
        return cls(**stored)

    @classmethod
    def default(cls) -> Backoff:
        """Return the backoff of the settings in force."""
        return _of_settings(flare_settings())

    def matches(self, settings: BackoffSettings) -> bool:
        """Tell whether `settings` give the same delays."""
        return self.as_json() == vars(settings)


@lru_cache(maxsize=8)
def _of_settings(settings: Settings) -> Backoff:
    return Backoff(**vars(settings.backoff))
