"""A key of the HTTP API: who holds it, what it may do, and until when."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from django_flare import values
from django_flare.models.fields import ExactCharField
from django_flare.models.querysets import PinnedManager


class Scope(StrEnum):
    """What a key may do; each scope includes those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


SCOPE_LABELS = [
    (Scope.READ.value, _("Read")),
    (Scope.WRITE.value, _("Read and write")),
    (Scope.ADMIN.value, _("Administer")),
]
SCOPES = [scope.value for scope in Scope]
DIGEST_LENGTH = 64


class ApiKey(models.Model):
    """What is kept of a key: never the key itself, only the SHA-256 of its whole text.

    Scopes include each other, so the row holds the highest. `public_id` stays when the secret is
    rotated; until `previous_valid_until` the secret before is accepted too.
    """

    name = ExactCharField(_("name"), max_length=100, unique=True)
    public_id = ExactCharField(_("public id"), max_length=16, unique=True, editable=False)
    digest = ExactCharField(_("SHA-256 of the key"), max_length=DIGEST_LENGTH, editable=False)
    scope = ExactCharField(_("scope"), max_length=8, choices=SCOPE_LABELS)
    created_at = models.DateTimeField(_("created at"), editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    previous_digest = ExactCharField(
        _("SHA-256 of the key before"), max_length=DIGEST_LENGTH, blank=True, editable=False
    )
    previous_valid_until = models.DateTimeField(
        _("key before valid until"), null=True, blank=True, editable=False
    )

    objects = PinnedManager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(name="flare_api_key_name", condition=~Q(name="")),
            models.CheckConstraint(name="flare_api_key_scope", condition=Q(scope__in=SCOPES)),
            models.CheckConstraint(
                name="flare_api_key_expiry",
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("created_at")),
            ),
            models.CheckConstraint(
                name="flare_api_key_previous",
                condition=Q(previous_digest="", previous_valid_until__isnull=True)
                | ~Q(previous_digest="") & Q(previous_valid_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return str(self.name)

    def clean(self) -> None:
        """Refuse a name that could not be read in a list."""
        try:
            values.text(self.name, 100)
        except values.BadValueError as problem:
            raise ValidationError({"name": str(problem)}) from None
        if not self.name.isprintable() or self.name != self.name.strip():
            raise ValidationError({"name": _("control characters and spaces around it are not allowed")})

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """All that the key may do, the included scopes too."""
        return tuple(Scope)[: SCOPES.index(self.scope) + 1]

    def allows(self, scope: str) -> bool:
        """Tell whether the key has `scope`, itself or by a higher one."""
        return scope in self.scopes
