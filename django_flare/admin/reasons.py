"""Say in the language of the request why a job is not running: the words for what `jobs.explain` finds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from django_flare.admin.words import moment, state_label
from django_flare.status import Explanation, Reason

_SENTENCES: dict[Reason, Any] = {
    Reason.FINAL: _("The job ended as %(state)s at %(completed_at)s and runs no more."),
    Reason.STOP_REQUESTED: _("The job was asked to stop; the worker %(worker_id)s will end it."),
    Reason.RUNNING: _("The job has been running since %(started_at)s on the worker %(worker_id)s."),
    Reason.WAITING_FOR_PARENTS: _("The job waits for its parents to succeed; still open: %(count)s."),
    Reason.SCHEDULED_UNTIL: _("The job may start at %(run_at)s, not before."),
    Reason.RETRY_AT: _("Attempt %(attempt)s of %(max_attempts)s failed; the next is due at %(run_at)s."),
    Reason.QUEUE_PAUSED: _("The queue %(queue)s has been paused since %(paused_at)s."),
    Reason.NO_WORKER_FOR_QUEUE: _("No live worker serves the queue %(queue)s; live workers: %(workers)s."),
    Reason.NO_WORKER_KNOWS_TYPE: _(
        "None of the %(workers)s live workers on the queue %(queue)s knows the type %(job_type)s; "
        "is one with older code still to be replaced?"
    ),
    Reason.WORKERS_BUSY: _("All %(slots)s slots of the live workers that could run it are taken."),
    Reason.CLAIMABLE: _("Nothing is in the way: live workers that may start it any moment: %(workers)s."),
}
_SUSPECT = _(
    "The job lost its worker before (%(losses)s times) and so runs alone: it waits for one of the "
    "%(workers)s live workers that could run it to have nothing else to do."
)
_CANCELLED = _("The job was cancelled at %(completed_at)s: %(cancelled_by)s did not succeed.")


def sentence(explanation: Explanation) -> str:
    """Return the explanation as one sentence."""
    details = {name: _shown(name, value) for name, value in explanation.details.items()}
    return str(_text(explanation)) % details


def _text(explanation: Explanation) -> Any:
    if "cancelled_by" in explanation.details:
        return _CANCELLED
    return _SUSPECT if "losses" in explanation.details else _SENTENCES[explanation.code]


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    return state_label(value) if name == "state" else value
