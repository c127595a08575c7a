"""Background jobs in the database that a Django project already has."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from django_flare import jobs as jobs
    from django_flare.arguments import JobOptions as JobOptions
    from django_flare.context import JobContext as JobContext
    from django_flare.definitions import Backoff as Backoff
    from django_flare.definitions import job as job
    from django_flare.errors import Discard as Discard
    from django_flare.errors import FlareApiError as FlareApiError
    from django_flare.errors import FlareAuthenticationError as FlareAuthenticationError
    from django_flare.errors import FlareConflictError as FlareConflictError
    from django_flare.errors import FlareError as FlareError
    from django_flare.errors import FlareJobTypeError as FlareJobTypeError
    from django_flare.errors import FlareNotFoundError as FlareNotFoundError
    from django_flare.errors import FlareOptionError as FlareOptionError
    from django_flare.errors import FlarePayloadError as FlarePayloadError
    from django_flare.errors import FlareRateLimitError as FlareRateLimitError
    from django_flare.errors import JobCancelled as JobCancelled
    from django_flare.errors import JobTimeout as JobTimeout
    from django_flare.errors import Retry as Retry
    from django_flare.errors import Snooze as Snooze
    from django_flare.states import JobState as JobState
    from django_flare.status import JobPage as JobPage
    from django_flare.status import JobStatus as JobStatus

# Imported on first use: a Django app's package must be importable before the apps are ready,
# and the HTTP client without Django configured at all.
_HOMES = {
    "JobOptions": "arguments",
    "JobContext": "context",
    "Backoff": "definitions",
    "job": "definitions",
    "Discard": "errors",
    "FlareApiError": "errors",
    "FlareAuthenticationError": "errors",
    "FlareConflictError": "errors",
    "FlareError": "errors",
    "FlareJobTypeError": "errors",
    "FlareNotFoundError": "errors",
    "FlareOptionError": "errors",
    "FlarePayloadError": "errors",
    "FlareRateLimitError": "errors",
    "JobCancelled": "errors",
    "JobTimeout": "errors",
    "Retry": "errors",
    "Snooze": "errors",
    "JobState": "states",
    "JobPage": "status",
    "JobStatus": "status",
}

__all__ = ["__version__", "jobs", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "jobs":
        return import_module("django_flare.jobs")
    if name not in _HOMES:
        raise AttributeError(f"module 'django_flare' has no attribute {name!r}")
    return getattr(import_module(f"django_flare.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
