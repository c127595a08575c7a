"""The facade: `from django_flare import jobs`, then `jobs.enqueue(...)` and the other verbs."""

from django_flare.jobs.async_verbs import (
    acancel,
    acontinue_with,
    adiscard,
    aenqueue,
    aenqueue_many,
    aexplain,
    aget_status,
    alist_jobs,
    apause_queue,
    aresume_queue,
    aretry,
    aschedule,
    astop,
)
from django_flare.jobs.explanations import explain
from django_flare.jobs.queues import pause_queue, resume_queue
from django_flare.jobs.reading import get_status, list_jobs
from django_flare.jobs.requests import JobRequest, Submission, submit, submit_many
from django_flare.jobs.verbs import (
    cancel,
    continue_with,
    discard,
    enqueue,
    enqueue_many,
    retry,
    schedule,
    stop,
)

__all__ = [
    "JobRequest",
    "Submission",
    "acancel",
    "acontinue_with",
    "adiscard",
    "aenqueue",
    "aenqueue_many",
    "aexplain",
    "aget_status",
    "alist_jobs",
    "apause_queue",
    "aresume_queue",
    "aretry",
    "aschedule",
    "astop",
    "cancel",
    "continue_with",
    "discard",
    "enqueue",
    "enqueue_many",
    "explain",
    "get_status",
    "list_jobs",
    "pause_queue",
    "resume_queue",
    "retry",
    "schedule",
    "stop",
    "submit",
    "submit_many",
]
