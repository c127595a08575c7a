"""Which values are stored as JSON, the same on every database, and their text.

A value is JSON when it is built of dicts with string keys, lists, tuples (which become lists),
strings, numbers, booleans and None. Refused are NaN and the infinities, integers outside 64 bits,
NUL characters, lone surrogates, circular references, and what is too large or too deep.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import msgspec
from django.utils.functional import Promise

from django_flare.conf import Settings, flare_settings
from django_flare.errors import FlarePayloadError, payload_error
from django_flare.values import bad_character, kind

LOWEST_INTEGER = -(2**63)
HIGHEST_INTEGER = 2**63 - 1

_STRING = frozenset({str})
_TEXTUAL = frozenset({str, bool, type(None)})
_CONTAINERS = frozenset({dict, list, tuple})
_ESCAPED_NUL = b"\\u0000"
_encode = msgspec.json.Encoder().encode


def encode_json(value: Any, root: str) -> str:
    """Return the JSON text of `value`; `root` names it in errors.

    Raises FlarePayloadError naming the place and the rule. Key order is kept.
    """
    settings = flare_settings()
    data = _quick_encode(value, settings)
    if data is None:
        require_json(value, root, settings)
        # The stricter encoder does not know subclasses of str, int and float.
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if len(data) > settings.max_payload:
        raise _too_large(root, f"{len(data)} bytes", settings)
    return data.decode()


def encode_result(value: Any) -> str:
    """Return the JSON text of what a handler returned, by the rules of plain payloads.

    Any JSON value will do, also None, a list or a number. Raises FlarePayloadError saying why not.
    """
    return encode_json(value, "result")


def _canonical_hook(value: Any) -> Any:
    for plain in (str, int, float):
        if isinstance(value, plain):
            return json.loads(json.dumps(value))
    raise TypeError(f"{kind(value)} has no canonical JSON")


_canonical = msgspec.json.Encoder(order="sorted", enc_hook=_canonical_hook).encode


def canonical_json(value: Any) -> bytes:
    """Return JSON in which equal values have equal bytes, for fingerprints: keys are sorted.

    Also takes times, durations, UUIDs, decimals and dataclasses. 1 and 1.0 differ.
    """
    return _canonical(value)


def _quick_encode(value: Any, settings: Settings) -> bytes | None:
    # The usual case at the speed of C; None means "look closer", not "refused".
    if not _surely_json(value, settings):
        return None
    try:
        data = _encode(value)
    except (UnicodeEncodeError, RecursionError):
        return None
    return None if _ESCAPED_NUL in data else data


def _surely_json(value: Any, settings: Settings) -> bool:
    level: list[Any] = [(value,)]
    depth, left = -1, settings.max_payload  # The tuple round the value is no level of its own.
    while level:
        below: list[Any] = []
        for container in level:
            left -= len(container)
            if not _surely_flat(container, below):
                return False
        depth += 1
        # Shared references make a small object endless text: each item takes a byte at least.
        if left < 0 or depth > settings.max_depth:
            return False
        level = below
    return True


def _surely_flat(container: Any, below: list[Any]) -> bool:
    if type(container) is dict:
        if not _STRING.issuperset(map(type, container)):
            return False
        container = container.values()
    for item in container:
        item_type = type(item)
        if item_type in _CONTAINERS:
            below.append(item)
        elif item_type not in _TEXTUAL and not _surely_number(item, item_type):
            return False
    return True


def _surely_number(item: Any, item_type: type) -> bool:
    if item_type is int:
        return bool(LOWEST_INTEGER <= item <= HIGHEST_INTEGER)
    return item_type is float and isfinite(item)


@dataclass(slots=True)
class _Place:
    value: Any
    key: str | int | None
    parent: _Place | None
    depth: int

    def path(self, root: str) -> str:
        keys = [place.key for place in self.line()][-2::-1]
        return root + "".join(_step(key) for key in keys)

    def line(self) -> Iterator[_Place]:
        place: _Place | None = self
        while place is not None:
            yield place
            place = place.parent

    def is_circular(self) -> bool:
        seen = [id(place.value) for place in self.line()]
        return len(set(seen)) < len(seen)


def _step(key: str | int | None) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    name = str.__str__(key or "")
    return f".{name}" if name.isidentifier() and name.isascii() else f"[{name[:100]!a}]"


def require_json(value: Any, root: str, settings: Settings) -> None:
    """Check every part of `value`, the shallowest first; `root` names it in errors.

    Raises FlarePayloadError naming the place and the rule. Does not recurse.
    """
    places = deque([_Place(value, None, None, 1)])
    left = settings.max_payload
    while places:
        place = places.popleft()
        problem = _leaf_problem(place.value)
        if problem:
            raise payload_error(place.path(root), problem)
        if isinstance(place.value, dict | list | tuple):
            left -= len(place.value)
            if left < 0:
                raise _too_large(root, "too many values", settings)
            _require_shallow(place, root, settings)
            places.extend(_parts(place, root))


def _require_shallow(place: _Place, root: str, settings: Settings) -> None:
    if place.depth <= settings.max_depth:
        return
    if place.is_circular():
        raise payload_error(root, "holds a circular reference")
    raise payload_error(root, f"nested deeper than {settings.max_depth} levels")


def _parts(place: _Place, root: str) -> Iterator[_Place]:
    value, depth = place.value, place.depth + 1
    if not isinstance(value, dict):
        return (_Place(item, index, place, depth) for index, item in enumerate(value))
    for key in value:
        if problem := _key_problem(key):
            raise payload_error(place.path(root), problem)
    return (_Place(item, key, place, depth) for key, item in value.items())


def json_kind(value: Any) -> str:
    """Return the name of the value's type; translations that wait for a language are "lazy text"."""
    return "lazy text" if isinstance(value, Promise) else kind(value)


def _key_problem(key: Any) -> str | None:
    if not isinstance(key, str):
        return f"a key is {kind(key)}, expected a string"
    found = bad_character(key)
    return f"{found} is not allowed in a key" if found else None


def _leaf_problem(value: Any) -> str | None:
    if value is None or isinstance(value, bool | dict | list | tuple):
        return None
    if isinstance(value, str):
        found = bad_character(value)
        return f"{found} is not allowed" if found else None
    if isinstance(value, int):
        inside = LOWEST_INTEGER <= value <= HIGHEST_INTEGER
        return None if inside else "an integer beyond 64 bits, expected -2^63 to 2^63-1"
    if isinstance(value, float):
        return None if isfinite(value) else f"{float(value)} is not JSON"
    return f"{json_kind(value)} is not a JSON type"


def _too_large(root: str, size: str, settings: Settings) -> FlarePayloadError:
    return payload_error(root, f"{size}, at most {settings.max_payload} bytes of JSON", "too_large")
