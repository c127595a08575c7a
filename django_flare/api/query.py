"""Read query strings strictly: known parameters, in UTF-8, each once unless it may repeat."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from rest_framework.request import Request

from django_flare.api.problems import refused
from django_flare.api.times import read_time

MAX_PARAMETERS = 100
MAX_QUERY_LENGTH = 16_384

_REPEATING = frozenset({"state", "tag"})
_WHOLE = re.compile(r"-?[0-9]{1,9}", re.ASCII)


def read_query(request: Request, allowed: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the request's parameters; raises the 400 for one that is not `allowed` or repeats."""
    found: dict[str, list[str]] = {}
    for name, value in _pairs(request.META.get("QUERY_STRING", "")):
        if name not in allowed:
            known = f"expected {', '.join(sorted(allowed))}" if allowed else "none is taken here"
            raise refused(name[:100], f"there is no such parameter, {known}", "unknown_parameter")
        values = found.setdefault(name, [])
        if values and name not in _REPEATING:
            raise refused(name, "given more than once", "repeated")
        values.append(value)
    return found


def _pairs(query: str) -> list[tuple[str, str]]:
    if len(query) > MAX_QUERY_LENGTH:
        raise refused("query", f"{len(query)} characters, at most {MAX_QUERY_LENGTH}", "too_long")
    if not query.isascii():
        raise refused("query", "a character that is not percent-encoded", "invalid_character")
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise refused("query", "percent-encoded bytes that are not UTF-8", "invalid_character") from None
    except ValueError:
        raise refused("query", f"at most {MAX_PARAMETERS} parameters", "too_many_parameters") from None


FILTERS = ("state", "queue", "job_type", "tag", "created_after", "created_before", "limit", "cursor")


def read_filters(request: Request) -> dict[str, Any]:
    """Return the arguments for `list_jobs` that the request's parameters are."""
    found = read_query(request, FILTERS)
    filters: dict[str, Any] = {
        name: found[name][0] for name in ("queue", "job_type", "cursor") if name in found
    }
    if "state" in found:
        filters["state"] = found["state"]
    if "tag" in found:
        filters["tags"] = _tags(found["tag"])
    for name in ("created_after", "created_before"):
        if name in found:
            filters[name] = _time(found[name][0], name)
    if "limit" in found:
        filters["limit"] = _whole(found["limit"][0], "limit")
    return filters


def _time(text: str, name: str) -> datetime:
    return read_time(text, name)


def _whole(text: str, name: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise refused(name, f"{text[:40]!a}, expected an integer", "kind", "invalid_option")
    return int(text)


def _tags(pairs: Collection[str]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon or tags.setdefault(key, value) != value:
            raise refused(
                "tag", f"{pair[:100]!a}, expected key:value, each key once", "invalid", "invalid_option"
            )
    return tags
