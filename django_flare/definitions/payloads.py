"""How a payload becomes JSON at enqueue and the handler's type again before the run."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import msgspec

from django_flare.definitions.json_values import encode_json
from django_flare.definitions.misfits import MISFITS, as_dict, misfit, plain_scalar
from django_flare.definitions.pydantic_payloads import PydanticCodec, is_pydantic
from django_flare.definitions.shapes import compile_shape
from django_flare.errors import FlarePayloadError, payload_error
from django_flare.values import kind

# Kept as they are for the strict conversion, which would take their text for any string field.
_LEAVES = (bytes, bytearray, memoryview, datetime, date, time, timedelta, UUID, Decimal)


class PayloadCodec(Protocol):
    """Turn the payloads of one job type into JSON text and back."""

    def encode(self, payload: Any) -> str:
        """Return the JSON text of `payload`: None, a dict, or an object of the declared type.

        Defaults are filled in, key order is kept. Raises FlarePayloadError naming the place.
        """
        ...

    def decode(self, stored: Any) -> Any:
        """Return a new payload for the handler from the stored JSON, parsed or as text.

        Keys that the type no longer has are ignored, so that jobs survive a deploy which drops a
        field. Raises FlarePayloadError when the stored value does not fit.
        """
        ...


def build_codec(annotation: Any) -> PayloadCodec:
    """Return the codec for a handler's annotation of `payload`.

    Raises TypeError when the annotation does not round-trip as a JSON object.
    """
    annotation = _without_none(annotation)
    if _is_plain(annotation):
        return PlainCodec()
    if is_pydantic(annotation):
        return PydanticCodec(annotation)
    return TypedCodec(annotation)


class PlainCodec:
    """Take dicts of JSON types as they are."""

    def encode(self, payload: Any) -> str:
        """Return the JSON text of the dict `payload`; None is an empty one."""
        if payload is None:
            return "{}"
        return encode_json(as_dict(payload, "a dict"), "payload")

    def decode(self, stored: Any) -> dict[str, Any]:
        """Return the stored object as a dict."""
        value = _parsed(stored)
        if not isinstance(value, dict):
            raise payload_error("payload", f"{kind(value)}, expected an object")
        return value


class TypedCodec:
    """Convert strictly between JSON and a dataclass, TypedDict, Struct or other msgspec type."""

    def __init__(self, annotation: Any) -> None:
        self._type = annotation
        self._shape = compile_shape(annotation)
        self._instances = _instance_types(annotation)
        self._parse = msgspec.json.Decoder(annotation).decode

    def encode(self, payload: Any) -> str:
        """Return the JSON text of `payload`, checked against the type whatever it came as."""
        given = self._as_given(payload)
        try:
            value = msgspec.to_builtins(given, builtin_types=_LEAVES, enc_hook=plain_scalar)
            if self._shape is not None:
                self._shape(value, "payload")
            typed = msgspec.convert(value, self._type)
            value = msgspec.to_builtins(typed)
        except FlarePayloadError:
            raise
        except MISFITS as error:
            raise misfit(error) from error
        return encode_json(value, "payload")

    def decode(self, stored: Any) -> Any:
        """Return the stored object as the declared type."""
        try:
            if isinstance(stored, str | bytes):
                return self._parse(stored)
            return msgspec.convert(stored, self._type)
        except MISFITS as error:
            raise misfit(error) from error

    def _as_given(self, payload: Any) -> Any:
        if isinstance(payload, self._instances):
            return payload
        names = " or ".join(instance.__name__ for instance in self._instances)
        return as_dict(payload, f"{names} or a dict" if names else "a dict")


def _without_none(annotation: Any) -> Any:
    branches = [branch for branch in typing.get_args(annotation) if branch is not type(None)]
    if type(None) in typing.get_args(annotation) and branches:
        return typing.Union[tuple(branches)]  # noqa: UP007 - the branches are known at run time only
    return annotation


def _is_plain(annotation: Any) -> bool:
    if annotation in (Any, object, dict, Mapping, typing.Dict, typing.Mapping):  # noqa: UP006
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    return origin in (dict, Mapping) and arguments in ((str, Any), (str, object))


def _instance_types(annotation: Any) -> tuple[type, ...]:
    found: list[type] = []
    for branch in typing.get_args(annotation) if _is_union(annotation) else (annotation,):
        declared = branch.__origin__ if typing.get_origin(branch) is typing.Annotated else branch
        declared = typing.get_origin(declared) or declared
        if not typing.is_typeddict(declared) and not issubclass(declared, Mapping):
            found.append(declared)
    return tuple(found)


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, type(int | str))


def _parsed(stored: Any) -> Any:
    if not isinstance(stored, str | bytes):
        return stored
    try:
        return msgspec.json.decode(stored)
    except msgspec.MsgspecError as error:
        raise misfit(error) from error
