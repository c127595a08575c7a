"""What msgspec leaves undone in a typed payload: unknown keys, values under no type, defaults.

A shape is compiled once per annotation. It is a function that takes a value and its path, raises
FlarePayloadError for what it finds and puts in the defaults of dataclasses; or None where there
is nothing to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec
from msgspec import inspect as types

from django_flare.conf import flare_settings
from django_flare.definitions.json_values import require_json
from django_flare.errors import FlarePayloadError, payload_error

Shape: TypeAlias = Callable[[Any, str], None]

_OBJECTS = (types.StructType, types.DataclassType, types.TypedDictType)
_ARRAYS = (types.ListType, types.SetType, types.FrozenSetType, types.VarTupleType)
_NO_KEYS = (types.IntType, types.FloatType, types.BoolType, types.CustomType, types.TupleType)


def compile_shape(annotation: Any) -> Shape | None:
    """Return the shape of `annotation`, or None when it has nothing to do.

    Raises TypeError for an annotation that does not round-trip as JSON or is no object.
    """
    info = types.type_info(annotation)
    if not all(_is_object(branch) for branch in _branches(info)):
        raise TypeError(f"{annotation!r} is no JSON object; use a dict, dataclass, TypedDict or Struct")
    return _Compiler().shape(info, "payload")


def _is_object(info: types.Type) -> bool:
    if isinstance(info, types.StructType):
        return not info.array_like
    return isinstance(info, types.DataclassType | types.TypedDictType | types.DictType)


def _branches(info: types.Type) -> Iterable[types.Type]:
    return info.types if isinstance(info, types.UnionType) else (info,)


class _Compiler:
    def __init__(self) -> None:
        # Recursive types come back to the same class.
        self._objects: dict[Any, _ObjectShape] = {}

    def shape(self, info: types.Type, path: str) -> Shape | None:
        if isinstance(info, types.Metadata):
            return self.shape(info.type, path)
        if isinstance(info, types.CustomType):
            raise TypeError(f"{path}: {info.cls!r} does not round-trip as JSON")
        if isinstance(info, types.AnyType):
            return _untyped
        if isinstance(info, types.UnionType):
            return self._union(info, path)
        if isinstance(info, _OBJECTS):
            return self._object(info, path)
        return self._container(info, path)

    def _container(self, info: types.Type, path: str) -> Shape | None:
        if isinstance(info, types.DictType):
            if isinstance(info.key_type, _NO_KEYS):
                raise TypeError(f"{path}: keys of JSON objects are strings")
            return _each_value(self.shape(info.value_type, f"{path}[]"))
        if isinstance(info, _ARRAYS):
            return _each_item(self.shape(info.item_type, f"{path}[]"))
        if isinstance(info, types.TupleType):
            return _each_of([self.shape(item, f"{path}[]") for item in info.item_types])
        if isinstance(info, types.NamedTupleType):
            return _each_of([self.shape(field.type, f"{path}.{field.name}") for field in info.fields])
        return None

    def _object(self, info: Any, path: str) -> Shape:
        if info.cls in self._objects:
            return self._objects[info.cls]
        shape = self._objects[info.cls] = _ObjectShape(getattr(info, "tag_field", None))
        for field in info.fields:
            shape.fields[field.encode_name] = self.shape(field.type, f"{path}.{field.encode_name}")
            # msgspec leaves such a default to the class, from where it is not written.
            if isinstance(info, types.DataclassType) and field.default is not msgspec.NODEFAULT:
                shape.defaults[field.encode_name] = msgspec.to_builtins(field.default)
        return shape

    def _union(self, info: types.UnionType, path: str) -> Shape | None:
        tagged: dict[Any, Shape] = {}
        by_kind: dict[type, Shape] = {}
        for branch in info.types:
            shape = self.shape(branch, path)
            if shape is None:
                continue
            if isinstance(branch, types.AnyType):
                return shape
            if isinstance(branch, types.StructType) and branch.tag_field:
                tagged[branch.tag] = shape
                by_kind[dict] = _by_tag(branch.tag_field, tagged)
            else:
                by_kind[dict if isinstance(branch, (*_OBJECTS, types.DictType)) else list] = shape
        return _by_kind(by_kind) if by_kind else None


class _ObjectShape:
    def __init__(self, tag_field: str | None) -> None:
        self.fields: dict[str, Shape | None] = {tag_field: None} if tag_field else {}
        self.defaults: dict[str, Any] = {}

    def __call__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            return
        fields = self.fields
        for key, part in value.items():
            try:
                shape = fields[key]
            except KeyError:
                raise self._unknown(key, path) from None
            if shape is not None:
                shape(part, f"{path}.{key}")
        for key, default in self.defaults.items():
            value.setdefault(key, default)

    def _unknown(self, key: Any, path: str) -> FlarePayloadError:
        if not isinstance(key, str):
            return payload_error(path, f"a key is {type(key).__name__}, expected a string")
        near = difflib.get_close_matches(key, self.fields, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected {', '.join(self.fields) or 'none'}"
        return payload_error(path, f"unknown key {key[:100]!a}, {hint}", "unknown")


def _untyped(value: Any, path: str) -> None:
    require_json(value, path, flare_settings())


def _each_value(shape: Shape | None) -> Shape | None:
    def check(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                part_of(part, f"{path}.{key}")

    part_of = shape or (lambda _value, _path: None)
    return check if shape else None


def _each_item(shape: Shape | None) -> Shape | None:
    return _each_of([], shape)


def _each_of(shapes: list[Shape | None], rest: Shape | None = None) -> Shape | None:
    def check(value: Any, path: str) -> None:
        if isinstance(value, list | tuple):
            for index, part in enumerate(value):
                shape = shapes[index] if index < len(shapes) else rest
                if shape is not None:
                    shape(part, f"{path}[{index}]")

    return check if rest or any(shapes) else None


def _by_tag(tag_field: str, shapes: dict[Any, Shape]) -> Shape:
    def check(value: Any, path: str) -> None:
        tag = value.get(tag_field)
        shape = shapes.get(tag) if isinstance(tag, str | int) else None
        if shape is not None:
            shape(value, path)

    return check


def _by_kind(shapes: dict[type, Shape]) -> Shape:
    def check(value: Any, path: str) -> None:
        shape = shapes.get(list if isinstance(value, tuple) else type(value))
        if shape is not None:
            shape(value, path)

    return check
