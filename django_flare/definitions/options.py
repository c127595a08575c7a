"""The options of a job: what is allowed, and what holds in the end."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypedDict

from django_flare import values
from django_flare.conf import (
    MAX_ATTEMPTS_BOUND,
    MAX_TIMEOUT,
    MIN_TIMEOUT,
    PRIORITY_BOUND,
    Settings,
    flare_settings,
)
from django_flare.definitions.backoff import Backoff
from django_flare.definitions.definition import JobDefinition
from django_flare.errors import option_error
from django_flare.values import BadValueError


class JobOptions(TypedDict, total=False):
    """Name the options of a single job; each takes precedence over `@job` and the settings.

    `queue`: 1 to 100 ASCII letters, digits and `_ . : -`. `max_attempts`: 1 to 100. `timeout`: a
    timedelta from 1 s to 24 h. `priority`: -100 to 100, larger first. `tags`: at most 32, merged
    over those of `@job` key by key. `idempotency_key`: 1 to 200 visible ASCII characters.
    """

    queue: str
    max_attempts: int
    timeout: timedelta
    priority: int
    tags: dict[str, str]
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class ResolvedOptions:
    """Hold what a job is stored with. `tags` is shared between jobs: read it, do not change it.

    `backoff` is None when it is that of the settings.
    """

    queue: str
    max_attempts: int
    timeout: timedelta
    priority: int
    tags: Mapping[str, str]
    idempotency_key: str | None
    backoff: Backoff | None


def _timeout(value: Any) -> timedelta:
    if not isinstance(value, timedelta):
        raise BadValueError(f"{values.kind(value)}, expected a timedelta")
    return values.duration(value, MIN_TIMEOUT, MAX_TIMEOUT)


_RULES: dict[str, Callable[[Any], Any]] = {
    "queue": values.queue_name,
    "max_attempts": lambda value: values.whole(value, 1, MAX_ATTEMPTS_BOUND),
    "timeout": _timeout,
    "priority": lambda value: values.whole(value, -PRIORITY_BOUND, PRIORITY_BOUND),
    "tags": values.tags,
    "idempotency_key": values.idempotency_key,
}


def validate_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the given options in their plain types, as a new dict; what is absent stays absent.

    Raises FlareOptionError naming the option, the value's kind and the bound, and TypeError with
    a suggestion for an option that does not exist.
    """
    return {name: _validated(name, value) for name, value in options.items()}


def _validated(name: str, value: Any) -> Any:
    try:
        rule = _RULES[name]
    except KeyError:
        raise _unknown(name) from None
    try:
        return rule(value)
    except BadValueError as problem:
        raise option_error(name, str(problem)) from None


def _unknown(name: str) -> TypeError:
    near = difflib.get_close_matches(name, _RULES, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(_RULES)}"
    return TypeError(f"unknown option {name!r}, {hint}")


def resolve_options(definition: JobDefinition, options: Mapping[str, Any]) -> ResolvedOptions:
    """Return what holds for a new job of `definition`: the call's options, then `@job`'s, then the settings'.

    Tags are merged key by key. Raises as `validate_options`.
    """
    defaults = _defaults(definition, flare_settings())
    if not options:
        return defaults
    given = validate_options(options)
    tags = {**defaults.tags, **given["tags"]} if "tags" in given else defaults.tags
    if len(tags) > values.MAX_TAGS:
        raise option_error("tags", f"{len(tags)} tags with those of @job, at most {values.MAX_TAGS}")
    return ResolvedOptions(
        given.get("queue", defaults.queue),
        given.get("max_attempts", defaults.max_attempts),
        given.get("timeout", defaults.timeout),
        given.get("priority", defaults.priority),
        tags,
        given.get("idempotency_key"),
        defaults.backoff,
    )


# Both arguments are compared by identity; the bound only matters to long test runs.
@lru_cache(maxsize=4096)
def _defaults(definition: JobDefinition, settings: Settings) -> ResolvedOptions:
    declared, backoff = definition.options, definition.backoff
    return ResolvedOptions(
        declared.get("queue", settings.queue),
        declared.get("max_attempts", settings.max_attempts),
        declared.get("timeout", settings.timeout),
        declared.get("priority", settings.priority),
        declared.get("tags", {}),
        None,
        None if backoff is None or backoff.matches(settings.backoff) else backoff,
    )
