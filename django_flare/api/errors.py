"""Translate everything that a view can raise to a problem with a stable code."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig
from django.core.signals import got_request_exception
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpRequest
from django.http.request import UnreadablePostError
from rest_framework import exceptions

from django_flare.api.problems import STATUSES, Details, Problem, ProblemError
from django_flare.errors import FlareError
from django_flare.store.faults import Fault, classify

logger = logging.getLogger("django_flare.api")

_RETRY_AFTER = {Fault.OUTAGE: 5, Fault.CONFLICT: 1}
_RETRY_AFTER_TWIN = 1

# The words of the verbs and those of the create body.
_FIELDS = {
    "timeout": "timeout_seconds",
    "when": "run_at",
    "parents": "parent_job_ids",
    "job": "job_type",
}
_OF_FRAMEWORK: dict[type[Exception], str] = {
    exceptions.NotAuthenticated: "unauthorized",
    exceptions.AuthenticationFailed: "unauthorized",
    exceptions.PermissionDenied: "forbidden",
    DjangoPermissionDenied: "forbidden",
    exceptions.NotFound: "not_found",
    Http404: "not_found",
    exceptions.MethodNotAllowed: "method_not_allowed",
    exceptions.NotAcceptable: "not_acceptable",
    exceptions.UnsupportedMediaType: "unsupported_media_type",
    exceptions.ParseError: "malformed_json",
    UnreadablePostError: "malformed_json",
    RequestDataTooBig: "payload_too_large",
}
_MESSAGES = {
    "unauthorized": "a valid API key is required",
    "forbidden": "not allowed",
    "not_found": "there is nothing at this address",
    "method_not_allowed": "this address does not take the method",
    "not_acceptable": "only application/json can be answered",
    "malformed_json": "the body could not be read",
    "payload_too_large": "the body is too large",
}


def describe(error: Exception) -> Problem | None:
    """Return the problem that `error` means, or None for one that nobody expected."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, FlareError):
        return _of_verb(error)
    if isinstance(error, DatabaseError | InterfaceError) and classify(error) in _RETRY_AFTER:
        return _unavailable(error)
    for kind, code in _OF_FRAMEWORK.items():
        if isinstance(error, kind):
            return Problem(code, _MESSAGES.get(code) or str(getattr(error, "detail", error)))
    return None


def note(error: Exception, problem: Problem, request_id: str) -> None:
    """Log that a request was refused, so that it is found by its id; what it held is in no log."""
    logger.log(
        logging.WARNING if problem.status >= 500 else logging.INFO,
        "Request %s was answered %d %s (%s)",
        *(request_id, problem.status, problem.code, type(error).__name__),
        extra={"request_id": request_id},
    )


def report(error: Exception, request: HttpRequest, request_id: str) -> Problem:
    """Log an error that nobody expected and tell the project of it; return the problem without its text."""
    logger.error("Request %s failed", request_id, exc_info=error, extra={"request_id": request_id})
    got_request_exception.send(sender=report, request=request)
    return Problem("internal_error", "the request failed; the server's log has the details")


def _of_verb(error: FlareError) -> Problem | None:
    code = _code(error)
    if STATUSES.get(code, 500) >= 500:
        return None
    headers = {"Retry-After": str(_RETRY_AFTER_TWIN)} if code == "idempotency_in_progress" else {}
    details = None if error.details is None else [_renamed(detail) for detail in error.details]
    return Problem(code, _renamed_message(error, details), details, headers)


def _code(error: FlareError) -> str:
    """Return the error's code; a payload beyond the limit has one of its own over HTTP."""
    is_large = any(detail.get("reason") == "too_large" for detail in error.details or ())
    return "payload_too_large" if is_large else error.code


def _renamed(detail: dict[str, Any]) -> dict[str, Any]:
    name = detail.get("field")
    if name not in _FIELDS:
        return detail
    told = str(detail.get("message", "")).removeprefix(f"{name}: ")
    return {**detail, "field": _FIELDS[name], "message": f"{_FIELDS[name]}: {told}"}


def _renamed_message(error: FlareError, details: Details | None) -> str:
    first = (error.details or [{}])[0]
    if details and error.message == first.get("message"):
        return str(details[0]["message"])
    return error.message


def _unavailable(error: Exception) -> Problem:
    seconds = _RETRY_AFTER[classify(error)]
    return Problem(
        "unavailable", "the database does not answer; try again", headers={"Retry-After": str(seconds)}
    )
