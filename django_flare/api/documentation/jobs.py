"""The shapes of jobs, of what creates and what describes them, as JSON Schema."""

from __future__ import annotations

from datetime import datetime

from django_flare import values
from django_flare.api.attempts import MOST_ATTEMPTS
from django_flare.api.documentation.parts import (
    ID,
    JOB_ID,
    KEY,
    MAYBE_TEXT,
    MAYBE_TIME,
    MOMENT,
    NUMBER,
    OBJECT,
    PRIORITY,
    QUEUE,
    STATE,
    TAGS,
    TEXT,
    TIME,
    TRUTH,
    WHOLE,
    WORKER_ID,
    Schema,
    array,
    closed,
    described,
    ref,
)
from django_flare.arguments import MAX_BATCH, MAX_LIMIT, MAX_PARENTS
from django_flare.definitions.decorator import MAX_NAME_LENGTH
from django_flare.jobs.cursors import encode_cursor
from django_flare.states import AttemptOutcome, JobState
from django_flare.status import Reason

CURSOR = encode_cursor(datetime.fromisoformat(MOMENT), 4711, "")

JOB = closed(
    {
        "id": described(JOB_ID, "The job's id."),
        "state": described(STATE, "Where it stands; succeeded, cancelled and dead_letter are final."),
        "job_type": described(TEXT, "The name that ties the job to its handler."),
        "queue": described(QUEUE, "The queue that it waits in."),
        "priority": described(PRIORITY, "Larger runs first within the queue."),
        "payload": described(
            OBJECT, "What the handler receives; values that the project redacts are replaced."
        ),
        "tags": described(TAGS, "Texts by which it is found."),
        "attempt": described({"type": "integer", "minimum": 0}, "Attempts so far, 0 before the first claim."),
        "max_attempts": described({"type": "integer", "minimum": 1}, "Attempts that it may have."),
        "timeout_seconds": described(NUMBER, "How long each attempt may take."),
        "progress": described(
            {"type": ["number", "null"], "minimum": 0, "maximum": 1},
            "What the handler reported, 1 after success; null until then.",
        ),
        "error_message": described(MAYBE_TEXT, "Why the last attempt failed, kept until the next success."),
        "result": described({}, "What the handler returned: any JSON value."),
        "result_error": described(MAYBE_TEXT, "Why there is no result though the handler returned one."),
        "created_at": described(TIME, "When it was created."),
        "run_at": described(TIME, "When it may run, or might have since."),
        "started_at": described(MAYBE_TIME, "When its attempt was claimed; null before the first one."),
        "completed_at": described(
            MAYBE_TIME, "When it succeeded, failed, was cancelled or died; null in the other states."
        ),
        "parent_job_ids": described(
            array(JOB_ID), "The jobs that it waits or waited for, in the order given."
        ),
        "cancelled_by": described(
            {"type": ["string", "null"], "format": "uuid"}, "The job whose end cancelled this one."
        ),
        "worker_id": described(MAYBE_TEXT, "The worker that runs it or ran it last."),
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
        "created_at": MOMENT,
        "run_at": MOMENT,
        "started_at": "2030-01-02T03:04:05.690000Z",
        "completed_at": "2030-01-02T03:04:06.120000Z",
        "parent_job_ids": [],
        "cancelled_by": None,
        "worker_id": WORKER_ID,
    },
)
NEW_JOB = closed(
    {
        "job_type": described(
            {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH},
            "The name of a registered handler that the project lets this API create.",
        ),
        "payload": described({"type": "object", "default": {}}, "What the handler receives."),
        "queue": described(
            QUEUE, "The queue to wait in. What is not given is that of the job type or the project."
        ),
        "run_at": described(TIME, "RFC 3339 with an offset, at most ten years ahead. A past time is now."),
        "max_attempts": described(
            {"type": "integer", "minimum": 1, "maximum": values.MAX_ATTEMPTS_BOUND},
            "Attempts that it may have.",
        ),
        "timeout_seconds": described(
            {"type": "number", "minimum": values.MIN_TIMEOUT, "maximum": values.MAX_TIMEOUT},
            "How long each attempt may take.",
        ),
        "priority": described(PRIORITY, "Larger runs first within the queue."),
        "tags": described(TAGS, "Texts by which it is found, merged over those of the job type."),
        "idempotency_key": described(
            KEY, "One job is made under a key. The header is preferred, except for a key with a comma."
        ),
        "parent_job_id": described(JOB_ID, "The one job to wait for; not together with parent_job_ids."),
        "parent_job_ids": described(
            array(JOB_ID, 1, MAX_PARENTS), "The jobs that must succeed before it may run."
        ),
    },
    ["job_type"],
    **{"not": {"required": ["parent_job_id", "parent_job_ids"]}},
    example={"job_type": "mail.welcome", "payload": {"user_id": 7}, "queue": "mail", "max_attempts": 5},
)
_ATTEMPT_EXAMPLE = {
    "number": 2,
    "outcome": AttemptOutcome.FAILED.value,
    "worker_id": WORKER_ID,
    "started_at": "2030-01-02T03:04:05.690000Z",
    "ended_at": "2030-01-02T03:04:06.120000Z",
    "error_class": "SMTPServerDisconnected",
    "error_message": "Connection unexpectedly closed",
    "traceback": None,
}

