"""Make JSON of a payload without knowing its handler; what the type takes is for the server to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import msgspec

from django_flare.errors import FlarePayloadError, payload_error
from django_flare.values import kind

# One more than the longest MAX_DEPTH; its last level holds no containers.
_DEEPEST = 501
_MISFITS = (msgspec.MsgspecError, TypeError, ValueError, OverflowError)
_SCALARS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
# msgspec has a text for them, but a handler's type alone can tell it from any other.
_WITHOUT_TEXT = (bytes, bytearray, memoryview, set, frozenset)


def json_object(payload: object) -> dict[str, Any]:
    """Return the payload as an object of JSON values; None is an empty one.

    Takes a dict, a dataclass, a Struct or a Pydantic model. What they hold beyond JSON becomes the text
    from which the handler's type reads it again: times, durations, UUIDs, decimals, enums, objects.

    Raises FlarePayloadError naming the place for NaN, keys that are no strings and whatever has no such
    text. Size, depth, characters and the type are checked by the server.
    """
    given = dict(payload or {}) if payload is None or isinstance(payload, Mapping) else payload
    try:
        value = _plain(given, "payload")
    except RecursionError:
        raise payload_error("payload", "holds a circular reference or is nested too deep") from None
    if not isinstance(value, dict):
        raise payload_error("payload", f"{kind(payload)}, expected a dict, a dataclass or a Struct")
    return value


def _plain(value: Any, path: str, depth: int = 1) -> Any:
    # One frame for each level, so that the deepest payload that a server takes fits in the stack.
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(value, dict):
        members = {}
        for key, item in value.items():
            members[key] = _plain(item, _below(path, key), depth + 1)
        return members
    if isinstance(value, list | tuple):
        items = []
        for index, item in enumerate(value):
            items.append(_plain(item, f"{path}[{index}]", depth + 1))
        return items
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return _number(value, path)
    return _plain(_builtin(value, path), path, depth + 1)


def _below(path: str, key: Any) -> str:
    if not isinstance(key, str):
        raise payload_error(path, f"a key is {kind(key)}, expected a string")
    return f"{path}.{key}" if key.isidentifier() and key.isascii() else f"{path}[{key[:100]!a}]"


def _number(value: float, path: str) -> float:
    # Python refuses to write integers of thousands of digits.
    if isinstance(value, int) and value.bit_length() > 64:
        raise payload_error(path, "an integer beyond 64 bits, expected -2^63 to 2^63-1")
    if not isfinite(value):
        raise payload_error(path, f"{float(value)} is not JSON")
    return value


def _builtin(value: Any, path: str) -> Any:
    if isinstance(value, _WITHOUT_TEXT):
        raise _no_json(value, path)
    try:
        return (
            _dumped(value) if hasattr(value, "model_dump") else msgspec.to_builtins(value, enc_hook=_nested)
        )
    except _MISFITS:
        raise _no_json(value, path) from None


def _nested(value: Any) -> Any:
    """Convert what msgspec does not know: models of Pydantic and subclasses of the plain types."""
    if hasattr(value, "model_dump"):
        return _dumped(value)
    for plain, convert in _SCALARS:
        if isinstance(value, plain):
            return convert(value)
    raise TypeError(kind(value))


def _dumped(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)


def _no_json(value: Any, path: str) -> FlarePayloadError:
    return payload_error(path, f"{kind(value)} is not a JSON type")
