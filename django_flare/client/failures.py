"""Translate answers that are no success to the errors that the verbs raise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django_flare.client.replies import Reply
from django_flare.errors import (
    FlareApiError,
    FlareAuthenticationError,
    FlareConflictError,
    FlareError,
    FlareJobTypeError,
    FlareNotFoundError,
    FlareOptionError,
    FlarePayloadError,
    FlareRateLimitError,
)

KINDS: Mapping[str, type[FlareError]] = {
    "job_not_found": FlareNotFoundError,
    "idempotency_key_reuse": FlareConflictError,
    "idempotency_in_progress": FlareConflictError,
    "job_type_not_registered": FlareJobTypeError,
    "invalid_payload": FlarePayloadError,
    "payload_too_large": FlarePayloadError,
    "invalid_option": FlareOptionError,
    "unauthorized": FlareAuthenticationError,
    "forbidden": FlareAuthenticationError,
    "rate_limit_exceeded": FlareRateLimitError,
}
"""The class of each code that has one; that of any other is FlareApiError."""


def failure_of(reply: Reply) -> FlareError:
    """Return the error that an answer other than a success means, or that there was no answer."""
    if reply.failure is not None:
        return _unanswered(reply, reply.failure)
    refusal = reply.refusal()
    if refusal is None:
        return unexpected(reply, _seen(reply))
    kind = KINDS.get(refusal.code, FlareApiError)
    rate = _rate(reply) if kind is FlareRateLimitError else {}
    return kind(
        refusal.message,
        refusal.code,
        refusal.details,
        status_code=reply.status,
        request_id=refusal.request_id or reply.headers.get("x-request-id"),
        **rate,
    )


def unexpected(reply: Reply, problem: str) -> FlareApiError:
    """Build the error for an answer that is not one of the API's."""
    return FlareApiError(
        f"{reply.request}: {problem}",
        code="unexpected_answer",
        status_code=reply.status,
        request_id=reply.headers.get("x-request-id"),
    )


def _unanswered(reply: Reply, cause: Exception) -> FlareApiError:
    told = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    error = FlareApiError(f"{reply.request}: no answer ({told})", code="connection_error")
    error.__cause__ = cause
    return error


def _seen(reply: Reply) -> str:
    if 300 <= reply.status < 400:
        target = reply.headers.get("location", "")[:200]
        return f"{reply.status}, a redirect to {target!a}; none is followed, correct base_url"
    media_type = reply.headers.get("content-type", "no type")[:100]
    return f"{reply.status} with {media_type!a}, not an answer of the API; is base_url right?"


def _rate(reply: Reply) -> dict[str, Any]:
    reset = _whole(reply, "x-ratelimit-reset")
    return {
        "limit": _whole(reply, "x-ratelimit-limit"),
        "remaining": _whole(reply, "x-ratelimit-remaining"),
        "reset_at": None if reset is None else _instant(reset),
    }


def _whole(reply: Reply, name: str) -> int | None:
    text = reply.headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _instant(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
