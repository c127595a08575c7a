"""The link from a parent to the child that waits for it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_flare.models.job import Job
from django_flare.models.querysets import ReadOnlyManager, ReadOnlyModel


class Continuation(ReadOnlyModel):
    """Make `child` wait for `parent`; `position` keeps the order in which the parents were given."""

    parent = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="child_links", verbose_name=_("parent"), db_index=False
    )
    child = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="parent_links", verbose_name=_("child")
    )
    position = models.PositiveSmallIntegerField(_("position"))

    objects = ReadOnlyManager()

    class Meta:
        verbose_name = _("continuation")
        verbose_name_plural = _("continuations")
        default_permissions = ("view",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # Also the index by which a finished parent finds its children.
            models.UniqueConstraint(name="flare_continuation_link", fields=["parent", "child"]),
        ]

    def __str__(self) -> str:
        return f"{self.parent_id} → {self.child_id}"
