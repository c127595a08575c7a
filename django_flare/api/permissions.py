"""Say what each action takes: a key's scope, or a signed-in user's model permission."""

from __future__ import annotations

from typing import Any, NamedTuple

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from django_flare.api.authentication import KeyHolder
from django_flare.api.problems import problem
from django_flare.models.api_key import Scope


class Need(NamedTuple):
    """Name what an action takes of a key and what of a user."""

    scope: Scope
    permission: str


class MayAct(BasePermission):
    """Let a request through whose sender has what the view's `needs` say of the action.

    A method that the address does not have is let through, to be refused as such.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        """Return True, or raise the 403 that names what lacks."""
        need = view.needs.get(view.action)
        if need is None:
            # An action that nobody placed is closed to all.
            return view.action is None
        user: Any = request.user
        if isinstance(user, KeyHolder):
            if not user.key.allows(need.scope):
                raise problem("forbidden", f"the key lacks the scope {need.scope.value}")
        elif not user.has_perm(f"django_flare.{need.permission}"):
            raise problem("forbidden", f"you lack the permission django_flare.{need.permission}")
        return True


def may_see_tracebacks(request: Request) -> bool:
    """Tell whether the sender, who may read attempts, may also see source lines: no key below `admin`."""
    user: Any = request.user
    return not isinstance(user, KeyHolder) or user.key.allows(Scope.ADMIN)
