"""The shapes of all that goes over the wire, by name, as JSON Schema."""

from __future__ import annotations

from django_flare import __version__
from django_flare.api.documentation.jobs import OF_JOBS
from django_flare.api.documentation.parts import (
    MAYBE_NUMBER,
    NUMBER,
    OBJECT,
    QUEUE,
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
from django_flare.api.documentation.refusals import example_of
from django_flare.api.problems import STATUSES
from django_flare.jobs.overview import MOST_COUNTED, MOST_QUEUES, MOST_WORKERS
from django_flare.jobs.summary import PERIODS
from django_flare.states import FINAL, JobState

_COUNT_EXAMPLE = {"number": 12, "has_more": False}
_TOTAL_EXAMPLE = {"number": 48_000, "has_more": False}
_QUEUE_EXAMPLE = {
    "name": "mail",
    "claimable": _COUNT_EXAMPLE,
    "oldest_seconds": 4.2,
    "running": 3,
    "next_due_seconds": None,
    "paused": False,
}
_WORKER_EXAMPLE = {
    "id": WORKER_ID,
    "hostname": "web1",
    "pid": 4711,
    "version": __version__,
    "slots": 8,
    "running": 3,
    "queues": ["mail"],
    "started_at": "2030-01-01T00:00:00.000000Z",
    "beat_age_seconds": 1.5,
    "stale": False,
}


def _counts(states: list[JobState], kind: str, text: str) -> Schema:
    return closed({state.value: described(ref(kind), text.format(state.value)) for state in states})


_OF_QUEUES: dict[str, Schema] = {
    "Count": closed(
        {
            "number": described(
                {"type": "integer", "minimum": 0, "maximum": MOST_COUNTED}, "How many were counted."
            ),
            "has_more": described(TRUTH, "Whether counting stopped there."),
        },
        example=_COUNT_EXAMPLE,
    ),
    "Total": closed(
        {
            "number": described({"type": "integer", "minimum": 0}, "How many there are, however many."),
            "has_more": described({"const": False}, "Nothing is left out."),
        },
        example=_TOTAL_EXAMPLE,
    ),
    "Queue": closed(
        {
            "name": described(QUEUE, "The queue's name."),
            "claimable": described(ref("Count"), "The jobs that a worker may claim now."),
            "oldest_seconds": described(MAYBE_NUMBER, "How long the longest-waiting claimable job waits."),
            "running": described(WHOLE, "The jobs that workers run now."),
            "next_due_seconds": described(MAYBE_NUMBER, "When the next scheduled job is due."),
            "paused": described(TRUTH, "Whether its jobs are kept from starting."),
        },
        example=_QUEUE_EXAMPLE,
    ),
    "Queues": closed(
        {
            "queues": described(
                array(ref("Queue"), most=MOST_QUEUES),
                "Those that have something to do or are paused, by name.",
            )
        },
        example={"queues": [_QUEUE_EXAMPLE]},
    ),
    "QueueChange": closed(
        {
            "name": described(QUEUE, "The queue's name."),
            "paused": described(TRUTH, "Whether it is paused now."),
            "changed": described(TRUTH, "Whether this request did it."),
        },
        example={"name": "mail", "paused": True, "changed": True},
    ),
}
_OF_WORKERS: dict[str, Schema] = {
    "Worker": closed(
        {
            "id": described(TEXT, "Its id, new with each start."),
            "hostname": described(TEXT, "The machine that it runs on."),
            "pid": described(WHOLE, "Its process there."),
            "version": described(TEXT, "The version of django_flare."),
            "slots": described(WHOLE, "How many jobs it runs at the same time."),
            "running": described(WHOLE, "How many it runs now."),
            "queues": described(array(TEXT), "The queues that it serves; an empty list means all."),
            "started_at": described(TIME, "When it registered."),
            "beat_age_seconds": described(NUMBER, "How long ago it last proved that it lives."),
            "stale": described(TRUTH, "Whether others may take its jobs back."),
        },
        example=_WORKER_EXAMPLE,
    ),
    "Workers": closed(
        {
            "workers": described(
                array(ref("Worker"), most=MOST_WORKERS), "The one that beat last comes first."
            )
        },
        example={"workers": [_WORKER_EXAMPLE]},
    ),
}
_SUMMARY = closed(
    {
        "period": described({"type": "string", "enum": list(PERIODS)}, "The period as asked for."),
        "since": described(TIME, "Its first moment, by the database's clock."),
        "until": described(TIME, "Its last moment: now."),
        "states": described(
            _counts(list(JobState), "Count", "Jobs in the state {}."),
            f"For each state the jobs in it now, each counted up to {MOST_COUNTED:,}; pending ones as far as "
            "they may be claimed.",
        ),
        "ended": described(
            _counts(sorted(FINAL), "Total", "How often a job reached the state {}."),
            "For each final state how often a job reached it within the period, all counted.",
        ),
        "ended_per_minute": described(NUMBER, "The sum of these, per minute."),
    },
    example={
        "period": "24h",
        "since": "2030-01-01T03:04:05.678901Z",
        "until": "2030-01-02T03:04:05.678901Z",
        "states": {state.value: _COUNT_EXAMPLE for state in JobState},
        "ended": {state.value: _TOTAL_EXAMPLE for state in sorted(FINAL)},
        "ended_per_minute": 100.0,
    },
)
_DETAIL = closed(
    {
        "field": described(TEXT, "What is wrong: a member of the body, a parameter, a header."),
        "reason": described(TEXT, "A word for programs that says what is wrong with it."),
        "message": described(TEXT, "The same for people."),
        "index": described(WHOLE, "Which job of a batch it is about, counted from 0."),
    },
    [],
)
_ERROR = closed(
    {
        "error": described(
            closed(
                {
                    "code": described(
                        {"type": "string", "enum": list(STATUSES)},
                        "The error's name for programs; it does not change.",
                    ),
                    "message": described(TEXT, "What was wrong, and the bound; for people."),
                    "request_id": described(TEXT, "The X-Request-Id of the answer, by which the log has it."),
                    "details": described(
                        array(_DETAIL), "Each thing that was wrong, where there is more to say."
                    ),
                },
                ["code", "message", "request_id"],
            ),
            "Why the request was refused.",
        )
    },
    example=example_of("invalid_option"),
)

SCHEMAS: dict[str, Schema] = {
    **OF_JOBS,
    **_OF_QUEUES,
    **_OF_WORKERS,
    "Summary": _SUMMARY,
    "Health": closed({"status": described({"const": "ok"}, "That it answers.")}, example={"status": "ok"}),
    "Document": {
        **OBJECT,
        "description": "This document.",
        "example": {
            "openapi": "3.1.0",
            "info": {"title": "django_flare", "version": __version__},
            "paths": {},
        },
    },
    "Error": _ERROR,
}
