"""Hold requests and answers against the OpenAPI document."""

import json
import re
from functools import cache

from jsonschema import Draft202012Validator

from django_flare.api.views.document import read_document


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


def _item(path):
    address = "/" + path.split("?")[0]
    return next((item for pattern, item in operations() if pattern.fullmatch(address)), None)


def _require_headers(announced, answer):
    for name in announced.get("headers", {}):
        header = read_document()["components"]["headers"][name]
        assert name in answer.headers or not header.get("required"), name
    told = {name for name in answer.headers if name.startswith("X-RateLimit") or name in ("ETag", "Location")}
    # Nobody who failed to authenticate is told a rate, except when that itself was too often.
    assert told <= set(announced["headers"]) or answer.status_code == 429, told


def _require_body(announced, answer):
    content = announced["content"]["application/json"]
    body = answer.json()
    _validator_of(content["schema"]).validate(body)
    if "examples" in content:
        assert body["error"]["code"] in content["examples"]


def _validator_of(schema):
    return validator(schema["$ref"].rsplit("/", 1)[1])
