"""Translate create bodies to requests for jobs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rest_framework.request import Request

from django_flare import values
from django_flare.api.bodies import require_members
from django_flare.api.problems import refused
from django_flare.api.times import read_time
from django_flare.conf import flare_settings
from django_flare.definitions import registry
from django_flare.definitions.registry import OWN_NAMESPACE
from django_flare.errors import FlareJobTypeError
from django_flare.jobs import JobRequest
from django_flare.models import Job
from django_flare.values import kind

KEY_HEADER = "Idempotency-Key"
FIELDS = (
    *("job_type", "payload", "queue", "run_at", "max_attempts", "timeout_seconds", "priority", "tags"),
    *("idempotency_key", "parent_job_id", "parent_job_ids"),
)
READ_ONLY = frozenset(
    {field.attname for field in Job._meta.concrete_fields}
    | {field.name for field in Job._meta.get_fields()}
    | {"job_id", "error", "completed", "timeout_at", "attempt_number", "state"}
) - set(FIELDS)

# As they are, to be checked by the verb.
_OPTIONS = ("queue", "max_attempts", "priority", "tags", "idempotency_key")


def read_request(request: Request, body: Mapping[str, Any], scope: str) -> JobRequest:
    """Return the request that a create body and the `Idempotency-Key` header are together."""
    header = request.headers.get(KEY_HEADER)
    if header is not None:
        if "," in header:
            # Servers join two headers by a comma, so that none can be told from two.
            text = f"a comma in the header {KEY_HEADER}, or two of it; such a key goes in the body"
            raise refused("idempotency_key", text, "repeated", "invalid_option")
        if body.get("idempotency_key", header) != header:
            raise refused("idempotency_key", f"differs from the header {KEY_HEADER}", "conflicting_fields")
        body = {**body, "idempotency_key": header}
    return read_body(body, scope)


def read_body(body: Any, scope: str) -> JobRequest:
    """Return the request that a create body is; idempotency keys of different scopes are set apart.

    Raises the 400 for members that do not exist or contradict each other, and for values that a verb
    would not understand; the bounds are the verb's.
    """
    if not isinstance(body, dict):
        raise refused("body", f"{kind(body)}, expected an object", "kind")
    require_members(body, FIELDS, READ_ONLY)
    options = {name: body[name] for name in _OPTIONS if name in body}
    if "timeout_seconds" in body:
        options["timeout"] = _timeout(body["timeout_seconds"])
    return JobRequest(
        job=_job_type(body),
        payload=_payload(body.get("payload", {})),
        when=read_time(body["run_at"], "run_at") if "run_at" in body else None,
        parents=_parents(body),
        options=options,
        scope=scope,
    )


def _job_type(body: Mapping[str, Any]) -> str:
    if "job_type" not in body:
        raise refused("job_type", "missing", "required")
    name = body["job_type"]
    if not isinstance(name, str):
        raise refused("job_type", f"{kind(name)}, expected a string", "kind")
    allowed = flare_settings().api_job_types
    if name.startswith(OWN_NAMESPACE) or (allowed is not None and name not in allowed):
        # Without the nearest name: what this API does not offer is nobody's business.
        raise FlareJobTypeError(f"no handler is registered for the job type {name[:500]!a}")
    registry.get(name)
    return name


def _payload(payload: Any) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise refused("payload", f"{kind(payload)}, expected an object", "kind", "invalid_payload")
    return payload


def _timeout(seconds: Any) -> timedelta:
    try:
        return values.duration(seconds, values.MIN_TIMEOUT, values.MAX_TIMEOUT)
    except values.BadValueError as bad:
        raise refused("timeout_seconds", str(bad), code="invalid_option") from None


def _parents(body: Mapping[str, Any]) -> str | list[str] | None:
    if "parent_job_id" in body:
        if "parent_job_ids" in body:
            raise refused("parent_job_ids", "given together with parent_job_id", "conflicting_fields")
        return _parent(body["parent_job_id"], "parent_job_id")
    if "parent_job_ids" not in body:
        return None
    several = body["parent_job_ids"]
    if not isinstance(several, list):
        raise refused("parent_job_ids", f"{kind(several)}, expected an array", "kind", "invalid_option")
    return [_parent(each, "parent_job_ids") for each in several]


def _parent(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise refused(name, f"{kind(value)}, expected a job id", "kind", "invalid_option")
    return value
