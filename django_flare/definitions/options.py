"""The options of a job: what holds in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django_flare import values
from django_flare.arguments import validate_options
from django_flare.conf import Settings, flare_settings
from django_flare.definitions.backoff import Backoff
from django_flare.definitions.definition import JobDefinition
from django_flare.errors import option_error


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
