"""Translate the body of a batch."""

from __future__ import annotations

from rest_framework.request import Request

from django_flare.api.bodies import BATCH_PAYLOADS, ENVELOPE_BYTES, read_object, require_members
from django_flare.api.creation import KEY_HEADER, read_body
from django_flare.api.errors import describe
from django_flare.api.problems import Problem, ProblemError, refused
from django_flare.arguments import MAX_BATCH
from django_flare.conf import flare_settings
from django_flare.errors import FlareError
from django_flare.jobs import JobRequest
from django_flare.values import kind


def read_batch(request: Request, scope: str) -> list[JobRequest]:
    """Return the requests that the body's `jobs` are; the error of a bad one carries its index."""
    if KEY_HEADER in request.headers:
        raise refused("idempotency_key", f"no {KEY_HEADER} is taken here, each job has its own", "unexpected")
    body = read_object(request, BATCH_PAYLOADS * flare_settings().max_payload + ENVELOPE_BYTES)
    require_members(body, ("jobs",))
    items = body.get("jobs")
    if not isinstance(items, list):
        raise refused("jobs", f"{kind(items)}, expected an array of create bodies", "required")
    if not 1 <= len(items) <= MAX_BATCH:
        raise refused("jobs", f"{len(items)} jobs, expected 1 to {MAX_BATCH}", "out_of_range")
    return [_item(index, item, scope) for index, item in enumerate(items)]


def _item(index: int, item: object, scope: str) -> JobRequest:
    try:
        return read_body(item, scope)
    except (ProblemError, FlareError) as error:
        found = describe(error)
        if found is None:
            raise
        details = [*(found.details or []), {"index": index}]
        raise ProblemError(Problem(found.code, found.message, details)) from None
