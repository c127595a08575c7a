"""A worker process that is alive, or was when it last beat."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_flare.models.fields import ExactCharField


class Worker(models.Model):
    """One start of a worker process, proved alive by `last_beat_at`; deleted when it ends or vanishes."""

    id = ExactCharField(_("id"), max_length=64, primary_key=True)
    hostname = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process id"))
    version = models.CharField(_("version"), max_length=32)
    # Empty means all queues.
    queues = models.JSONField(_("queues"))
    job_types = models.JSONField(_("job types"))
    slots = models.PositiveIntegerField(_("slots"))
    running = models.PositiveIntegerField(_("running"))
    started_at = models.DateTimeField(_("started at"))
    last_beat_at = models.DateTimeField(_("last beat at"))

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.id)
