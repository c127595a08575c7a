"""Tables of what goes over HTTP, made from the API's document so that they cannot differ.

Without Sphinx, for the tests.
"""

from typing import Any

from django_flare.api.views.document import read_document

Schema = dict[str, Any]

HEADING = ("field", "is", "says")
_KINDS = {"boolean": "bool", "string": "text"}
_FORMATS = {"date-time": "time", "uuid": "job id"}
_MOST_WORDS = 12


def schemas() -> dict[str, Schema]:
    """Return the schemas of the document by their names."""
    found: dict[str, Schema] = read_document()["components"]["schemas"]
    return found


def rows(name: str) -> list[tuple[str, str, str]]:
    """Return (field, what it is, what it says) for each field of a schema, and of the objects within."""
    return _rows(schemas()[name], "")


def table(name: str) -> str:
    """Return the rows as reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for first, *others in (HEADING, *rows(name)):
        lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return "\n".join(lines)


def _rows(schema: Schema, prefix: str) -> list[tuple[str, str, str]]:
    found = []
    for name, field in schema["properties"].items():
        path = f"{prefix}{name}"
        found.append((f"``{path}``", _kind(field) + _presence(schema, name), field["description"]))
        if "items" in field and "properties" in field["items"]:
            found += _rows(field["items"], f"{path}[].")
        elif "properties" in field and not _is_uniform(field):
            found += _rows(field, f"{path}.")
    return found


def _presence(schema: Schema, name: str) -> str:
    """Say what must be there where not all has to be: in bodies, and in errors."""
    required = schema.get("required", [])
    return "; required" if name in required and len(required) < len(schema["properties"]) else ""


def _kind(field: Schema) -> str:
    if "$ref" in field:
        return f"``{field['$ref'].rsplit('/', 1)[1]}``"
    if "const" in field:
        return f"``{_json(field['const'])}``"
    if "enum" in field and len(field["enum"]) <= _MOST_WORDS:
        return _listed(field["enum"])
    if field.get("type") == "array":
        bounds = _between(field.get("minItems"), field.get("maxItems"))
        return f"array of {bounds} {_kind(field['items'])}".replace("  ", " ")
    if "properties" in field and _is_uniform(field):
        return (
            f"{_kind(next(iter(field['properties'].values())))} under each of {_listed(field['properties'])}"
        )
    if isinstance(field.get("additionalProperties"), dict):
        return _map(field)
    return _plain(field)


def _is_uniform(schema: Schema) -> bool:
    """Tell whether all members are alike, as counts by state are: they need no rows of their own."""
    return all("$ref" in each for each in schema["properties"].values())


def _map(field: Schema) -> str:
    names, values = field["propertyNames"], field["additionalProperties"]
    return (
        f"object of {_between(None, field['maxProperties'])} texts of {_length(values)} "
        f"under names of {_length(names)}"
    )


def _plain(field: Schema) -> str:
    kinds = field.get("type", "any JSON value")
    kind, *others = [kinds] if isinstance(kinds, str) else kinds
    words = [_FORMATS.get(field.get("format", ""), _KINDS.get(kind, kind))]
    if "maxLength" in field:
        words.append(f"of {_length(field)}")
    if "minimum" in field:
        words.append(_between(field["minimum"], field.get("maximum")))
    if others:
        words.append("or null")
    if "default" in field:
        words.append(f"(``{_json(field['default'])}`` unless given)")
    return " ".join(words)


def _length(field: Schema) -> str:
    return f"{_between(field.get('minLength'), field['maxLength'])} characters"


def _between(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f"at most {_number(most)}"
    return f"from {_number(least)}" if most is None else f"{_number(least)} to {_number(most)}"


def _number(value: float) -> str:
    return f"{value:,.0f}".replace("-", "−")


def _listed(words: Any) -> str:
    return ", ".join(f"``{word}``" for word in words)


def _json(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
