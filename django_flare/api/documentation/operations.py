"""What each operation takes and answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django_flare.api.documentation.headers import HEADERS
from django_flare.api.documentation.jobs import CURSOR
from django_flare.api.documentation.parts import (
    ID,
    JOB_ID,
    KEY_OF_HEADER,
    QUEUE,
    STATE,
    TEXT,
    TIME,
    Schema,
    array,
)
from django_flare.api.views.metrics import DEFAULT_PERIOD
from django_flare.arguments import MAX_LIMIT
from django_flare.jobs.summary import PERIODS
from django_flare.states import JobState

_CREATING = (
    *("malformed_json", "invalid_request", "invalid_option", "invalid_payload", "job_type_not_registered"),
    *("job_not_found", "idempotency_key_reuse", "idempotency_in_progress", "payload_too_large"),
    "unsupported_media_type",
)
_CONTROLLING = ("invalid_request", "job_not_found", "invalid_state", "unsupported_media_type")
_READING = ("invalid_request", "job_not_found")
KEYED = (
    "unauthorized",
    "forbidden",
    "not_acceptable",
    "rate_limit_exceeded",
    "internal_error",
    "unavailable",
)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Describe an operation: `answer` names a schema, `errors` are codes beside those of all."""

    id: str
    tag: str
    summary: str
    answer: str
    errors: tuple[str, ...] = ()
    status: int = 200
    body: str | None = None
    body_required: bool = True
    parameters: tuple[Schema, ...] = ()
    headers: tuple[str, ...] = ()
    is_open: bool = False

    @property
    def parameter_names(self) -> set[str]:
        """The names of what it takes beside its body."""
        return {parameter["name"] for parameter in self.parameters}


def _in(place: str, name: str, schema: Schema, text: str, example: Any, **rest: Any) -> Schema:
    return {
        "in": place,
        "name": name,
        "schema": schema,
        "description": text,
        "example": example,
        **rest,
    }


_ID = _in("path", "job_id", JOB_ID, "The job.", ID, required=True)
_NAME = _in("path", "name", QUEUE, "The queue.", "mail", required=True)
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 20}
_TAG: Schema = {"type": "string", "pattern": "^[^:\\u0000]+:[^\\u0000]*$"}
_STATES = [JobState.FAILED.value, JobState.DEAD_LETTER.value]
_FILTERS = (
    _in("query", "state", array(STATE), "One or several, as state=a&state=b.", _STATES, explode=True),
    _in("query", "queue", TEXT, "The whole name.", "mail"),
    _in("query", "job_type", TEXT, "The whole name.", "mail.welcome"),
    _in("query", "tag", array(_TAG), "key:value; all must match.", ["team:blue"], explode=True),
    _in("query", "created_after", TIME, "Inclusive.", "2030-01-02T00:00:00Z"),
    _in("query", "created_before", TIME, "Exclusive.", "2030-01-03T00:00:00+01:00"),
    _in("query", "limit", _LIMIT, "Jobs on the page.", 50),
    _in("query", "cursor", TEXT, "The next_cursor of the page before, with the same filters.", CURSOR),
)
_KEY = _in(
    "header",
    "Idempotency-Key",
    KEY_OF_HEADER,
    "The same key and body give the same answer; one job is made. A key with a comma goes in the body.",
    "greeting-7",
)
_KNOWN = _in(
    "header",
    "If-None-Match",
    TEXT,
    "An ETag: 304 if the job has not changed since.",
    HEADERS["ETag"]["example"],
)
_PERIOD = _in(
    "query",
    "period",
    {"type": "string", "enum": list(PERIODS), "default": DEFAULT_PERIOD},
    "How far back.",
    "1h",
)

