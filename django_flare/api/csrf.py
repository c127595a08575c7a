"""Ask those who are signed in to the site for its CSRF token: a browser sends their cookie unasked."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from rest_framework.authentication import CSRFCheck
from rest_framework.request import Request

from django_flare.api.authentication import SignedInAuthentication
from django_flare.api.problems import problem

_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


def require_csrf_token(request: Request) -> None:
    """Raise the 403 if a session vouches for a request that writes, and its header has no valid token.

    Raises the 415 for a form.
    """
    if isinstance(request.successful_authenticator, SignedInAuthentication):
        _require(request._request)


def _require(request: HttpRequest) -> None:
    # Django looks for the token in a posted form, too. Forms are not taken here, so none is parsed for it.
    if request.method == "POST" and request.content_type in _FORM_TYPES:
        raise problem("unsupported_media_type", "a body must be application/json")
    check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]
    check.process_request(request)
    reason = check.process_view(request, None, (), {})  # type: ignore[arg-type]
    if reason:
        raise problem("forbidden", f"CSRF check failed: {reason}; send the token in {_header()}")


def _header() -> str:
    return str(settings.CSRF_HEADER_NAME).removeprefix("HTTP_").replace("_", "-").title()
