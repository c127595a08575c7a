"""Describe jobs for the wire, without what a payload holds under the names that REDACT lists."""

from __future__ import annotations

from typing import Any

from django_flare.jobs.redaction import redacted
from django_flare.status import JobStatus


def describe_job(status: JobStatus) -> dict[str, Any]:
    """Return the job object; values under redacted names, at any depth of the payload, are replaced."""
    job = status.as_dict()
    return {**job, "payload": redacted(job["payload"])}
