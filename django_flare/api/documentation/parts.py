"""What schemas are made of; bounds and names are those of the code."""

from __future__ import annotations

from typing import Any

from django_flare import values
from django_flare.states import JobState

Schema = dict[str, Any]

ID = "01a2096c-5d3e-7001-8c6e-7a2155a7bbfa"
WORKER_ID = "wrk_web1_4711_a0287634c1cb"
MOMENT = "2030-01-02T03:04:05.678901Z"
QUEUE_PATTERN = "^[A-Za-z0-9_.:][A-Za-z0-9_.:-]*$"

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
TIME: Schema = {"type": "string", "format": "date-time"}
JOB_ID: Schema = {"type": "string", "format": "uuid"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
MAYBE_NUMBER: Schema = {"type": ["number", "null"]}
STATE: Schema = {"type": "string", "enum": [state.value for state in JobState]}
QUEUE: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": values.MAX_QUEUE_LENGTH,
    "pattern": QUEUE_PATTERN,
}
KEY: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": values.MAX_KEY_LENGTH,
    "pattern": "^[\\x21-\\x7e]+$",
}
# Servers join two headers by a comma.
KEY_OF_HEADER: Schema = {**KEY, "pattern": "^[\\x21-\\x2b\\x2d-\\x7e]+$"}
NO_NUL = {"pattern": "^[^\\u0000]*$"}
TAGS: Schema = {
    "type": "object",
    "maxProperties": values.MAX_TAGS,
    "propertyNames": {"minLength": 1, "maxLength": values.MAX_TAG_KEY_LENGTH, **NO_NUL},
    "additionalProperties": {"type": "string", "maxLength": values.MAX_TAG_VALUE_LENGTH, **NO_NUL},
}
PRIORITY: Schema = {"type": "integer", "minimum": -values.PRIORITY_BOUND, "maximum": values.PRIORITY_BOUND}


def ref(name: str) -> Schema:
    """Return the reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    """Return the schema of an array."""
    bounds = {"minItems": least} if least else {}
    return {"type": "array", "items": items, **bounds, **({} if most is None else {"maxItems": most})}


def closed(properties: Schema, required: list[str] | None = None, **rest: Any) -> Schema:
    """Return the schema of an object with these members and no others; all are required unless said."""
    required = list(properties) if required is None else required
    members = {"type": "object", "properties": properties, "additionalProperties": False, **rest}
    return {**members, "required": required} if required else members


def described(schema: Schema, text: str) -> Schema:
    """Return the schema with a description."""
    return {**schema, "description": text}
