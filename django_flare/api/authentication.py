"""Find out who asks: an API key, or somebody who is signed in to the site."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError
from django.views.decorators.debug import sensitive_variables
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from django_flare.api.problems import ProblemError, problem
from django_flare.api.throttling import Caller, count_failure
from django_flare.conf import flare_settings
from django_flare.models import ApiKey
from django_flare.store import api_keys
from django_flare.store.faults import is_passing
from django_flare.store.patience import OutOfPatienceError, patient_transaction

logger = logging.getLogger("django_flare.api")

_PATIENCE = 1
CHALLENGE = 'Bearer realm="django_flare"'
_BEARER = re.compile(r"bearer +([^ ]+)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class KeyHolder:
    """Stand for whoever sends a key; a request's `user`, as Django REST framework wants one."""

    key: ApiKey
    is_authenticated: bool = True
    is_anonymous: bool = False
    is_active: bool = True

    @property
    def caller(self) -> Caller:
        """The name under which requests are counted and idempotency keys kept apart."""
        return Caller("api", str(self.key.public_id))


class KeyAuthentication(BaseAuthentication):
    """Know the holder of the key in `Authorization: Bearer`; nothing else of a request is looked at.

    A header that holds no valid key ends the matter, also for somebody who is signed in.
    """

    @sensitive_variables("header", "form", "text")
    def authenticate(self, request: Request) -> tuple[KeyHolder, ApiKey] | None:
        """Return the key's holder, None when there is no header; raises the one 401 otherwise."""
        header = request.headers.get("authorization")
        if header is None:
            return None
        form = _BEARER.fullmatch(header)
        text = form[1] if form else ""
        key = api_keys.verify(text)
        if key is None:
            raise refusal(request)
        _touch(key)
        return KeyHolder(key), key


class SignedInAuthentication(BaseAuthentication):
    """Know a user who is signed in to the site; `csrf` looks for the token that writing then takes."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        """Return the signed-in user, None when there is none."""
        user = getattr(request._request, "user", None)
        if user is None or not user.is_authenticated or not user.is_active:
            return None
        return user, None


class NobodyElse(BaseAuthentication):
    """Refuse whoever has not been recognised; stands last."""

    def authenticate(self, request: Request) -> None:
        """Raise the 401."""
        raise refusal(request)


def refusal(request: Request) -> ProblemError:
    """Build the one answer to a missing, malformed, unknown, expired or revoked key, and count it."""
    count_failure(request._request)
    return problem("unauthorized", "a valid API key is required", headers={"WWW-Authenticate": CHALLENGE})


def caller_of(request: Request) -> Caller:
    """Return who asks, for counting and for keeping idempotency keys apart."""
    user: Any = request.user
    return user.caller if isinstance(user, KeyHolder) else Caller("user", str(user.pk))


def _touch(key: Any) -> None:
    # At most once a minute. A database that cannot write now still answers what it can read.
    if key.was_used_lately:
        return
    try:
        with patient_transaction(_PATIENCE, flare_settings().database):
            api_keys.touch(key)
    except (DatabaseError, OutOfPatienceError) as error:
        if isinstance(error, DatabaseError) and not is_passing(error):
            raise
        logger.warning("The use of the API key %s could not be noted", key.public_id)
