"""How many jobs ended in a minute, a quarter or an hour, and how long they waited and ran."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from django_flare import values
from django_flare.models.fields import ExactCharField
from django_flare.models.job import ENDED_STATES, STATE_LABELS
from django_flare.models.querysets import ReadOnlyManager, ReadOnlyModel

BOUNDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)
"""Seconds that part the classes of the histograms: each class ends before its bound, the last has none."""

RAN = tuple(f"ran_{place}" for place in range(len(BOUNDS) + 1))
WAITED = tuple(f"waited_{place}" for place in range(len(BOUNDS) + 1))
OUTCOME_LABELS = [(state, label) for state, label in STATE_LABELS if state in ENDED_STATES]


class Level(IntEnum):
    """Say what a row covers: a part of a minute as it was written, a minute, a quarter, an hour."""

    WRITTEN = 0
    MINUTE = 1
    QUARTER = 2
    HOUR = 3


class Rollup(ReadOnlyModel):
    """The jobs of one queue and type that reached one state, since `start`.

    Inserted in the transaction in which they reached it; never updated, so that nobody waits for
    anybody. Housekeeping puts several into one. Of those that ended a run `run_seconds` and
    `wait_seconds` are sums, `ran_…` and `waited_…` histograms by `BOUNDS`.
    """

    level = models.PositiveSmallIntegerField(_("level"))
    start = models.DateTimeField(_("start"))
    queue = ExactCharField(_("queue"), max_length=values.MAX_QUEUE_LENGTH)
    job_type = ExactCharField(_("job type"), max_length=500)
    outcome = ExactCharField(_("outcome"), max_length=16, choices=OUTCOME_LABELS)
    count = models.IntegerField(_("jobs"))
    run_seconds = models.FloatField(_("seconds run"))
    wait_seconds = models.FloatField(_("seconds waited"))

    objects = ReadOnlyManager()

    class Meta:
        verbose_name = _("rollup")
        verbose_name_plural = _("rollups")
        default_permissions = ()
        indexes: ClassVar[list[models.Index]] = [
            models.Index(name="flare_rollup_start", fields=["level", "start"]),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} {self.queue} {self.job_type} {self.outcome}"


for _name in (*RAN, *WAITED):
    Rollup.add_to_class(_name, models.IntegerField(_("histogram"), default=0, db_default=0))


class Dashboard(Rollup):
    """The rollups as the admin's dashboard, which has its address and its place in the index by this name."""

    class Meta:
        proxy = True
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboard")
        default_permissions = ()
