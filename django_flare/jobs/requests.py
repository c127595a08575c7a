"""Turn a caller's words into a row: resolve the type, validate everything, then create."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from django_flare import hooks
from django_flare.arguments import parent_ids, start_time
from django_flare.conf import flare_settings
from django_flare.definitions import JobDefinition, canonical_json, encode_json, registry, resolve_options
from django_flare.definitions.options import ResolvedOptions
from django_flare.errors import at_index
from django_flare.lifecycle.create import Creation, create, create_many, create_one_by_one
from django_flare.states import JobState
from django_flare.store.ids import new_id
from django_flare.store.insert import NewRow

logger = logging.getLogger("django_flare.jobs")


# Without the garbage collector's care, here and on the way to the row: nothing that they hold leads back to
# them, and looking through those of 50,000 jobs again and again takes a quarter of the time of their making.
class JobRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Ask for one job, in a caller's words; `scope` sets idempotency keys of different callers apart."""

    job: Any
    payload: Any = None
    when: timedelta | datetime | None = None
    parents: Any = None
    options: Mapping[str, Any] = {}
    scope: str = ""


class Submission(msgspec.Struct, frozen=True, gc=False):
    """Name the job that a request led to; `created` is False when its key had made it before."""

    job_id: str
    created: bool


def submit(request: JobRequest) -> Submission:
    """Create the job of `request`, or find the one that its idempotency key has made.

    Everything is validated before the first statement; after the insert nothing raises.
    """
    created = create(_creation(request), flare_settings().database)
    return Submission(str(created.public_id), created.created)


def submit_many(requests: Sequence[JobRequest]) -> list[Submission]:
    """Create the jobs of all requests or of none, in order; few statements if all may run at once.

    The error of a bad request carries its position as `{"index": n}` in `details`.
    """
    creations = [at_index(index, partial(_creation, request)) for index, request in enumerate(requests)]
    if not creations:
        return []
    using = flare_settings().database
    if all(each.when is None and not each.parents for each in creations):
        created = create_many([each.row for each in creations], using)
    else:
        each_one = [
            partial(at_index, index, partial(create, each, using)) for index, each in enumerate(creations)
        ]
        created = create_one_by_one(each_one, using)
    return [Submission(str(each.public_id), each.created) for each in created]


def _creation(request: JobRequest) -> Creation:
    parents = () if request.parents is None else parent_ids(request.parents)
    when = None if request.when is None else start_time(request.when)
    return Creation(_row(registry.resolve(request.job), request, parents), when, parents)


def _row(definition: JobDefinition, request: JobRequest, parents: Sequence[UUID]) -> NewRow:
    options = resolve_options(definition, request.options)
    row = NewRow(
        public_id=new_id(),
        state=JobState.PENDING,
        queue=options.queue,
        job_type=definition.name,
        priority=options.priority,
        max_attempts=options.max_attempts,
        timeout=options.timeout,
        payload=definition.codec.encode(request.payload),
        tags=_tags(options),
        headers=_headers(),
        backoff=None if options.backoff is None else canonical_json(options.backoff.as_json()).decode(),
        idempotency_scope=request.scope if options.idempotency_key is not None else "",
        idempotency_key=options.idempotency_key,
    )
    if row.idempotency_key is not None:
        row.fingerprint = _fingerprint(request, row, parents)
    return row


def _tags(options: ResolvedOptions) -> str:
    return canonical_json(dict(options.tags)).decode() if options.tags else "{}"


def _headers() -> str:
    """Collect trace context and the like; a provider that raises is logged and left out (F26)."""
    headers: dict[str, Any] = {}
    for provider in hooks.header_providers:
        headers.update(_provided(provider))
    return canonical_json(headers).decode() if headers else "{}"


def _provided(provider: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        provided = dict(provider())
        # By the rules of payloads: a NUL would break the caller's transaction on PostgreSQL.
        encode_json(provided, "headers")
    except Exception:
        logger.exception("A header provider failed; its headers are left out")
        return {}
    return provided


def _fingerprint(request: JobRequest, row: NewRow, parents: Sequence[UUID]) -> str:
    """Return the SHA-256 over what makes two calls the same request: the call as given, not as resolved."""
    said = {
        "job_type": row.job_type,
        "options": {
            name: _plain(value) for name, value in request.options.items() if name != "idempotency_key"
        },
        "when": _plain(request.when),
        "parents": sorted(map(str, parents)),
    }
    body = canonical_json(said) + canonical_json(json.loads(row.payload))
    return hashlib.sha256(body).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return f"{value.total_seconds()} s"
    if isinstance(value, datetime):
        return value.astimezone(tz=UTC).isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return value
