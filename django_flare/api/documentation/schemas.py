"""The shapes of what goes over the wire, as JSON Schema; bounds and names are those of the code."""

from __future__ import annotations

from typing import Any

from django_flare import values
from django_flare.api.attempts import MOST_ATTEMPTS
from django_flare.api.problems import STATUSES
from django_flare.arguments import MAX_BATCH, MAX_LIMIT, MAX_PARENTS
from django_flare.jobs.overview import MOST_COUNTED, MOST_QUEUES, MOST_WORKERS
from django_flare.jobs.summary import PERIODS
from django_flare.states import FINAL, AttemptOutcome, JobState
from django_flare.status import Reason

Schema = dict[str, Any]

ID = "01a2096c-5d3e-7001-8c6e-7a2155a7bbfa"
KEY_PATTERN = "^[\\x21-\\x7e]+$"
QUEUE_PATTERN = "^[A-Za-z0-9_.:][A-Za-z0-9_.:-]*$"

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
OBJECT: Schema = {"type": "object"}
TIME: Schema = {"type": "string", "format": "date-time"}
JOB_ID: Schema = {"type": "string", "format": "uuid"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MAYBE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
MAYBE_NUMBER: Schema = {"type": ["number", "null"]}
STATE: Schema = {"type": "string", "enum": [state.value for state in JobState]}
QUEUE: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": values.MAX_QUEUE_LENGTH,
    "pattern": QUEUE_PATTERN,
}
KEY: Schema = {"type": "string", "minLength": 1, "maxLength": values.MAX_KEY_LENGTH, "pattern": KEY_PATTERN}
NO_NUL = {"pattern": "^[^\\u0000]*$"}
TAGS: Schema = {
    "type": "object",
    "maxProperties": values.MAX_TAGS,
    "propertyNames": {"minLength": 1, "maxLength": values.MAX_TAG_KEY_LENGTH, **NO_NUL},
    "additionalProperties": {"type": "string", "maxLength": values.MAX_TAG_VALUE_LENGTH, **NO_NUL},
}
PRIORITY: Schema = {"type": "integer", "minimum": -values.PRIORITY_BOUND, "maximum": values.PRIORITY_BOUND}


