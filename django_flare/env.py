"""Settings from environment variables."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from environ import Env  # type: ignore[import-untyped]

_FALSE = frozenset({"false", "off", "n", "no", "0"})


def flare_settings(env: Env) -> dict[str, Any]:
    """Return the dict `FLARE` from those variables `FLARE_<KEY>` that are set and not empty.

    Durations are seconds, BACKOFF and KEEP JSON objects, API_JOB_TYPES and REDACT lists parted by
    commas. Other variables, such as the worker's `FLARE_WORKER_…`, are left alone. Bounds are
    checked where the settings are read. Raises ImproperlyConfigured naming the variable whose
    value is of the wrong kind.
    """
    return {key: _read(env, key) for key in _READERS if _text(env, key)}


def _text(env: Env, key: str) -> str:
    return str(env.str(f"FLARE_{key}", default="")).strip()


def _read(env: Env, key: str) -> Any:
    text = _text(env, key)
    wanted, parse = _READERS[key]
    try:
        return parse(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"FLARE_{key}: {text[:100]!a}, expected {wanted}") from error


# The casts of Env forgive too much: its bool takes every typing error for False, its float reads
# "5 min" as 5 and "1e3" as 13.


def _boolean(text: str) -> bool:
    word = text.lower()
    if word not in _FALSE and word not in Env.BOOLEAN_TRUE_STRINGS:
        raise ValueError(text)
    return word not in _FALSE


def _list(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


_Reader = tuple[str, Callable[[str], Any]]
_STRING: _Reader = ("a string", str)
_INTEGER: _Reader = ("an integer", int)
_SECONDS: _Reader = ("a number of seconds", float)
_OBJECT: _Reader = ("a JSON object", json.loads)
_NAMES: _Reader = ("names parted by commas", _list)

_READERS: dict[str, _Reader] = {
    "DATABASE": _STRING,
    "QUEUE": _STRING,
    "MAX_ATTEMPTS": _INTEGER,
    "TIMEOUT": _SECONDS,
    "PRIORITY": _INTEGER,
    "BACKOFF": _OBJECT,
    "AUTODISCOVER": _STRING,
    "LEASE": _SECONDS,
    "BEAT": _SECONDS,
    "POLL_INTERVAL": _SECONDS,
    "TIMEOUT_GRACE": _SECONDS,
    "KEEP": _OBJECT,
    "MAX_PAYLOAD": _INTEGER,
    "MAX_DEPTH": _INTEGER,
    "NOTIFY": ("true or false", _boolean),
    "LISTEN": _STRING,
    "API_RATE": _STRING,
    "API_JOB_TYPES": _NAMES,
    "REDACT": _NAMES,
}
