"""The facade: `from django_flare import jobs`, then `jobs.enqueue(...)` and the other verbs."""

from django_flare.jobs.async_verbs import (
    acancel,
    acontinue_with,
    adiscard,
    aenqueue,
    aenqueue_many,
    aget_status,
    alist_jobs,
    aretry,
    aschedule,
)
from django_flare.jobs.reading import get_status, list_jobs
from django_flare.jobs.requests import JobRequest, Submission, submit, submit_many
from django_flare.jobs.verbs import cancel, continue_with, discard, enqueue, enqueue_many, retry, schedule

__all__ = [
    "JobRequest",
    "Submission",
    "acancel",
    "acontinue_with",
    "adiscard",
    "aenqueue",
    "aenqueue_many",
    "aget_status",
    "alist_jobs",
    "aretry",
    "aschedule",
    "cancel",
    "continue_with",
    "discard",
    "enqueue",
    "enqueue_many",
    "get_status",
    "list_jobs",
    "retry",
    "schedule",
    "submit",
    "submit_many",
]
