"""Which values settings and options may take: each rule once, whoever asks.

Every reader returns the value in its plain type or raises `BadValueError`, whose text names
the value's kind or size and the bound, ready to follow the name of a field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

SECOND = 1.0
DAY = 86_400.0
TEN_YEARS = 3652 * DAY

MAX_ATTEMPTS_BOUND = 100
PRIORITY_BOUND = 100
MIN_TIMEOUT = SECOND
MAX_TIMEOUT = DAY
MAX_QUEUE_LENGTH = 100
MAX_KEY_LENGTH = 200
MAX_TAGS = 32
MAX_TAG_KEY_LENGTH = 64
MAX_TAG_VALUE_LENGTH = 200

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_OUTSIDE_QUEUE_NAME = re.compile(r"[^A-Za-z0-9_.:-]")
_INVISIBLE_OR_FOREIGN = re.compile(r"[^\x21-\x7e]")


class BadValueError(ValueError):
    """Say why a value is refused; the text does not name the field."""


def kind(value: object) -> str:
    """Return the name of the value's type, as error messages give it."""
    return "None" if value is None else type(value).__name__


def bad_character(value: str) -> str | None:
    """Name the character of `value` that no database of ours stores, or return None."""
    if "\0" in value:
        return "a NUL character"
    if _LONE_SURROGATE.search(value):
        return "a lone surrogate"
    return None


def boolean(value: Any) -> bool:
    """Return `value`, which is True or False."""
    if not isinstance(value, bool):
        raise BadValueError(f"{kind(value)}, expected True or False")
    return value


def whole(value: Any, low: int, high: int) -> int:
    """Return the integer `value` between `low` and `high`; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValueError(f"{kind(value)}, expected an integer")
    if not low <= value <= high:
        raise BadValueError(f"{_shown(value)}, expected {low} to {high}")
    return int(value)


def seconds(value: Any, low: float, high: float) -> float:
    """Return the timedelta or number of seconds `value` as seconds between `low` and `high`.

    A bool, NaN or an infinity is refused.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValueError(f"{kind(value)}, expected a timedelta or seconds")
    # Compared before any conversion: a huge integer has no float, NaN compares as False.
    if not low <= value <= high:
        raise BadValueError(f"{_shown(value)} s, expected {low:g} s to {high:g} s")
    return float(value)


def duration(value: Any, low: float, high: float) -> timedelta:
    """Return the timedelta or number of seconds `value` as a timedelta; the bounds are seconds."""
    return timedelta(seconds=seconds(value, low, high))


def text(value: Any, longest: int, shortest: int = 1) -> str:
    """Return the string `value` as a plain one that every database can store."""
    if not isinstance(value, str):
        raise BadValueError(f"{kind(value)}, expected a string")
    if len(value) < shortest:
        raise BadValueError(f"empty, at least {shortest} characters" if shortest > 1 else "empty")
    if len(value) > longest:
        raise BadValueError(f"{len(value)} characters, at most {longest}")
    if found := bad_character(value):
        raise BadValueError(f"{found} is not allowed")
    return str.__str__(value)  # str() would render an Enum's name


def queue_name(value: Any) -> str:
    """Return the queue's name: 1 to 100 ASCII letters, digits and `_ . : -`, no leading `-`."""
    name = text(value, MAX_QUEUE_LENGTH)
    if found := _OUTSIDE_QUEUE_NAME.search(name):
        raise BadValueError(f"{found[0]!a} is not allowed, only ASCII letters, digits and _ . : -")
    if name.startswith("-"):
        raise BadValueError("a leading '-' is not allowed")
    return name


def idempotency_key(value: Any) -> str:
    """Return the idempotency key: 1 to 200 visible ASCII characters."""
    key = text(value, MAX_KEY_LENGTH)
    if found := _INVISIBLE_OR_FOREIGN.search(key):
        raise BadValueError(f"{found[0]!a} is not allowed, only visible ASCII characters")
    return key


def tags(value: Any) -> dict[str, str]:
    """Return the tags as a new dict: at most 32, keys of 1 to 64 and values of 0 to 200 characters."""
    if not isinstance(value, Mapping):
        raise BadValueError(f"{kind(value)}, expected a dict of strings")
    if len(value) > MAX_TAGS:
        raise BadValueError(f"{len(value)} tags, at most {MAX_TAGS}")
    return {_tag_key(key): _tag_value(key, content) for key, content in value.items()}


def _tag_key(key: Any) -> str:
    try:
        return text(key, MAX_TAG_KEY_LENGTH)
    except BadValueError as problem:
        raise BadValueError(f"a key: {problem}") from None


def _tag_value(key: Any, content: Any) -> str:
    try:
        return text(content, MAX_TAG_VALUE_LENGTH, shortest=0)
    except BadValueError as problem:
        raise BadValueError(f"the value of {str(key)[:MAX_TAG_KEY_LENGTH]!a}: {problem}") from None


def _shown(value: object) -> str:
    # Python refuses to print integers of thousands of digits, and nobody wants to read them.
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    return f"{value:g}" if isinstance(value, float) else str(value)
