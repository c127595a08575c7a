"""API keys: made with the key's text shown once, looked at, revoked."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from django_flare.admin.base import ReadOnlyAdmin, may, record
from django_flare.admin.words import badge
from django_flare.conf import flare_settings
from django_flare.models import ApiKey
from django_flare.store import api_keys
from django_flare.store.clock import read_now
from django_flare.store.transactions import in_transaction


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """Ask for what a new key is."""

    class Meta:
        model = ApiKey
        fields = ("name", "scope", "expires_at")

    def clean_expires_at(self) -> Any:
        """Refuse a time that has passed."""
        expires_at = self.cleaned_data["expires_at"]
        if expires_at and expires_at <= read_now(flare_settings().database):
            raise ValidationError(_("Enter a time ahead."))
        return expires_at


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Make, show and revoke keys, by Django's own permissions: revoking takes the one to change."""

    form = ApiKeyForm
    list_display = ("name", "public_id", "scope", "validity", "created_at", "expires_at", "last_used_at")
    list_filter = ("scope",)
    search_fields = ("name", "public_id")
    ordering = ("name",)
    add_fields: ClassVar = ("name", "scope", "expires_at")
    shown_fields: ClassVar = (
        *("name", "public_id", "scope", "validity", "created_at"),
        *("expires_at", "revoked_at", "last_used_at"),
    )
    readonly_fields = ("validity",)
    change_form_template = "admin/django_flare/apikey/change_form.html"

    class Media:
        css = {"all": ["django_flare/dashboard.css"]}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission to add."""
        return may(request, "add_apikey")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Ask for the permission to delete."""
        return may(request, "delete_apikey")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let whoever may revoke keys see them too."""
        return may(request, "view_apikey") or may(request, "change_apikey")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Return the keys with what the database's clock says of them."""
        return api_keys.listed()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Ask for a new key's facts, show all of one that there is."""
        return self.shown_fields if obj else self.add_fields

    def get_urls(self) -> list[URLPattern]:
        """Add the verb."""
        view = self.admin_site.admin_view(self.revoke)
        return [
            path("<path:object_id>/revoke/", view, name="django_flare_apikey_revoke"),
            *super().get_urls(),
        ]

    @admin.display(description=gettext_lazy("state"))
    def validity(self, key: Any) -> SafeString:
        """Return whether the key is accepted, and if not, why."""
        if key.is_valid:
            return badge(_("Valid"), "good")
        return badge(_("Revoked"), "bad") if key.revoked_at else badge(_("Expired"), "old")

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Show the form, or make the key; of two who want one name, the second sees the form again."""
        answer = partial(super().add_view, request, form_url, extra_context)
        if request.method != "POST":
            return answer()
        try:
            return in_transaction(answer, flare_settings().database)
        except ValidationError:
            # What the form had found in order was so no more when the key was made: now it says so.
            return answer()

    @sensitive_variables("new")
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make the key; its text stays with the request, for the one answer."""
        new = api_keys.issue(obj.name, [obj.scope], obj.expires_at)
        obj.pk, obj.public_id = new.key.pk, new.key.public_id
        obj.new_key = new

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        """Show the text of the new key at once: after a redirect it would have to be kept somewhere."""
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("The new API key"),
            "opts": self.opts,
            "media": self.media,
            "key": obj,
            "text": obj.new_key.text,
        }
        response = TemplateResponse(request, "admin/django_flare/apikey/created.html", context)
        response.headers["Cache-Control"] = "no-store"
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the key, with a button if it can be revoked."""
        key: Any = self.get_object(request, unquote(object_id))
        can_revoke = key is not None and key.revoked_at is None and may(request, "change_apikey")
        return super().change_view(
            request, object_id, form_url, {"can_revoke": can_revoke, **(extra_context or {})}
        )

    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask once, then end the key at once."""
        if not may(request, "change_apikey"):
            raise PermissionDenied
        key = self.get_object(request, unquote(object_id))
        if key is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        if request.method == "POST":
            return self._revoke(request, key)
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "title": _("Revoke the key?"),
            "opts": self.opts,
            "media": self.media,
            "key": key,
        }
        return TemplateResponse(request, "admin/django_flare/apikey/revoke.html", context)

    def _revoke(self, request: HttpRequest, key: ApiKey) -> HttpResponse:
        if api_keys.revoke(key.name):
            record(request.user, ApiKey, [(str(key.pk), key.name)], gettext_lazy("Revoked."))
            messages.success(request, _("The key %s is revoked.") % key.name)
        else:
            messages.info(request, _("The key %s was revoked before.") % key.name)
        return HttpResponseRedirect(
            reverse("admin:django_flare_apikey_changelist", current_app=self.admin_site.name)
        )
