"""The headers of answers."""

from __future__ import annotations

from django_flare.api.authentication import CHALLENGE
from django_flare.api.documentation.parts import ID, TEXT, WHOLE, Schema
from django_flare.api.documentation.refusals import REQUEST_ID
from django_flare.api.request_ids import MAX_LENGTH

LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
HEADERS: dict[str, Schema] = {
    "X-Request-Id": {
        "description": "The request's own X-Request-Id, or a new one.",
        "schema": {**TEXT, "maxLength": MAX_LENGTH},
        "required": True,
        "example": REQUEST_ID,
    },
    "X-RateLimit-Limit": {
        "description": "Requests in a window; absent without a limit.",
        "schema": WHOLE,
        "example": 1000,
    },
    "X-RateLimit-Remaining": {
        "description": "Requests left in this window.",
        "schema": WHOLE,
        "example": 998,
    },
    "X-RateLimit-Reset": {
        "description": "Its end, in seconds since 1970.",
        "schema": WHOLE,
        "example": 1893556800,
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": WHOLE, "required": True, "example": 5},
    "Location": {
        "description": "The absolute path of the job.",
        "schema": TEXT,
        "required": True,
        "example": f"/flare/v1/jobs/{ID}",
    },
    "Idempotent-Replay": {
        "description": "Given when the key had made the job before.",
        "schema": {"const": "true"},
        "example": "true",
    },
    "ETag": {
        "description": "Changes when the job does.",
        "schema": TEXT,
        "required": True,
        "example": '"5c0d1f7b9a3e42d08d6c1b7f2e9a4c31"',
    },
    "WWW-Authenticate": {
        "description": "How to authenticate.",
        "schema": {"const": CHALLENGE},
        "required": True,
        "example": CHALLENGE,
    },
    "Allow": {
        "description": "The methods that the address takes.",
        "schema": TEXT,
        "required": True,
        "example": "GET, HEAD, POST",
    },
}
OF_CODES = {
    "unauthorized": ("WWW-Authenticate",),
    "rate_limit_exceeded": ("Retry-After",),
    "unavailable": ("Retry-After",),
    "idempotency_in_progress": ("Retry-After",),
    "method_not_allowed": ("Allow",),
}
"""The headers that go with an error, by its code."""


def of_success(names: tuple[str, ...], *, is_counted: bool) -> Schema:
    """Return the headers of an answer that is no error."""
    return {name: _ref(name) for name in (*_always(is_counted), *names)}


def of_error(codes: list[str], *, is_counted: bool) -> Schema:
    """Return the headers of an answer with any of `codes`; those that some only have are not required."""
    # Who has not been recognised is not counted.
    found = {name: _ref(name) for name in _always(is_counted and "unauthorized" not in codes)}
    for name in dict.fromkeys(name for code in codes for name in OF_CODES.get(code, ())):
        having = [code for code in codes if name in OF_CODES.get(code, ())]
        found[name] = _ref(name) if having == codes else _partial(name, having)
    return found


def _always(is_counted: bool) -> tuple[str, ...]:
    return ("X-Request-Id", *(LIMITS if is_counted else ()))


def _partial(name: str, codes: list[str]) -> Schema:
    text = f"{HEADERS[name]['description']} With {', '.join(codes)} alone."
    return {**HEADERS[name], "description": text, "required": False}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/headers/{name}"}
