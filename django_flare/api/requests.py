"""The request as views see it, which asks the project nothing."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request


class FlareRequest(Request):
    """Wrap a request of Django's."""

    _authenticator: Any
    _user: Any
    _auth: Any

    def _not_authenticated(self) -> None:
        """Say that nobody is known; what Django has found out of the session stays on its own request.

        Django REST framework asks the project's settings who nobody is. By default that is a class of
        `django.contrib.auth`, which a project need not have.
        """
        self._authenticator = None
        self._user = self._auth = None
