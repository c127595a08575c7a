"""The record of a run that failed, timed out or was lost."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_flare.models.fields import ExactCharField
from django_flare.models.job import Job
from django_flare.models.querysets import ReadOnlyManager, ReadOnlyModel
from django_flare.states import AttemptOutcome

OUTCOME_LABELS = [
    (AttemptOutcome.FAILED.value, _("Failed")),
    (AttemptOutcome.TIMED_OUT.value, _("Timed out")),
    (AttemptOutcome.LOST.value, _("Lost")),
]


class Attempt(ReadOnlyModel):
    """One run that did not succeed; the newest 20 of a job are kept."""

    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="attempts", verbose_name=_("job"), db_index=False
    )
    number = models.PositiveIntegerField(_("number"))
    fence = models.PositiveIntegerField(_("fence"))
    worker_id = ExactCharField(_("worker"), max_length=64, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True)
    ended_at = models.DateTimeField(_("ended at"))
    outcome = ExactCharField(_("outcome"), max_length=16, choices=OUTCOME_LABELS)
    error_class = models.CharField(_("error class"), max_length=255, blank=True)
    error_message = models.TextField(_("error message"), blank=True)
    traceback = models.TextField(_("traceback"), blank=True)

    objects = ReadOnlyManager()

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        default_permissions = ("view",)
        ordering = ("-fence",)
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # Also the index of the foreign key.
            models.UniqueConstraint(name="flare_attempt_job_fence", fields=["job", "fence"]),
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.outcome}"
