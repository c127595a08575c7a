"""What all views have in common: all that Django REST framework lets a project choose is set here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, ClassVar

from django.db import connections
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import DEFAULTS, IMPORT_STRINGS, APISettings
from rest_framework.viewsets import ViewSet

from django_flare.api.authentication import KeyAuthentication, NobodyElse, SignedInAuthentication, caller_of
from django_flare.api.csrf import require_csrf_token
from django_flare.api.errors import describe, note, report
from django_flare.api.permissions import MayAct, Need
from django_flare.api.rendering import JsonOnly, JsonRenderer
from django_flare.api.request_ids import HEADER, request_id_of
from django_flare.api.requests import FlareRequest
from django_flare.api.throttling import Allowance, count

# One key has to be given, or the object would read the project's.
_OWN: Any = {"URL_FORMAT_OVERRIDE": None}
_OWN_SETTINGS = APISettings(_OWN, DEFAULTS, IMPORT_STRINGS)
_ALWAYS = {
    "Cache-Control": "no-store",
    "Vary": "Authorization, Cookie",
    "X-Content-Type-Options": "nosniff",
}


class FlareView(ViewSet):
    """Authenticate, count, negotiate, check what the sender may do, then call the action.

    Every answer carries `X-Request-Id`, every error the envelope. Counting comes first after the
    sender is known, so that whatever follows carries the headers of the rate limit.
    """

    settings = _OWN_SETTINGS
    http_method_names = ["get", "head", "post"]
    # Bodies are read by `bodies`, which knows bounds.
    parser_classes = ()
    renderer_classes = (JsonRenderer,)
    content_negotiation_class = JsonOnly
    authentication_classes: Sequence[type[BaseAuthentication]] = (
        KeyAuthentication,
        SignedInAuthentication,
        NobodyElse,
    )
    permission_classes: Sequence[type[BasePermission]] = (MayAct,)
    throttle_classes = ()
    versioning_class = None
    metadata_class = None
    # The document of the API is a file; a project's own schema does not look in here.
    schema = None
    format_kwarg = None

    needs: ClassVar[Mapping[str, Need]] = {}
    parts: frozenset[str] = frozenset()
    allowance: Allowance | None = None
    request_id = ""

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """Return the view, outside ATOMIC_REQUESTS: each verb is a transaction, and errors are answers."""
        view: Any = super().as_view(actions, parts=_parts(cls, actions), **initkwargs)
        view._non_atomic_requests = set(connections)
        return view

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Leave out what a project's own prefix captures of the address."""
        own = {name: value for name, value in kwargs.items() if name in self.parts}
        return super().dispatch(request, **own)

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """Name the request before anything can fail; what wraps it asks no setting of the project."""
        self.request_id = request_id_of(request)
        # Django REST framework has a name for OPTIONS too; here it is one more method that is not allowed.
        self.action: Any = self.action_map.get((request.method or "").lower())
        return FlareRequest(
            request,
            authenticators=self.get_authenticators(),
            negotiator=self.get_content_negotiator(),
            parser_context=self.get_parser_context(request),
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Do what comes before the action."""
        self.perform_authentication(request)
        self.allow(request)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        self.check_permissions(request)
        # An address that lacks the method, or that there is not, refuses it whoever asks.
        if self.action is not None:
            require_csrf_token(request)

    def allow(self, request: Request) -> None:
        """Count the request; raises the 429."""
        self.allowance = count(caller_of(request))
        if self.allowance:
            self.allowance.require()

    def handle_exception(self, exc: Exception) -> Response:
        """Answer with the envelope, whatever was raised."""
        problem = describe(exc)
        if problem is None:
            problem = report(exc, self.request._request, self.request_id)
        else:
            note(exc, problem, self.request_id)
        headers = dict(problem.headers)
        if problem.status == 405:
            headers["Allow"] = ", ".join(self.allowed_methods)
        response = Response(problem.envelope(self.request_id), status=problem.status, headers=headers)
        response.exception = True
        return response

    def finalize_response(self, request: Any, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Add the headers that every answer has."""
        final = super().finalize_response(request, response, *args, **kwargs)
        for name, value in _ALWAYS.items():
            final.headers.setdefault(name, value)
        final.headers["Vary"] = _ALWAYS["Vary"]
        # Only 405 says what is allowed.
        if final.status_code != 405:
            final.headers.pop("Allow", None)
        for name, value in self.allowance.headers().items() if self.allowance else ():
            final.headers[name] = value
        final.headers[HEADER] = self.request_id
        return final


def _parts(view: type[FlareView], actions: Mapping[str, str]) -> frozenset[str]:
    """Return the parts of the address that the actions take."""
    taken = [signature(getattr(view, action)).parameters for action in actions.values()]
    return frozenset().union(*taken) - {"self", "request"}
