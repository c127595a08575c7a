"""What has happened to a job, in order, as far as its row and its attempts tell."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.utils.translation import gettext_lazy as _

from django_flare.admin.words import badge, coarse, moment, span, state_badge
from django_flare.models import Attempt
from django_flare.states import ENDED, JobState

_BROUGHT_ABOUT = (JobState.FAILED, JobState.DEAD_LETTER)
"""The states that the end of an attempt leads to."""

# The two are written by statements of one transaction.
_AT_ONCE = timedelta(seconds=1)


@dataclass(frozen=True)
class Step:
    """Something that happened at a time; `lasted` is how long it went on."""

    time: datetime
    badge: Any
    text: Any
    lasted: str = ""

    @property
    def at(self) -> str:
        """The time in words."""
        return moment(self.time)


def timeline(job: Any, attempts: Sequence[Attempt], now: datetime) -> list[Step]:
    """Return the steps of a job, the oldest first, each with how long it was until the next.

    How long the last one goes on is coarse, so that a page which follows the job can be told "not modified".
    """
    steps = sorted(_steps(job, attempts), key=lambda step: step.time)
    lasting = [
        Step(step.time, step.badge, step.text, span((following.time - step.time).total_seconds()))
        for step, following in pairwise(steps)
    ]
    if steps and job.state in ENDED:
        return [*lasting, steps[-1]]
    return lasting + [
        Step(step.time, step.badge, step.text, coarse((now - step.time).total_seconds()))
        for step in steps[-1:]
    ]


def _steps(job: Any, attempts: Collection[Attempt]) -> Iterator[Step]:
    if job.created_at is not None:
        first = _first_state(job)
        yield Step(job.created_at, "" if first is None else state_badge(first), _("created"))
    yield from _earlier(job, attempts)
    for attempt in attempts:
        number = {"number": attempt.number}
        if attempt.started_at is not None:
            yield Step(
                attempt.started_at,
                state_badge(JobState.PROCESSING),
                str(_("attempt %(number)d started")) % number,
            )
        if not _is_end(job, attempt):
            # Its own outcome is the last step.
            label = str(attempt.get_outcome_display())
            yield Step(
                attempt.ended_at,
                badge(label, JobState.FAILED.value),
                str(_("attempt %(number)d ended")) % number,
            )
    if job.started_at is not None and all(attempt.fence != job.fence for attempt in attempts):
        yield Step(
            job.started_at,
            state_badge(JobState.PROCESSING),
            str(_("attempt %(number)d started")) % {"number": job.attempt},
        )
    if job.completed_at is not None:
        yield Step(job.completed_at, state_badge(job.state), _("ended"))


def _earlier(job: Any, attempts: Collection[Attempt]) -> Iterator[Step]:
    """Mark that there were runs before the first one that is known: put back, or too long ago to be kept."""
    starts = [each.started_at for each in attempts if each.started_at is not None]
    if job.started_at is not None:
        starts.append(job.started_at)
    first = job.first_started_at
    if first is not None and all(first < start for start in starts):
        yield Step(first, "", _("started for the first time; earlier attempts are not shown"))


def _first_state(job: Any) -> JobState | None:
    """Return the state in which the job was created; None if what happened later has hidden it.

    Until a run has ended otherwise than well, `run_at` tells it: it is later than the creation if the job
    had to wait for its time or its parents.
    """
    if job.fence is None or job.run_at is None or job.created_at is None:
        return None
    if job.fence > 1 or (job.fence and job.state not in (JobState.PROCESSING, JobState.SUCCEEDED)):
        return None
    if job.state == JobState.SCHEDULED or job.run_at > job.created_at:
        return JobState.SCHEDULED
    # With a parent dead already it was created as cancelled; otherwise it waited, or might have run.
    return None if job.parent_count and job.state == JobState.CANCELLED else JobState.PENDING


def _is_end(job: Any, attempt: Attempt) -> bool:
    """Tell whether the attempt's end is the job's: a discard or a cancel comes later."""
    if job.state not in _BROUGHT_ABOUT or job.completed_at is None or attempt.fence != job.fence:
        return False
    return bool(abs(job.completed_at - attempt.ended_at) < _AT_ONCE)
