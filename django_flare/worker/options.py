"""What a worker is told at its start."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connections

from django_flare import values
from django_flare.conf import BEATS_PER_LEASE, flare_settings
from django_flare.worker.board import PLACES
from django_flare.worker.vitals import Limits

MAX_SLOTS = PLACES
MAX_PORT = 65535
LOG_FORMATS = ("text", "json")
MAX_PROCESSES = 64
_HOUR = 3600.0
_ON, _OFF = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_UNITS = {"M": 2**20, "G": 2**30}
_MEMORY = re.compile(r"([0-9]{1,9})([MG]?)", re.ASCII)
_LEAST_MEMORY, _MOST_MEMORY = 2**20, 2**40


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Hold a worker's options, checked; intervals are seconds, memory is bytes, no queues means all."""

    queues: tuple[str, ...] = ()
    concurrency: int = 10
    processes: int = 1
    poll_interval: float | None = None
    burst: bool = False
    max_jobs: int | None = None
    max_memory: int | None = None
    shutdown_timeout: float = 30.0
    database: str = "default"
    health_port: int | None = None
    log_format: str = "text"


def read_options(given: Mapping[str, Any]) -> WorkerOptions:
    """Check the options as the command line or the environment gives them, None for the default.

    Raises ValueError with one line that names the option, the value and the bound.
    """
    settings = flare_settings()
    return WorkerOptions(
        queues=_queues(given.get("queues")),
        concurrency=_whole(given, "concurrency", WorkerOptions.concurrency, MAX_SLOTS),
        processes=_whole(given, "processes", WorkerOptions.processes, MAX_PROCESSES, least=0),
        poll_interval=_seconds(given, "poll_interval", settings.poll_interval, 0.001),
        burst=_switch(given, "burst"),
        max_jobs=_whole(given, "max_jobs", None, 2**63 - 1),
        max_memory=_memory(given.get("max_memory")),
        shutdown_timeout=_seconds(given, "shutdown_timeout", WorkerOptions.shutdown_timeout, 0.0),
        database=_database(given.get("database") or settings.database),
        health_port=_whole(given, "health_port", None, MAX_PORT),
        log_format=_log_format(given.get("log_format")),
    )


def probe_limits() -> Limits:
    """Return the limits of probes that follow from LEASE and BEAT."""
    settings = flare_settings()
    lease, beat = settings.lease.total_seconds(), settings.beat.total_seconds()
    return Limits(overdue=lease, beat_age=BEATS_PER_LEASE * beat, lost_beat=2 * lease)


def _queues(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    try:
        return tuple(dict.fromkeys(values.queue_name(name.strip()) for name in value.split(",")))
    except values.BadValueError as problem:
        raise ValueError(f"--queues: {problem}") from None


def _whole(given: Mapping[str, Any], name: str, default: Any, most: int, least: int = 1) -> Any:
    value = given.get(name)
    if value is None:
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ValueError(f"{_flag(name)}: {value!r}, a whole number from {least} to {most}") from None
    if not least <= number <= most:
        raise ValueError(f"{_flag(name)}: {number}, a whole number from {least} to {most}")
    return number


def _switch(given: Mapping[str, Any], name: str) -> bool:
    """Return whether it is on; text is the environment's, since a flag on the command line takes none."""
    value = given.get(name)
    if not isinstance(value, str):
        return bool(value)
    if value.lower() not in _ON | _OFF:
        raise ValueError(f"FLARE_WORKER_{name.upper()}: {value!r}, 1, true, yes, on or 0, false, no, off")
    return value.lower() in _ON


def _memory(value: Any) -> int | None:
    """Return bytes; a number alone is mebibytes."""
    if value is None:
        return None
    found = _MEMORY.fullmatch(str(value).strip().upper())
    size = int(found[1]) * _UNITS[found[2] or "M"] if found else 0
    if not _LEAST_MEMORY <= size <= _MOST_MEMORY:
        raise ValueError(f"--max-memory: {value!r}, MiB or a number with M or G, from 1M to 1024G")
    return size


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


def _log_format(value: str | None) -> str:
    if value is None:
        return WorkerOptions.log_format
    if value not in LOG_FORMATS:
        raise ValueError(f"--log-format: {value!r}, {' or '.join(LOG_FORMATS)}")
    return value


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _database(alias: str) -> str:
    if alias not in connections:
        raise ValueError(f"--database: {alias!r} is not in DATABASES")
    return alias
