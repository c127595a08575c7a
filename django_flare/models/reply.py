"""What the HTTP API answered when a job was created under an idempotency key."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_flare.models.job import Job
from django_flare.models.querysets import PinnedManager


class Reply(models.Model):
    """The body of a 201, kept to the byte to be given again; it goes with its job.

    A job changes as it runs, so its first description cannot be made again later.
    """

    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, related_name="reply", verbose_name=_("job")
    )
    body = models.TextField(_("body"))

    objects = PinnedManager()

    class Meta:
        verbose_name = _("reply")
        verbose_name_plural = _("replies")
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.pk)
