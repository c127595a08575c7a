"""Hide what payloads hold under the names that REDACT lists."""

from __future__ import annotations

from itertools import repeat
from typing import Any

from django_flare.conf import flare_settings

REDACTED = "[redacted]"


def redacted(document: Any) -> Any:
    """Return the JSON document with the values under redacted names replaced, at any depth."""
    names = flare_settings().redact
    return _redacted(document, names) if names else document


def _redacted(value: Any, names: frozenset[str]) -> Any:
    # One frame for each level, and no payload has more than MAX_DEPTH, which is 500 at most.
    if isinstance(value, dict):
        members = {}
        for key, item in value.items():
            members[key] = REDACTED if key.lower() in names else _redacted(item, names)
        return members
    if isinstance(value, list):
        return list(map(_redacted, value, repeat(names)))
    return value
