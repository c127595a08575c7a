"""Describe jobs for the wire, without what a payload holds under the names that REDACT lists."""

from __future__ import annotations

from itertools import repeat
from typing import Any

from django_flare.conf import flare_settings
from django_flare.status import JobStatus

REDACTED = "[redacted]"


def describe_job(status: JobStatus) -> dict[str, Any]:
    """Return the job object; values under redacted names, at any depth of the payload, are replaced."""
    job = status.as_dict()
    names = flare_settings().redact
    return {**job, "payload": _redacted(job["payload"], names)} if names else job


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
