"""What all pages of the admin share: rows that are only read, permissions, history."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from django.utils.translation import override

APP = "django_flare"


def may(request: HttpRequest, permission: str) -> bool:
    """Tell whether the request's user has a permission of ours, such as `cancel_job`."""
    user: Any = request.user
    return bool(user.is_active and user.has_perm(f"{APP}.{permission}"))


def record(user: Any, model: type[Model], objects: Iterable[tuple[str, str]], message: Any) -> None:
    """Write into the admin's history what `user` did to `objects`, each an id and a name.

    In English: one history is read by many, and an action on all that match is written down by a worker.
    """
    with override(None):
        text = str(message)
    content_type = ContentType.objects.get_for_model(model, for_concrete_model=False)
    LogEntry.objects.bulk_create(
        LogEntry(
            user_id=user.pk,
            content_type_id=content_type.pk,
            object_id=object_id,
            object_repr=name[:200],
            action_flag=CHANGE,
            change_message=text,
        )
        for object_id, name in objects
    )


def answer_if_new(request: HttpRequest, text: str) -> HttpResponse:
    """Return a part of a page, or 304 to whoever has the same."""
    body = text.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    response = HttpResponse(body, headers={"ETag": etag})
    return get_conditional_response(request, etag=etag, response=response) or response


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Show rows and let nobody add, change or delete them; verbs have permissions of their own.

    Nothing counts a whole table, neither for a list nor for its filters.
    """

    list_per_page = 100
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["django_flare/admin.css"]}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission to view alone; there is none to change."""
        return may(request, f"view_{self.opts.model_name}")