_JOBS = "jobs"
OPERATIONS: dict[tuple[str, str], Operation] = {
    ("JobViews", "list"): Operation(
        id="list_jobs",
        tag=_JOBS,
        summary="List jobs, newest first",
        answer="JobPage",
        parameters=_FILTERS,
        errors=("invalid_request", "invalid_option"),
    ),
    ("JobViews", "create"): Operation(
        id="create_job",
        tag=_JOBS,
        summary="Create a job",
        answer="Job",
        status=201,
        body="NewJob",
        parameters=(_KEY,),
        headers=("Location", "Idempotent-Replay"),
        errors=_CREATING,
    ),
    ("JobViews", "batch"): Operation(
        id="create_jobs",
        tag=_JOBS,
        summary="Create several jobs, all or none",
        answer="JobIds",
        status=201,
        body="NewJobs",
        errors=_CREATING,
    ),
    ("JobViews", "retrieve"): Operation(
        id="get_job",
        tag=_JOBS,
        summary="Read a job",
        answer="Job",
        parameters=(_ID, _KNOWN),
        headers=("ETag",),
        errors=_READING,
    ),
    ("JobViews", "explain"): Operation(
        id="explain_job",
        tag=_JOBS,
        summary="Say why a job is not running",
        answer="Explanation",
        parameters=(_ID,),
        errors=_READING,
    ),
    ("JobViews", "attempts"): Operation(
        id="list_attempts",
        tag=_JOBS,
        summary="List the attempts of a job that did not succeed, newest first",
        answer="Attempts",
        parameters=(_ID,),
        errors=_READING,
    ),
    ("JobViews", "cancel"): Operation(
        id="cancel_job",
        tag=_JOBS,
        summary="Cancel a job that waits, and those that wait for it",
        answer="Job",
        parameters=(_ID,),
        errors=_CONTROLLING,
    ),
    ("JobViews", "retry"): Operation(
        id="retry_job",
        tag=_JOBS,
        summary="Let a failed or dead job run again",
        answer="Job",
        body="Retry",
        body_required=False,
        parameters=(_ID,),
        errors=(
            *_CONTROLLING,
            *("invalid_option", "malformed_json", "invalid_payload"),
            "payload_too_large",
        ),
    ),
    ("JobViews", "discard"): Operation(
        id="discard_job",
        tag=_JOBS,
        summary="Give up on the retries of a failed job",
        answer="Job",
        parameters=(_ID,),
        errors=_CONTROLLING,
    ),
    ("JobViews", "stop"): Operation(
        id="stop_job",
        tag=_JOBS,
        summary="Ask a processing job to stop",
        answer="Job",
        parameters=(_ID,),
        errors=_CONTROLLING,
    ),
    ("QueueViews", "list"): Operation(
        id="list_queues",
        tag="queues",
        summary="List the queues that have something to do or are paused",
        answer="Queues",
        errors=("invalid_request",),
    ),
    ("QueueViews", "pause"): Operation(
        id="pause_queue",
        tag="queues",
        summary="Let no job of a queue start",
        answer="QueueChange",
        parameters=(_NAME,),
        errors=("invalid_request", "invalid_option", "unsupported_media_type"),
    ),
    ("QueueViews", "resume"): Operation(
        id="resume_queue",
        tag="queues",
        summary="Let the jobs of a queue start again",
        answer="QueueChange",
        parameters=(_NAME,),
        errors=("invalid_request", "invalid_option", "unsupported_media_type"),
    ),
    ("WorkerViews", "list"): Operation(
        id="list_workers",
        tag="workers",
        summary="List the registered workers",
        answer="Workers",
        errors=("invalid_request",),
    ),
    ("MetricsViews", "summary"): Operation(
        id="read_summary",
        tag="metrics",
        summary="Sum up the jobs there are and those that ended in a period until now",
        answer="Summary",
        parameters=(_PERIOD,),
        errors=("invalid_request", "invalid_option"),
    ),
    ("DocumentViews", "show"): Operation(
        id="read_document",
        tag="document",
        summary="Read this document",
        answer="Document",
        errors=("invalid_request",),
    ),
    ("HealthViews", "live"): Operation(
        id="is_live",
        tag="health",
        summary="Tell that the process answers",
        answer="Health",
        is_open=True,
        errors=("not_acceptable", "internal_error"),
    ),
    ("HealthViews", "ready"): Operation(
        id="is_ready",
        tag="health",
        summary="Tell whether the database answers",
        answer="Health",
        is_open=True,
        errors=("not_acceptable", "internal_error", "unavailable"),
    ),
}
