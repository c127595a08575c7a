"""The dict `FLARE` of Django's settings as one frozen, typed object."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from django_flare import values
from django_flare.states import FINAL, JobState
from django_flare.values import BadValueError, kind

_T = TypeVar("_T")

BEATS_PER_LEASE = 3

_HOUR = 3600.0
_CENTURY = 36_525 * values.DAY
_API_RATE = re.compile(r"([1-9][0-9]{0,8})/(s|sec|second|m|min|minute|h|hour|d|day)", re.ASCII)


@dataclass(frozen=True)
class BackoffSettings:
    """Give the parts of the retry delay in seconds."""

    base: float
    cap: float
    jitter: float


# Compared by identity: caches are keyed by the object, and each reading of FLARE makes a new one.
@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """Hold every setting, defaults filled in.

    Durations are timedeltas, except those of `backoff` and `poll_interval`, which are seconds.
    `poll_interval` is None when the worker is to choose: 1 s with a wake-up, 0.2 s without.
    `listen` is the alias on which a worker listens for wake-ups, None for that of `database`.
    `api_rate` is `"<count>/<unit>"` or None for no limit; `api_job_types` is None for all
    registered types; `redact` holds names of payload keys in lower case.
    """

    database: str
    queue: str
    max_attempts: int
    timeout: timedelta
    priority: int
    backoff: BackoffSettings
    autodiscover: str
    lease: timedelta
    beat: timedelta
    poll_interval: float | None
    timeout_grace: timedelta
    keep: Mapping[str, timedelta]
    max_payload: int
    max_depth: int
    notify: bool
    listen: str | None
    api_rate: str | None
    api_job_types: frozenset[str] | None
    redact: frozenset[str]


@dataclass(frozen=True)
class Problem:
    """Say what is wrong with the setting `key`; `unknown` when there is no such setting."""

    key: str
    message: str
    hint: str | None = None
    unknown: bool = False


def _module_name(value: Any) -> str:
    name = values.text(value, 255)
    if not all(part.isidentifier() for part in name.split(".")):
        raise BadValueError(f"{name!a}, expected a module's name such as 'jobs'")
    return name


def _backoff(value: Any) -> BackoffSettings:
    given = _mapping(value, _DEFAULT_BACKOFF)
    parts = {part: _part(part, given[part], _backoff_part) for part in _DEFAULT_BACKOFF}
    return BackoffSettings(**parts)


def _backoff_part(value: Any) -> float:
    return values.seconds(value, 0, values.TEN_YEARS)


def _keep(value: Any) -> dict[str, timedelta]:
    given = _mapping(value, _DEFAULT_KEEP)
    return {state: _part(state, given[state], _kept) for state in _DEFAULT_KEEP}


def _kept(value: Any) -> timedelta:
    return values.duration(value, 0, _CENTURY)


def _mapping(value: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadValueError(f"{kind(value)}, expected a dict")
    for key in value:
        if key not in defaults:
            raise BadValueError(f"unknown key {key!a}, expected {', '.join(defaults)}")
    return {**defaults, **value}


def _part(name: str, value: Any, read: Callable[[Any], _T]) -> _T:
    try:
        return read(value)
    except BadValueError as problem:
        raise BadValueError(f"{name}: {problem}") from None


def _api_rate(value: Any) -> str | None:
    if value is None:
        return None
    rate = values.text(value, 50)
    if not _API_RATE.fullmatch(rate):
        raise BadValueError(f"{rate!a}, expected a rate such as '1000/hour', or None")
    return rate


def _names(value: Any) -> frozenset[str]:
    # A string is iterable too, and would silently stand for its letters.
    if not isinstance(value, list | tuple | set | frozenset):
        raise BadValueError(f"{kind(value)}, expected a list of strings")
    return frozenset(values.text(name, 500) for name in value)


def _job_types(value: Any) -> frozenset[str] | None:
    return None if value is None else _names(value)


def _redact(value: Any) -> frozenset[str]:
    return frozenset(name.lower() for name in _names(value))


def _alias(value: Any) -> str | None:
    return None if value is None else values.text(value, 255)


def _poll_interval(value: Any) -> float | None:
    return None if value is None else values.seconds(value, 0.001, _HOUR)


_DEFAULT_BACKOFF: dict[str, Any] = {"base": 15, "cap": 21_600, "jitter": 3}
_DEFAULT_KEEP: dict[str, Any] = {
    state.value: timedelta(days=90 if state is JobState.DEAD_LETTER else 7) for state in sorted(FINAL)
}
_DEFAULT_REDACT = ["password", "passwd", "secret", "token", "api_key", "authorization"]

_KEYS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "DATABASE": ("default", lambda value: values.text(value, 255)),
    "QUEUE": ("default", values.queue_name),
    "MAX_ATTEMPTS": (3, lambda value: values.whole(value, 1, values.MAX_ATTEMPTS_BOUND)),
    "TIMEOUT": (
        timedelta(minutes=30),
        lambda value: values.duration(value, values.MIN_TIMEOUT, values.MAX_TIMEOUT),
    ),
    "PRIORITY": (0, lambda value: values.whole(value, -values.PRIORITY_BOUND, values.PRIORITY_BOUND)),
    "BACKOFF": (_DEFAULT_BACKOFF, _backoff),
    "AUTODISCOVER": ("jobs", _module_name),
    "LEASE": (timedelta(seconds=30), lambda value: values.duration(value, 0.1, values.DAY)),
    "BEAT": (timedelta(seconds=5), lambda value: values.duration(value, 0.01, _HOUR)),
    "POLL_INTERVAL": (None, _poll_interval),
    "TIMEOUT_GRACE": (timedelta(seconds=5), lambda value: values.duration(value, 0, _HOUR)),
    "KEEP": (_DEFAULT_KEEP, _keep),
    "MAX_PAYLOAD": (2**20, lambda value: values.whole(value, 2, 2**28)),
    "MAX_DEPTH": (100, lambda value: values.whole(value, 1, 500)),
    "NOTIFY": (True, values.boolean),
    "LISTEN": (None, _alias),
    "API_RATE": ("1000/hour", _api_rate),
    "API_JOB_TYPES": (None, _job_types),
    "REDACT": (_DEFAULT_REDACT, _redact),
}
KEYS = tuple(_KEYS)
"""The names of all settings, in the order of their documentation."""


def _read(raw: Mapping[Any, Any]) -> tuple[dict[str, Any], list[Problem]]:
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, (default, read) in _KEYS.items():
        try:
            found[key.lower()] = read(raw.get(key, default))
        except BadValueError as problem:
            problems.append(Problem(key, f"FLARE[{key!r}]: {problem}"))
    return found, problems or _lease_problems(found)


def _lease_problems(found: Mapping[str, Any]) -> list[Problem]:
    lease, beat = found["lease"].total_seconds(), found["beat"].total_seconds()
    # The tolerance forgives the microseconds lost in converting fractions.
    if lease >= BEATS_PER_LEASE * beat - 1e-5:
        return []
    least = f"at least {BEATS_PER_LEASE} beats of {beat:g} s"
    return [Problem("LEASE", f"FLARE['LEASE']: {lease:g} s, {least}", "Raise LEASE or lower BEAT.")]


def _unknown(key: Any) -> Problem:
    near = difflib.get_close_matches(str(key).upper(), KEYS, 1, 0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"The settings are {', '.join(KEYS)}."
    return Problem(str(key), f"FLARE[{key!a}]: there is no such setting", hint, unknown=True)


def describe_problems(raw: Any) -> list[Problem]:
    """Return everything that is wrong with the dict `raw`, unknown keys first."""
    if not isinstance(raw, Mapping):
        return [Problem("", f"FLARE: {kind(raw)}, expected a dict")]
    return [_unknown(key) for key in raw if key not in _KEYS] + _read(raw)[1]


def build_settings(raw: Any) -> Settings:
    """Return the dict `raw` with defaults filled in; unknown keys are left to the system check.

    Raises ImproperlyConfigured naming the key, the value's kind and the bound.
    """
    if not isinstance(raw, Mapping):
        raise ImproperlyConfigured(describe_problems(raw)[0].message)
    found, problems = _read(raw)
    if problems:
        raise ImproperlyConfigured("; ".join(problem.message for problem in problems))
    return Settings(**found)


_current: Settings | None = None


def flare_settings() -> Settings:
    """Return the settings in force: one cached object until `override_settings` changes FLARE."""
    global _current
    if _current is None:
        _current = build_settings(raw_settings())
    return _current


def raw_settings() -> Any:
    """Return `settings.FLARE` as the project wrote it, an empty dict when it wrote none."""
    return getattr(settings, "FLARE", {})


def autodiscover_module() -> str:
    """Return AUTODISCOVER, or its default when it is bad, so that start-up gets as far as the check."""
    raw = raw_settings()
    default, read = _KEYS["AUTODISCOVER"]
    try:
        return str(read(raw.get("AUTODISCOVER", default)))
    except (AttributeError, BadValueError):
        return str(default)


def _forget(*, setting: str, **_: Any) -> None:
    global _current
    if setting == "FLARE":
        _current = None


setting_changed.connect(_forget, dispatch_uid="django_flare.conf")
