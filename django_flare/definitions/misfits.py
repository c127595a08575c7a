"""How a payload that does not fit is told to the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from django_flare.definitions.json_values import json_kind
from django_flare.errors import FlarePayloadError, payload_error
from django_flare.values import kind

MISFITS = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
"""What conversions and the validators of payload types raise."""


def as_dict(payload: Any, expected: str) -> dict[str, Any]:
    """Return the mapping `payload` as a dict, an empty one for None; `expected` is named in the error."""
    if payload is None:
        return {}
    if isinstance(payload, dict):
        return payload
    if isinstance(payload, Mapping):
        return dict(payload)
    raise payload_error("payload", f"{kind(payload)}, expected {expected}")


_SCALARS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)


def plain_scalar(value: Any) -> Any:
    """Return a string or number of a subclass as the plain type; raises TypeError for all else."""
    # Safe strings and the like; msgspec takes the exact types only.
    for scalar, plain in _SCALARS:
        if isinstance(value, scalar):
            return plain(value)
    raise TypeError(f"{json_kind(value)} is not a JSON type")


def misfit(error: BaseException) -> FlarePayloadError:
    """Return the error for what a conversion raised, with the place that it names."""
    if isinstance(error, FlarePayloadError):
        return error
    if isinstance(error, RecursionError):
        return payload_error("payload", "holds a circular reference or is nested too deep")
    problem, _, path = str(error).replace("`", "").partition(" - at ")
    return payload_error(f"payload{path.removeprefix('$')}", problem[:1].lower() + problem[1:])
