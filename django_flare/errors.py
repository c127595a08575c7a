"""One small tree of errors with stable codes; HTTP statuses are the API's business."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")


class FlareError(Exception):
    """Report what went wrong under a stable `code`, with data as attributes.

    `details` is a list of `{"field", "reason", "message"}` objects, or None.
    `status_code` and `request_id` are None unless the error came over HTTP.
    """

    default_code = "internal_error"

    def __init__(
        self,
        message: str,
        code: str | None = None,
        details: list[dict[str, Any]] | None = None,
        *,
        status_code: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details = details
        self.status_code = status_code
        self.request_id = request_id

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive BaseException's own pickling.
        return (_rebuild, (type(self), self.message, self.__dict__))


def _rebuild(kind: type[FlareError], message: str, state: Mapping[str, Any]) -> FlareError:
    error = kind.__new__(kind, message)
    error.__dict__.update(state)
    return error


class FlareNotFoundError(FlareError, LookupError):
    """Report an id that names no job."""

    default_code = "job_not_found"

    # LookupError's str() would quote the message only for KeyError; keep the plain text.


class FlareConflictError(FlareError):
    """Report an idempotency key that another request holds."""

    default_code = "idempotency_key_reuse"


class FlareJobTypeError(FlareError, LookupError):
    """Report a job type that no registered handler has."""

    default_code = "job_type_not_registered"


class FlarePayloadError(FlareError, ValueError):
    """Report a payload that the job's type does not take."""

    default_code = "invalid_payload"


class FlareOptionError(FlareError, ValueError):
    """Report an option with a bad value or kind."""

    default_code = "invalid_option"


class FlareApiError(FlareError):
    """Report any other answer of the HTTP API, or that there was none."""


class FlareAuthenticationError(FlareApiError):
    """Report a key that is missing or wrong (`unauthorized`) or lacks a scope (`forbidden`)."""

    default_code = "unauthorized"


class FlareRateLimitError(FlareApiError):
    """Report that the key's rate is used up until `reset_at`."""

    default_code = "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        code: str | None = None,
        details: list[dict[str, Any]] | None = None,
        *,
        limit: int | None = None,
        remaining: int | None = None,
        reset_at: datetime | None = None,
        status_code: int | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, code, details, status_code=status_code, request_id=request_id)
        self.limit = limit
        self.remaining = remaining
        self.reset_at = reset_at


def option_error(field: str, problem: str, reason: str = "invalid") -> FlareOptionError:
    """Build the error for the option `field`; `problem` names the value's kind and the bound."""
    message = f"{field}: {problem}"
    return FlareOptionError(message, details=[{"field": field, "reason": reason, "message": message}])


def payload_error(path: str, problem: str, reason: str = "invalid") -> FlarePayloadError:
    """Build the error for the place `path` of a payload, as `payload.lines[3]`."""
    message = f"{path}: {problem}"
    return FlarePayloadError(message, details=[{"field": path, "reason": reason, "message": message}])


def at_index(index: int, work: Callable[[], T]) -> T:
    """Return what `work` does; an error of it carries its position among several as `{"index": n}`."""
    try:
        return work()
    except FlareError as error:
        error.details = [*(error.details or []), {"index": index}]
        raise


# What a handler raises to steer its own outcome. They are signals, not failures of ours.


class Retry(Exception):
    """Fail this attempt and run the job again after `delay` (timedelta or seconds).

    Without a delay the job's backoff decides. With its attempts used up the job is dead-lettered.
    """

    def __init__(self, delay: timedelta | float | None = None) -> None:
        super().__init__("the handler asked for a retry")
        self.delay = delay


class Discard(Exception):
    """Send the job to the dead letter now, whatever attempts are left."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or "the handler discarded the job")
        self.reason = reason


class Snooze(Exception):
    """Give the attempt back and run the job again after `delay` (timedelta or seconds)."""

    def __init__(self, delay: timedelta | float) -> None:
        super().__init__("the handler asked to be run later")
        self.delay = delay


# The two below are BaseExceptions, so that `except Exception` in a handler does not swallow them, and
# asyncio's own kind of cancellation, so that libraries which a coroutine awaits tidy up as they must.


class JobCancelled(asyncio.CancelledError):
    """Leave a handler whose job was told to end.

    Raised by `JobContext.raise_if_cancelled()`, and by the worker in a handler that was asked to
    stop and goes on. Not an `Exception`; in a coroutine it counts as asyncio's `CancelledError`.
    """


class JobTimeout(asyncio.CancelledError):
    """Leave a handler that has passed its deadline; raised in it by the worker.

    Not an `Exception`; in a coroutine it counts as asyncio's `CancelledError`.
    """