def ref(name: str) -> Schema:
    """Return the reference to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    """Return the schema of an array."""
    bounds = {"minItems": least} if least else {}
    return {"type": "array", "items": items, **bounds, **({} if most is None else {"maxItems": most})}


def closed(properties: Schema, required: list[str] | None = None, **rest: Any) -> Schema:
    """Return the schema of an object with these members and no others; all are required unless said."""
    required = list(properties) if required is None else required
    members = {"type": "object", "properties": properties, "additionalProperties": False, **rest}
    return {**members, "required": required} if required else members


def described(schema: Schema, text: str) -> Schema:
    """Return the schema with a description."""
    return {**schema, "description": text}


JOB = closed(
    {
        "id": JOB_ID,
        "state": STATE,
        "job_type": TEXT,
        "queue": QUEUE,
        "priority": described(PRIORITY, "Larger runs first."),
        "payload": OBJECT,
        "tags": TAGS,
        "attempt": described({"type": "integer", "minimum": 0}, "0 before the first claim."),
        "max_attempts": {"type": "integer", "minimum": 1},
        "timeout_seconds": described(NUMBER, "Of each attempt."),
        "progress": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "error_message": MAYBE_TEXT,
        "result": described({}, "What the handler returned: any JSON value."),
        "result_error": described(MAYBE_TEXT, "Why there is no result though the handler returned one."),
        "created_at": TIME,
        "run_at": described(TIME, "When it may run, or might have since."),
        "started_at": MAYBE_TIME,
        "completed_at": MAYBE_TIME,
        "parent_job_ids": array(JOB_ID),
        "cancelled_by": described(
            {"type": ["string", "null"], "format": "uuid"}, "The job whose end cancelled this one."
        ),
        "worker_id": MAYBE_TEXT,
    },
    example={
        "id": ID,
        "state": JobState.SUCCEEDED.value,
        "job_type": "mail.welcome",
        "queue": "mail",
        "priority": 0,
        "payload": {"user_id": 7},
        "tags": {"team": "blue"},
        "attempt": 1,
        "max_attempts": 5,
        "timeout_seconds": 1800,
        "progress": 1.0,
        "error_message": None,
        "result": "sent",
        "result_error": None,
        "created_at": "2030-01-02T03:04:05.678901Z",
        "run_at": "2030-01-02T03:04:05.678901Z",
        "started_at": "2030-01-02T03:04:05.690000Z",
        "completed_at": "2030-01-02T03:04:06.120000Z",
        "parent_job_ids": [],
        "cancelled_by": None,
        "worker_id": "wrk_web1_4711_a0287634c1cb",
    },
)
NEW_JOB = closed(
    {
        "job_type": {"type": "string", "minLength": 1, "maxLength": 500},
        "payload": described({"type": "object", "default": {}}, "What the handler receives."),
        "queue": QUEUE,
        "run_at": described(TIME, "RFC 3339 with an offset, at most ten years ahead. A past time is now."),
        "max_attempts": {"type": "integer", "minimum": 1, "maximum": values.MAX_ATTEMPTS_BOUND},
        "timeout_seconds": {"type": "number", "minimum": values.MIN_TIMEOUT, "maximum": values.MAX_TIMEOUT},
        "priority": PRIORITY,
        "tags": TAGS,
        "idempotency_key": described(KEY, "The header Idempotency-Key is preferred; both must be equal."),
        "parent_job_id": described(JOB_ID, "The one job to wait for; not together with parent_job_ids."),
        "parent_job_ids": array(JOB_ID, 1, MAX_PARENTS),
    },
    ["job_type"],
    **{"not": {"required": ["parent_job_id", "parent_job_ids"]}},
    example={"job_type": "mail.welcome", "payload": {"user_id": 7}, "queue": "mail", "max_attempts": 5},
)
COUNT = closed(
    {
        "number": {"type": "integer", "minimum": 0, "maximum": MOST_COUNTED},
        "has_more": described(TRUTH, "Whether counting stopped there."),
    }
)


def _counts(states: list[JobState]) -> Schema:
    return closed({state.value: ref("Count") for state in states})


SCHEMAS: dict[str, Schema] = {
    "Job": JOB,
    "NewJob": NEW_JOB,
    "NewJobs": closed({"jobs": array(ref("NewJob"), 1, MAX_BATCH)}),
    "JobIds": closed({"ids": array(JOB_ID, 1, MAX_BATCH)}),
    "JobPage": closed(
        {"jobs": array(ref("Job"), most=MAX_LIMIT), "has_more": TRUTH, "next_cursor": MAYBE_TEXT}
    ),
    "Retry": closed({"revive": {"type": "boolean", "default": False}}, []),
    "Explanation": closed(
        {"code": {"type": "string", "enum": list(map(str, Reason))}, "message": TEXT, "details": OBJECT}
    ),
    "Attempt": closed(
        {
            "number": WHOLE,
            "outcome": {"type": "string", "enum": list(map(str, AttemptOutcome))},
            "worker_id": MAYBE_TEXT,
            "started_at": MAYBE_TIME,
            "ended_at": TIME,
            "error_class": MAYBE_TEXT,
            "error_message": MAYBE_TEXT,
            "traceback": described(MAYBE_TEXT, "For the scope admin alone."),
        }
    ),
    "Attempts": closed({"attempts": array(ref("Attempt"), most=MOST_ATTEMPTS)}),
    "Count": COUNT,
    "Queue": closed(
        {
            "name": QUEUE,
            "claimable": ref("Count"),
            "oldest_seconds": described(MAYBE_NUMBER, "How long the longest-waiting claimable job waits."),
            "running": WHOLE,
            "next_due_seconds": described(MAYBE_NUMBER, "When the next scheduled job is due."),
            "paused": TRUTH,
        }
    ),
    "Queues": closed({"queues": array(ref("Queue"), most=MOST_QUEUES)}),
    "QueueChange": closed(
        {"name": QUEUE, "paused": TRUTH, "changed": described(TRUTH, "Whether this request did it.")}
    ),
    "Worker": closed(
        {
            "id": TEXT,
            "hostname": TEXT,
            "pid": WHOLE,
            "version": TEXT,
            "slots": WHOLE,
            "running": WHOLE,
            "queues": described(array(TEXT), "None means all."),
            "started_at": TIME,
            "beat_age_seconds": NUMBER,
            "stale": described(TRUTH, "Whether others may take its jobs back."),
        }
    ),
    "Workers": closed({"workers": array(ref("Worker"), most=MOST_WORKERS)}),
    "Summary": closed(
        {
            "period": {"type": "string", "enum": list(PERIODS)},
            "since": TIME,
            "until": TIME,
            "states": described(_counts(list(JobState)), "Jobs in each state now."),
            "ended": described(_counts(sorted(FINAL)), "How often one ended within the period, all counted."),
            "ended_per_minute": NUMBER,
        }
    ),
    "Health": closed({"status": {"const": "ok"}}),
    "Document": described(OBJECT, "This document."),
    "Error": closed(
        {
            "error": closed(
                {
                    "code": {"type": "string", "enum": list(STATUSES)},
                    "message": TEXT,
                    "request_id": TEXT,
                    "details": array(
                        closed({"field": TEXT, "reason": TEXT, "message": TEXT, "index": WHOLE}, [])
                    ),
                },
                ["code", "message", "request_id"],
            )
        }
    ),
}
