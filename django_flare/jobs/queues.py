"""The verbs for whole queues."""

from __future__ import annotations

from django_flare.arguments import queue_name
from django_flare.conf import flare_settings
from django_flare.lifecycle import queues


def pause_queue(name: str) -> bool:
    """Let no job of the queue start until it is resumed; return whether this changed anything.

    It joins the caller's transaction and lasts until `resume_queue`, whatever workers come and go;
    a queue that has no jobs yet can be paused too. A job is started when a worker claims it: none
    is claimed after the pause has committed. What was claimed before runs to its end. Jobs may still
    be created in the queue and become pending there.
    Raises FlareOptionError for a name that no queue can have.
    """
    return queues.pause(queue_name(name), flare_settings().database)


def resume_queue(name: str) -> bool:
    """Let the jobs of a paused queue start again, and wake workers; return whether this changed anything.

    It joins the caller's transaction. Raises FlareOptionError for a name that no queue can have.
    """
    return queues.resume(queue_name(name), flare_settings().database)
