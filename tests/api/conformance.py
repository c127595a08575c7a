"""Hold requests and answers against the OpenAPI document."""

import json
import re
from functools import cache

from jsonschema import Draft202012Validator

from django_flare.api.views.document import read_document

TOLD = {"ETag", "Location", "Idempotent-Replay", "Retry-After", "Allow", "WWW-Authenticate"}
"""Headers that an answer has only where the document says so."""


@cache
def operations():
    """Return (pattern, path item) for each address, those without parameters first."""
    items = sorted(read_document()["paths"].items(), key=lambda item: "{" in item[0])
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), item) for path, item in items]


@cache
def validator(name):
    """Return what checks values against the schema of this name."""
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": read_document()["components"]}
    )


def require_documented(method, path, data, answer):
    """Fail unless the answer is one that the document announces for the operation."""
    item = _item(path)
    operation = item and item.get("get" if method == "HEAD" else method.lower())
    if operation is None:
        _require_no_operation(item, method, answer)
        return
    announced = operation["responses"].get(str(answer.status_code))
    assert announced, f"{method} {path}: {answer.status_code} is not in the document: {answer.content}"
    _require_headers(announced, answer)
    if method != "HEAD" and answer.status_code != 304:
        _require_body(announced, answer)
    # A GET may carry a body, which nobody reads.
    if data and method == "POST" and answer.status_code in (200, 201):
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        _validator_of(schema).validate(json.loads(data))


def _require_no_operation(item, method, answer):
    """Fail unless it is what the document says of methods, or of addresses, that there are not."""
    status, name = (405, "MethodNotAllowed") if item else (404, "UnknownAddress")
    assert answer.status_code == status or answer.status_code in (401, 406, 429, 503), answer.content
    if answer.status_code == status and method != "HEAD":
        announced = read_document()["components"]["responses"][name]
        _require_headers(announced, answer)
        _require_body(announced, answer)


def _item(path):
    address = "/" + path.split("?")[0]
    return next((item for pattern, item in operations() if pattern.fullmatch(address)), None)


def _require_headers(announced, answer):
    for name, header in announced["headers"].items():
        if "$ref" in header:
            header = read_document()["components"]["headers"][name]
        if name in answer.headers:
            Draft202012Validator(header["schema"]).validate(_read(answer.headers[name], header["schema"]))
        else:
            assert not header.get("required"), name
    told = {name for name in answer.headers if name.startswith("X-RateLimit") or name in TOLD}
    assert told <= set(announced["headers"]), told


def _read(text, schema):
    return int(text) if schema.get("type") == "integer" else text


def _require_body(announced, answer):
    content = announced["content"]["application/json"]
    body = answer.json()
    _validator_of(content["schema"]).validate(body)
    if "examples" in content:
        assert body["error"]["code"] in content["examples"]


def _validator_of(schema):
    return validator(schema["$ref"].rsplit("/", 1)[1])
