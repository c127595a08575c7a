"""Payloads that are Pydantic models; Pydantic itself is never imported here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import msgspec

from django_flare.definitions.json_values import encode_json
from django_flare.definitions.misfits import MISFITS, as_dict, misfit, plain_scalar
from django_flare.errors import FlarePayloadError, payload_error


def is_pydantic(annotation: Any) -> bool:
    """Tell whether `annotation` is a Pydantic model."""
    # Whoever declares a model has imported Pydantic; nobody else needs it.
    pydantic = sys.modules.get("pydantic")
    return (
        pydantic is not None and isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)
    )


class PydanticCodec:
    """Convert strictly between JSON and a Pydantic model."""

    def __init__(self, model: Any) -> None:
        if issubclass(model, sys.modules["pydantic"].RootModel):
            raise TypeError(f"{model!r} is no JSON object; use a BaseModel with fields")
        self._model = model

    def encode(self, payload: Any) -> str:
        """Return the JSON text of `payload`, validated anew also when it is a model already."""
        given = self._given(payload)
        model = self._validated(encode_json(given, "payload"))
        _refuse_unknown(given, model, "payload")
        stored = self._dumped(model)
        # An alias for writing alone would be lost on reading.
        _refuse_unknown(stored, model, "payload")
        return encode_json(stored, "payload")

    def decode(self, stored: Any) -> Any:
        """Return the stored object as the model."""
        text = stored if isinstance(stored, str | bytes) else encode_json(stored, "payload")
        return self._validated(text)

    def _given(self, payload: Any) -> Any:
        if isinstance(payload, self._model):
            return self._dumped(payload)
        given = as_dict(payload, f"{self._model.__name__} or a dict")
        try:
            return msgspec.to_builtins(given, enc_hook=self._nested)
        except MISFITS as error:
            raise misfit(error) from error

    def _nested(self, value: Any) -> Any:
        return (
            value.model_dump(mode="json", warnings=False)
            if hasattr(value, "model_dump")
            else plain_scalar(value)
        )

    def _dumped(self, model: Any) -> Any:
        try:
            return model.model_dump(mode="json", by_alias=True, round_trip=True, warnings=False)
        except MISFITS as error:
            raise misfit(error) from error

    def _validated(self, text: str | bytes) -> Any:
        try:
            return self._model.model_validate_json(text, strict=True)
        except MISFITS as error:
            raise _model_misfit(error) from error


def _model_misfit(error: Any) -> FlarePayloadError:
    errors = error.errors(include_url=False) if hasattr(error, "errors") else []
    if not errors:
        return misfit(error)
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in errors[0]["loc"])
    return payload_error(f"payload{steps}", errors[0]["msg"])


def _refuse_unknown(given: Any, parsed: Any, path: str) -> None:
    if isinstance(given, list) and isinstance(parsed, list | tuple):
        for index, (item, part) in enumerate(zip(given, parsed, strict=False)):
            _refuse_unknown(item, part, f"{path}[{index}]")
    elif isinstance(given, dict) and isinstance(parsed, dict):
        for key, item in given.items():
            _refuse_unknown(item, parsed.get(key), f"{path}.{key}")
    elif isinstance(given, dict) and hasattr(parsed, "model_fields_set"):
        _refuse_unknown_fields(given, parsed, path)


def _refuse_unknown_fields(given: dict[str, Any], model: Any, path: str) -> None:
    names = dict(_names_of_fields(model))
    extra = model.model_extra or {}
    for key, item in given.items():
        if key not in names and key not in extra:
            raise payload_error(path, f"unknown key {key[:100]!a}, expected {', '.join(names)}", "unknown")
        if key in names:
            _refuse_unknown(item, getattr(model, names[key]), f"{path}.{key}")


def _names_of_fields(model: Any) -> Iterator[tuple[str, str]]:
    for name, field in type(model).model_fields.items():
        yield name, name
        alias = field.validation_alias or field.alias
        for choice in getattr(alias, "choices", [alias] if alias else []):
            yield str(getattr(choice, "path", [choice])[0]), name
