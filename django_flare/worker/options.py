"""What a worker is told at its start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connections

from django_flare import values
from django_flare.conf import flare_settings

MAX_SLOTS = 1000
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Hold a worker's options, checked; intervals are seconds, no queues means all."""

    queues: tuple[str, ...] = ()
    concurrency: int = 10
    poll_interval: float | None = None
    burst: bool = False
    max_jobs: int | None = None
    shutdown_timeout: float = 30.0
    database: str = "default"


def read_options(given: Mapping[str, Any]) -> WorkerOptions:
    """Check the options as the command line or the environment gives them, None for the default.

    Raises ValueError with one line that names the option, the value and the bound.
    """
    settings = flare_settings()
    return WorkerOptions(
        queues=_queues(given.get("queues")),
        concurrency=_whole(given, "concurrency", WorkerOptions.concurrency, MAX_SLOTS),
        poll_interval=_seconds(given, "poll_interval", settings.poll_interval, 0.001),
        burst=bool(given.get("burst")),
        max_jobs=_whole(given, "max_jobs", None, 2**63 - 1),
        shutdown_timeout=_seconds(given, "shutdown_timeout", WorkerOptions.shutdown_timeout, 0.0),
        database=_database(given.get("database") or settings.database),
    )


def _queues(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    try:
        return tuple(dict.fromkeys(values.queue_name(name.strip()) for name in value.split(",")))
    except values.BadValueError as problem:
        raise ValueError(f"--queues: {problem}") from None


def _whole(given: Mapping[str, Any], name: str, default: Any, most: int) -> Any:
    value = given.get(name)
    if value is None:
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ValueError(f"{_flag(name)}: {value!r}, a whole number from 1 to {most}") from None
    if not 1 <= number <= most:
        raise ValueError(f"{_flag(name)}: {number}, a whole number from 1 to {most}")
    return number


def _seconds(given: Mapping[str, Any], name: str, default: Any, least: float) -> Any:
    value = given.get(name)
    if value is None:
        return default
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not least <= seconds <= _HOUR:
        raise ValueError(f"{_flag(name)}: {value!r}, seconds from {least:g} to {_HOUR:g}")
    return seconds


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _database(alias: str) -> str:
    if alias not in connections:
        raise ValueError(f"--database: {alias!r} is not in DATABASES")
    return alias
