"""Each verb as a value: the request that it takes, and how the answer is read. Nothing is sent here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

from django_flare import arguments
from django_flare.client import answers
from django_flare.client.payloads import json_object
from django_flare.client.replies import Reply
from django_flare.errors import at_index, option_error
from django_flare.status import Explanation, JobPage, JobStatus
from django_flare.values import kind

T = TypeVar("T")

JobId = str | UUID

MAX_CURSOR_LENGTH = 4096


@dataclass(frozen=True)
class Call(Generic[T]):
    """Hold a request, its address relative to the API's, and what reads its answer.

    The same bytes are sent however often it is repeated.
    """

    method: str
    path: str
    read: Callable[[Reply], T]
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True)
class Known(Generic[T]):
    """Hold what a verb returns without asking."""

    value: T


def enqueue(job: str, payload: object, options: Mapping[str, Any]) -> Call[str]:
    """Create a job that may run at once."""
    return _create(job, payload, options)


def schedule(job: str, payload: object, options: Mapping[str, Any], when: Any) -> Call[str]:
    """Create a job that may run from `when` on."""
    return _create(job, payload, options, when=arguments.start_time(when))


def continue_with(
    parents: Any, job: str, payload: object, options: Mapping[str, Any], when: Any
) -> Call[str]:
    """Create a job that runs after all of `parents` have succeeded, and not before `when`."""
    start = None if when is None else arguments.start_time(when)
    return _create(job, payload, options, when=start, parents=arguments.parent_ids(parents))


def enqueue_many(
    job: str, payloads: Iterable[object], options: Mapping[str, Any]
) -> Call[list[str]] | Known[list[str]]:
    """Create a job for each payload in one request, each under a key of its own unless one is given."""
    several = islice(arguments.each_payload(payloads, options), arguments.MAX_BATCH + 1)
    bodies = [
        at_index(index, partial(_new_job, job, payload, own)) for index, (payload, own) in enumerate(several)
    ]
    if len(bodies) > arguments.MAX_BATCH:
        problem = f"more than {arguments.MAX_BATCH}, which is the most that one request takes"
        raise option_error("payloads", problem, "too_many")
    if not bodies:
        return Known([])
    return _posted("v1/jobs/batch", partial(answers.job_ids, number=len(bodies)), {"jobs": bodies})


def control(job_id: JobId, verb: str, body: Mapping[str, Any] | None = None) -> Call[bool]:
    """Change a job by `verb`."""
    path = f"v1/jobs/{_known_form(job_id)}/{verb}"
    return Call("POST", path, answers.done) if body is None else _posted(path, answers.done, body)


def retry(job_id: JobId, revive: bool) -> Call[bool]:
    """Make a job run again."""
    return control(job_id, "retry", {"revive": True} if arguments.truth(revive, "revive") else None)


def get_status(job_id: JobId) -> Call[JobStatus | None] | Known[JobStatus | None]:
    """Read one job."""
    public_id = arguments.job_id_of(job_id)
    if public_id is None:
        return Known(None)
    return Call("GET", f"v1/jobs/{public_id}", answers.job_if_any)


def explain(job_id: JobId) -> Call[Explanation]:
    """Ask why a job is not running."""
    return Call("GET", f"v1/jobs/{_known_form(job_id)}/explain", answers.explanation)


def list_jobs(
    *,
    state: Any,
    queue: Any,
    job_type: Any,
    tags: Any,
    created_after: Any,
    created_before: Any,
    limit: Any,
    cursor: Any,
) -> Call[JobPage] | Known[JobPage]:
    """Read one page of jobs."""
    query = [("limit", str(arguments.page_limit(limit)))]
    states = None if state is None else arguments.state_names(state)
    query += [("state", name) for name in states or ()]
    for name, value in (("queue", queue), ("job_type", job_type)):
        if value is not None:
            query.append((name, arguments.printable(value, name)))
    query += [] if tags is None else _tags(tags)
    for name, value in (("created_after", created_after), ("created_before", created_before)):
        if value is not None:
            query.append((name, arguments.moment(value, name).isoformat()))
    if cursor is not None:
        query.append(("cursor", _cursor(cursor)))
    # No state at all cannot be asked for, and no job is in none.
    if states == []:
        return Known(JobPage([], has_more=False, next_cursor=None))
    return Call("GET", "v1/jobs", answers.page, tuple(query))


def switch_queue(name: str, verb: str) -> Call[bool]:
    """Pause or resume a queue, as `verb` says."""
    # Dots alone would be steps of the path.
    part = quote(arguments.queue_name(name), safe="").replace(".", "%2E")
    return Call("POST", f"v1/queues/{part}/{verb}", answers.changed)


def _create(
    job: str,
    payload: object,
    options: Mapping[str, Any],
    *,
    when: timedelta | datetime | None = None,
    parents: Sequence[UUID] = (),
) -> Call[str]:
    body = _new_job(job, payload, options)
    if parents:
        body["parent_job_ids"] = [str(parent) for parent in parents]
    # No delay is none also where the server's clock is behind ours.
    if when:
        body["run_at"] = (datetime.now(UTC) + when if isinstance(when, timedelta) else when).isoformat()
    # The header takes no comma, which is how servers join two of them.
    is_plain = "," not in body["idempotency_key"]
    headers = {"Idempotency-Key": body.pop("idempotency_key")} if is_plain else {}
    return _posted("v1/jobs", answers.job_id, body, headers)


def _posted(
    path: str, read: Callable[[Reply], T], body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Call[T]:
    content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
    media_type = {"Content-Type": "application/json"}
    return Call("POST", path, read, headers={**media_type, **(headers or {})}, content=content)


def _new_job(job: str, payload: object, options: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(job, str):
        raise option_error("job", f"{kind(job)}, expected the name of a job type")
    known = arguments.validate_options(options)
    if "timeout" in known:
        known["timeout_seconds"] = known.pop("timeout").total_seconds()
    # Repeated after a lost answer, a request must not make a second job.
    known.setdefault("idempotency_key", uuid4().hex)
    return {"job_type": job, "payload": json_object(payload), **known}


def _known_form(job_id: JobId) -> UUID:
    public_id = arguments.job_id_of(job_id)
    if public_id is None:
        raise arguments.no_job(job_id)
    return public_id


def _tags(tags: Any) -> list[tuple[str, str]]:
    checked = arguments.validate_options({"tags": tags})["tags"]
    for key in checked:
        if ":" in key:
            raise option_error("tags", f"the key {key!a}: one with ':' cannot be asked for over HTTP")
    return [("tag", f"{key}:{value}") for key, value in checked.items()]


def _cursor(cursor: Any) -> str:
    if not isinstance(cursor, str):
        raise option_error("cursor", f"{kind(cursor)}, a string", "kind")
    if not cursor.isascii() or len(cursor) > MAX_CURSOR_LENGTH:
        raise option_error("cursor", "not one that list_jobs gave", "invalid")
    return cursor
