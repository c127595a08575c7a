"""What the API answers when it cannot do what was asked: a code, a status and the envelope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rest_framework.exceptions import APIException

STATUSES: dict[str, int] = {
    "malformed_json": 400,
    "invalid_request": 400,
    "job_type_not_registered": 400,
    "invalid_payload": 400,
    "invalid_option": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "job_not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "invalid_state": 409,
    "idempotency_key_reuse": 409,
    "idempotency_in_progress": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limit_exceeded": 429,
    "internal_error": 500,
    "unavailable": 503,
}
"""Every code of the API with its status."""

Details = list[dict[str, Any]]


@dataclass(frozen=True)
class Problem:
    """Hold an error as it goes over the wire."""

    code: str
    message: str
    details: Details | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status that belongs to the code."""
        return STATUSES[self.code]

    def envelope(self, request_id: str) -> dict[str, Any]:
        """Return the body of the answer."""
        error: dict[str, Any] = {"code": self.code, "message": self.message, "request_id": request_id}
        if self.details:
            error["details"] = self.details
        return {"error": error}


class ProblemError(APIException):
    """Leave a view with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message, problem.code)
        self.problem = problem
        self.status_code = problem.status


def problem(
    code: str, message: str, details: Details | None = None, headers: Mapping[str, str] | None = None
) -> ProblemError:
    """Build the error to raise for `code`."""
    return ProblemError(Problem(code, message, details, headers or {}))


def refused(field: str, text: str, reason: str = "invalid", code: str = "invalid_request") -> ProblemError:
    """Build the error for the part `field` of a request; `text` names the value's kind and the bound."""
    message = f"{field}: {text}"
    return problem(code, message, [{"field": field, "reason": reason, "message": message}])
