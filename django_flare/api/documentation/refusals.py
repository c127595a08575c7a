"""An example of the error of each code."""

from __future__ import annotations

from django_flare.api.documentation.parts import ID, Schema
from django_flare.api.problems import Details, Problem
from django_flare.states import JobState

REQUEST_ID = "7b0c9d1c86c34a3f9a7d3f6c2f7d5a10"


def _detail(field: str, reason: str, message: str) -> tuple[str, Details]:
    return message, [{"field": field, "reason": reason, "message": message}]


_SAID: dict[str, tuple[str, Details | None]] = {
    "malformed_json": ("the body is empty, expected a JSON object", None),
    "invalid_request": _detail("colour", "unknown_field", "colour: there is no such field"),
    "job_type_not_registered": ("no handler is registered for the job type 'mail.welcom'", None),
    "invalid_payload": _detail("payload.user_id", "kind", "payload.user_id: Expected `int`, got `str`"),
    "invalid_option": _detail("queue", "invalid", "queue: 140 characters, at most 100"),
    "unauthorized": ("a valid API key is required", None),
    "forbidden": ("the key lacks the scope write", None),
    "not_found": ("there is nothing at this address", None),
    "job_not_found": (f"job_id: no job {ID}", None),
    "method_not_allowed": ("this address does not take the method", None),
    "not_acceptable": ("only application/json can be answered", None),
    "invalid_state": _detail("state", JobState.SUCCEEDED.value, "cannot cancel a job that is succeeded"),
    "idempotency_key_reuse": ("idempotency_key: used for another request", None),
    "idempotency_in_progress": (
        "idempotency_key: another request has been at work for 5 s; ask again",
        None,
    ),
    "payload_too_large": ("the body is larger than 1114112 bytes", None),
    "unsupported_media_type": ("a body must be application/json in UTF-8", None),
    "rate_limit_exceeded": ("more than 1000 requests; the next window begins in 1200 s", None),
    "internal_error": ("the request failed; the server's log has the details", None),
    "unavailable": ("the database does not answer; try again", None),
}


def example_of(code: str) -> Schema:
    """Return the body of an error with this code."""
    message, details = _SAID[code]
    return Problem(code, message, details).envelope(REQUEST_ID)
