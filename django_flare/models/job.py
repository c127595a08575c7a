"""One unit of work: a row with a type, a payload and a state."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from django_flare.models.fields import DocumentField, ExactCharField
from django_flare.models.indexes import PartialIndex, UniqueWhereGiven
from django_flare.models.querysets import ReadOnlyManager, ReadOnlyModel
from django_flare.states import ENDED, FINAL, Event, JobState, sources

STATE_LABELS = [
    (JobState.PENDING.value, _("Pending")),
    (JobState.SCHEDULED.value, _("Scheduled")),
    (JobState.PROCESSING.value, _("Processing")),
    (JobState.SUCCEEDED.value, _("Succeeded")),
    (JobState.FAILED.value, _("Failed")),
    (JobState.CANCELLED.value, _("Cancelled")),
    (JobState.DEAD_LETTER.value, _("Dead letter")),
]

STATES = sorted(state.value for state in JobState)
ENDED_STATES = sorted(state.value for state in ENDED)


class Job(ReadOnlyModel):
    """A job, its options as resolved when it was created, and what became of it.

    The key `id` grows from parent to child, which makes ascending ids the one lock order;
    `public_id`, a time-ordered UUID, is what callers see. Times are the database's, in UTC.
    """

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(_("id"), unique=True)
    state = ExactCharField(_("state"), max_length=16, choices=STATE_LABELS)
    queue = ExactCharField(_("queue"), max_length=100)
    job_type = ExactCharField(_("job type"), max_length=500)
    # The negated priority, so that every column of the claim's order ascends.
    rank = models.SmallIntegerField(_("rank"))
    run_at = models.DateTimeField(_("run at"))

    attempt = models.PositiveIntegerField(_("attempt"))
    max_attempts = models.PositiveIntegerField(_("attempts allowed"))
    losses = models.PositiveSmallIntegerField(_("losses"))
    fence = models.PositiveIntegerField(_("fence"))
    timeout = models.DurationField(_("timeout"))
    backoff = models.JSONField(_("backoff"), null=True)
    # No foreign key: a worker's row goes when it vanishes, the job's memory of it stays.
    worker_id = ExactCharField(_("worker"), max_length=64, blank=True)
    stop_requested = models.BooleanField(_("stop requested"))
    gated = models.BooleanField(_("gated"))

    parent_count = models.PositiveSmallIntegerField(_("parents"))
    # How many parents have not succeeded, as last computed from their states; never decremented.
    open_parents = models.PositiveSmallIntegerField(_("open parents"))
    depth = models.PositiveSmallIntegerField(_("depth in its chain"))
    cancelled_by = models.UUIDField(_("cancelled by"), null=True)

    payload = DocumentField(_("payload"))
    tags = models.JSONField(_("tags"))
    headers = models.JSONField(_("headers"))
    progress = models.FloatField(_("progress"), null=True)
    result = DocumentField(_("result"), null=True)
    result_error = models.TextField(_("result error"), blank=True)
    error_message = models.TextField(_("error message"), blank=True)

    idempotency_scope = ExactCharField(_("idempotency scope"), max_length=100, blank=True)
    idempotency_key = ExactCharField(_("idempotency key"), max_length=200, null=True)
    fingerprint = models.CharField(_("request fingerprint"), max_length=64, blank=True)

    created_at = models.DateTimeField(_("created at"))
    first_started_at = models.DateTimeField(_("first started at"), null=True)
    started_at = models.DateTimeField(_("started at"), null=True)
    completed_at = models.DateTimeField(_("completed at"), null=True)

    objects = ReadOnlyManager()

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        # The verbs that an operator has; changing and deleting rows are none. Jobs are added by the verb
        # alone, over HTTP also by users who are signed in.
        default_permissions = ("view",)
        permissions = (
            ("add_job", _("Can create jobs")),
            ("cancel_job", _("Can cancel jobs")),
            ("retry_job", _("Can retry jobs")),
            ("discard_job", _("Can discard jobs")),
            ("stop_job", _("Can stop jobs")),
        )
        indexes: ClassVar[list[models.Index]] = [
            PartialIndex(
                name="flare_job_claimable",
                fields=["queue", "rank", "run_at", "id"],
                states=[JobState.PENDING],
                equals={"gated": False},
            ),
            PartialIndex(
                name="flare_job_claimable_type",
                fields=["queue", "job_type", "rank", "run_at", "id"],
                states=[JobState.PENDING],
                equals={"gated": False},
            ),
            PartialIndex(
                name="flare_job_due",
                fields=["open_parents", "run_at"],
                states=sorted(sources(Event.DUE)),
            ),
            PartialIndex(name="flare_job_running", fields=["worker_id"], states=[JobState.PROCESSING]),
            PartialIndex(name="flare_job_finished", fields=["completed_at"], states=sorted(FINAL)),
            models.Index(name="flare_job_listing", fields=["created_at", "id"]),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            UniqueWhereGiven(name="flare_job_idempotency", fields=["idempotency_scope", "idempotency_key"]),
            models.CheckConstraint(name="flare_job_state", condition=Q(state__in=STATES)),
            models.CheckConstraint(
                name="flare_job_completed_at",
                condition=Q(state__in=ENDED_STATES, completed_at__isnull=False)
                | Q(completed_at__isnull=True) & ~Q(state__in=ENDED_STATES),
            ),
            models.CheckConstraint(
                name="flare_job_progress", condition=Q(progress__isnull=True) | Q(progress__range=(0, 1))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_type} {self.public_id}"

    @property
    def priority(self) -> int:
        """The priority from −100 to 100; larger runs first."""
        return -self.rank
