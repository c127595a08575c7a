"""Say why a job is not running."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Q

from django_flare.arguments import job_id_of, no_job
from django_flare.conf import flare_settings
from django_flare.lifecycle.eligibility import is_busy, is_idle, is_suspect, knows, serves
from django_flare.models import Continuation, Job, Worker
from django_flare.states import FINAL, JobState
from django_flare.status import Explanation, Reason
from django_flare.store import queues, workers
from django_flare.store.clock import DatabaseNow

MOST_PARENTS = 10
MOST_WORKERS = 1_000
"""How many workers are asked for; beyond, those that have beaten last."""


def explain(job_id: str | UUID) -> Explanation:
    """Say why the job is not running: the first reason that holds, in the order of `Reason`.

    It describes one moment, in at most three statements, each of bounded size, and changes nothing.
    A job that is due counts as pending, as a worker will make it so within moments.
    Raises FlareNotFoundError for an unknown id.
    """
    job = _find(job_id)
    return _of_state(job) or _of_workers(job)


def _find(job_id: str | UUID) -> Any:
    public_id = job_id_of(job_id)
    is_due = ExpressionWrapper(Q(run_at__lte=DatabaseNow()), output_field=BooleanField())
    rows = Job.objects.annotate(is_due=is_due).defer("payload", "result")
    found = None if public_id is None else rows.filter(public_id=public_id).first()
    if found is None:
        raise no_job(job_id)
    return found


def _of_state(job: Any) -> Explanation | None:
    if job.state in FINAL:
        return _final(job)
    if job.state == JobState.PROCESSING:
        return _running(job)
    waiting = _waiting(job) if job.state == JobState.SCHEDULED and job.parent_count else None
    if waiting or job.is_due or job.state not in (JobState.SCHEDULED, JobState.FAILED):
        return waiting
    return _not_due(job)


def _final(job: Job) -> Explanation:
    message = f"The job ended as {JobState(job.state).value} at {_at(job.completed_at)} and runs no more."
    details = {"state": job.state, "completed_at": job.completed_at}
    if job.cancelled_by is not None:
        message = f"The job was cancelled at {_at(job.completed_at)}: {job.cancelled_by} did not succeed."
        details["cancelled_by"] = str(job.cancelled_by)
    return Explanation(Reason.FINAL, message, details)


def _running(job: Job) -> Explanation:
    details = {"worker_id": job.worker_id, "started_at": job.started_at, "attempt": job.attempt}
    if job.stop_requested:
        message = f"The job was asked to stop; the worker {job.worker_id} will end it."
        return Explanation(Reason.STOP_REQUESTED, message, details)
    message = f"The job has been running since {_at(job.started_at)} on the worker {job.worker_id}."
    return Explanation(Reason.RUNNING, message, details)


def _waiting(job: Job) -> Explanation | None:
    links = Continuation.objects.filter(child_id=job.pk).exclude(parent__state=JobState.SUCCEEDED)
    # A job has at most 100 parents.
    ids = [str(each) for each in links.order_by("position").values_list("parent__public_id", flat=True)]
    if not ids:
        return None
    message = f"The job waits for {_counted(len(ids), 'parent')} to succeed: {_listed(ids)}."
    details = {"parent_job_ids": ids[:MOST_PARENTS], "count": len(ids)}
    return Explanation(Reason.WAITING_FOR_PARENTS, message, details)


def _not_due(job: Job) -> Explanation:
    if job.state == JobState.FAILED:
        message = f"Attempt {job.attempt} of {job.max_attempts} failed; the next is due at {_at(job.run_at)}."
        details = {"run_at": job.run_at, "attempt": job.attempt, "max_attempts": job.max_attempts}
        return Explanation(Reason.RETRY_AT, message, details)
    message = f"The job may start at {_at(job.run_at)}, not before."
    return Explanation(Reason.SCHEDULED_UNTIL, message, {"run_at": job.run_at})


def _of_workers(job: Job) -> Explanation:
    using = flare_settings().database
    if paused := queues.paused(using).filter(name=job.queue).first():
        message = f"The queue {job.queue} has been paused since {_at(paused.paused_at)}."
        return Explanation(Reason.QUEUE_PAUSED, message, {"queue": job.queue, "paused_at": paused.paused_at})
    alive = list(workers.live(flare_settings().lease, using).order_by("-last_beat_at")[:MOST_WORKERS])
    serving = [worker for worker in alive if serves(worker, job.queue)]
    if not serving:
        message = f"None of {_counted(len(alive), 'live worker')} serves the queue {job.queue}."
        return Explanation(Reason.NO_WORKER_FOR_QUEUE, message, {"queue": job.queue, "workers": len(alive)})
    return _of_fitting(job, serving, [worker for worker in serving if knows(worker, job.job_type)])


def _of_fitting(job: Job, serving: Sequence[Worker], fitting: Sequence[Worker]) -> Explanation:
    facts = {"queue": job.queue, "job_type": job.job_type}
    if not fitting:
        message = (
            f"None of {_counted(len(serving), 'live worker')} on the queue {job.queue} knows the type "
            f"{job.job_type}; is one with older code still to be replaced?"
        )
        return Explanation(Reason.NO_WORKER_KNOWS_TYPE, message, {**facts, "workers": len(serving)})
    facts |= {"workers": len(fitting)}
    slots = sum(worker.slots for worker in fitting)
    busy = {**facts, "slots": slots, "running": sum(worker.running for worker in fitting)}
    if is_suspect(job.losses) and not any(map(is_idle, fitting)):
        message = (
            "The job lost its worker before and so runs alone: "
            f"it waits for one of {_counted(len(fitting), 'live worker')} to have nothing else to do."
        )
        return Explanation(Reason.WORKERS_BUSY, message, {**busy, "losses": job.losses})
    if all(is_busy(worker) for worker in fitting):
        message = f"All {slots} slots of {_counted(len(fitting), 'live worker')} that could run it are taken."
        return Explanation(Reason.WORKERS_BUSY, message, busy)
    message = f"Nothing is in the way: {_counted(len(fitting), 'live worker')} may start the job any moment."
    return Explanation(Reason.CLAIMABLE, message, {**facts, "slots": slots})


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:MOST_PARENTS])
    return shown if len(ids) <= MOST_PARENTS else f"{shown} and {len(ids) - MOST_PARENTS} more"