OF_JOBS: dict[str, Schema] = {
    "Job": JOB,
    "NewJob": NEW_JOB,
    "NewJobs": closed(
        {"jobs": described(array(ref("NewJob"), 1, MAX_BATCH), "All are created, or none.")},
        example={"jobs": [NEW_JOB["example"]]},
    ),
    "JobIds": closed(
        {"ids": described(array(JOB_ID, 1, MAX_BATCH), "The ids of the jobs, in the order of the request.")},
        example={"ids": [ID]},
    ),
    "JobPage": closed(
        {
            "jobs": described(array(ref("Job"), most=MAX_LIMIT), "The newest first."),
            "has_more": described(TRUTH, "Whether another page follows."),
            "next_cursor": described(MAYBE_TEXT, "What the next page takes as cursor; null on the last one."),
        },
        example={"jobs": [JOB["example"]], "has_more": True, "next_cursor": CURSOR},
    ),
    "Retry": closed(
        {
            "revive": described(
                {"type": "boolean", "default": False},
                "Whether jobs that the end of this one has cancelled wait for it again.",
            )
        },
        [],
        example={"revive": True},
    ),
    "Explanation": closed(
        {
            "code": described(
                {"type": "string", "enum": list(map(str, Reason))},
                "The first reason that holds, in this order.",
            ),
            "message": described(TEXT, "A sentence for people, which may change."),
            "details": described(OBJECT, "The facts behind it, other ones for each code."),
        },
        example={
            "code": Reason.SCHEDULED_UNTIL.value,
            "message": f"The job may start at {MOMENT}, not before.",
            "details": {"run_at": MOMENT},
        },
    ),
    "Attempt": closed(
        {
            "number": described(WHOLE, "Which attempt it was; that of a lost one comes again."),
            "outcome": described(
                {"type": "string", "enum": list(map(str, AttemptOutcome))}, "How it ended without success."
            ),
            "worker_id": described(MAYBE_TEXT, "The worker that ran it."),
            "started_at": described(MAYBE_TIME, "When it was claimed."),
            "ended_at": described(TIME, "When its end was recorded."),
            "error_class": described(MAYBE_TEXT, "The name of the exception's class."),
            "error_message": described(MAYBE_TEXT, "What the exception said."),
            "traceback": described(
                MAYBE_TEXT, "For keys with the scope admin and for users; null otherwise."
            ),
        },
        example=_ATTEMPT_EXAMPLE,
    ),
    "Attempts": closed(
        {"attempts": described(array(ref("Attempt"), most=MOST_ATTEMPTS), "The newest first.")},
        example={"attempts": [_ATTEMPT_EXAMPLE]},
    ),
}
