"""What an operator has said of a queue. Queues need no row: most never get one."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_flare import values
from django_flare.models.fields import ExactCharField
from django_flare.models.querysets import PinnedManager


class Queue(models.Model):
    """A queue that has been paused once; `paused_at` is empty while its jobs may start.

    Written by `jobs.pause_queue` and `jobs.resume_queue`. Enqueuing writes no row here, or callers
    would wait for each other's commit.
    """

    name = ExactCharField(_("name"), max_length=values.MAX_QUEUE_LENGTH, primary_key=True)
    paused_at = models.DateTimeField(_("paused at"), null=True, blank=True)

    objects = PinnedManager()

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        default_permissions = ("view",)
        permissions = (("pause_queue", _("Can pause and resume queues")),)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(name="flare_queue_name", condition=~Q(name="")),
        ]

    def __str__(self) -> str:
        return str(self.name)

    def clean(self) -> None:
        """Refuse a name that no job could have."""
        try:
            values.queue_name(self.name)
        except values.BadValueError as problem:
            raise ValidationError({"name": str(problem)}) from None

    @property
    def is_paused(self) -> bool:
        """Whether nothing of this queue starts."""
        return self.paused_at is not None
