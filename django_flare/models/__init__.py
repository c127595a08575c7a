"""The tables; `Job.objects` and its kin are for reading, the verbs of `jobs` write."""

from django_flare.models.api_key import ApiKey
from django_flare.models.attempt import Attempt
from django_flare.models.continuation import Continuation
from django_flare.models.job import Job
from django_flare.models.queue import Queue
from django_flare.models.reply import Reply
from django_flare.models.rollup import Dashboard, Rollup
from django_flare.models.worker import Worker

__all__ = [
    "ApiKey",
    "Attempt",
    "Continuation",
    "Dashboard",
    "Job",
    "Queue",
    "Reply",
    "Rollup",
    "Worker",
]
