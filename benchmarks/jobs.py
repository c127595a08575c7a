"""The jobs that are measured."""

import time
from typing import Any

from django_flare import job, jobs


@job
def noop(payload: dict[str, Any]) -> dict[str, Any]:
    """Do nothing, with a result to store."""
    return {"done": payload["number"]}


@job
def tell_start(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the time at which the handler began."""
    return {"number": payload["number"], "started": time.time()}


def fill(count: int) -> None:
    """Queue `count` jobs in one call."""
    jobs.enqueue_many(noop, [{"number": number} for number in range(count)])
