"""The client for programs that block while they wait."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from django_flare.arguments import JobOptions, ManyOptions
from django_flare.client import calls
from django_flare.client.access import (
    DEFAULT_TIMEOUT,
    Access,
    checked_url,
    http_options,
    replied,
    unanswered,
)
from django_flare.client.calls import Call, JobId, Known
from django_flare.client.replies import Reply
from django_flare.client.retrying import Repeats
from django_flare.status import Explanation, JobPage, JobStatus

T = TypeVar("T")


class FlareClient(Access[httpx.Client]):
    """Do over HTTP what the verbs of `django_flare.jobs` do: the same names, arguments, values and errors.

    `base_url` is the address that the project gave the API, without `v1`. `timeout`, in seconds or as a
    timedelta, holds for connecting and for each wait for the server. `transport` is one of httpx's, for
    certificates or a proxy of your own. Threads may share a client; it keeps connections open until
    `close()`, or the end of its `with` block. A bad argument is a FlareOptionError, which never shows the
    key.

    Jobs are named by their type's name. Every verb may also raise FlareAuthenticationError,
    FlareRateLimitError and FlareApiError. An answer 429, 502, 503 or 504, a job's twin still in flight, or
    none at all: the request is sent again, up to three times. Jobs are created under an idempotency key
    always, so that this makes no second one; any other verb may find its own work done, and returns False.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        address, options = checked_url(base_url), http_options(api_key, timeout)
        super().__init__(address, httpx.Client(transport=transport, **options))
        self._sleep = time.sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        self._http.close()

    def enqueue(self, job: str, payload: object = None, **options: Unpack[JobOptions]) -> str:
        """Create a job that may run at once; return its id.

        The payload is a dict or a typed object, see the guide to this client. The job is committed when
        the verb returns. Raises what `jobs.enqueue` raises.
        """
        return self._send(calls.enqueue(job, payload, options))

    def schedule(
        self,
        job: str,
        payload: object = None,
        *,
        when: timedelta | datetime,
        **options: Unpack[JobOptions],
    ) -> str:
        """Create a job that may run from `when` on: an aware datetime, or a timedelta from now.

        Now is told by this machine's clock. With an `idempotency_key` give a datetime: a timedelta is
        another moment in each call, and so another request.
        """
        return self._send(calls.schedule(job, payload, options, when))

    def continue_with(
        self,
        parents: JobId | Iterable[JobId],
        job: str,
        payload: object = None,
        *,
        when: timedelta | datetime | None = None,
        **options: Unpack[JobOptions],
    ) -> str:
        """Create a job that runs after all of `parents` (1 to 100) have succeeded, and not before `when`."""
        return self._send(calls.continue_with(parents, job, payload, options, when))

    def enqueue_many(self, job: str, payloads: Iterable[object], **options: Unpack[ManyOptions]) -> list[str]:
        """Create a job for each payload, all or none; return their ids in order.

        At most 1,000 at a time, as one request holds them all. `idempotency_key` may be a callable that
        makes the key from the payload.
        """
        return self._send(calls.enqueue_many(job, payloads, options))

    def cancel(self, job_id: JobId) -> bool:
        """Cancel a pending or scheduled job and those that wait for it; False when its state forbids it."""
        return self._send(calls.control(job_id, "cancel"))

    def retry(self, job_id: JobId, *, revive: bool = False) -> bool:
        """Make a failed or dead-lettered job claimable now; False when its state forbids it."""
        return self._send(calls.retry(job_id, revive))

    def discard(self, job_id: JobId) -> bool:
        """Give up on the retries of a failed job; False when its state forbids it."""
        return self._send(calls.control(job_id, "discard"))

    def stop(self, job_id: JobId) -> bool:
        """Ask a processing job to stop; False when its state forbids it."""
        return self._send(calls.control(job_id, "stop"))

    def get_status(self, job_id: JobId) -> JobStatus | None:
        """Return the state, the timing and the outcome of a job, or None for an unknown id.

        Unknown is what the API answers 404 for. A 404 of anybody else is FlareApiError.
        """
        return self._send(calls.get_status(job_id))

    def list_jobs(
        self,
        *,
        state: str | Iterable[str] | None = None,
        queue: str | None = None,
        job_type: str | None = None,
        tags: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> JobPage:
        """Return one page of jobs, newest first; a page's `next_cursor` goes on where it ended."""
        return self._send(
            calls.list_jobs(
                state=state,
                queue=queue,
                job_type=job_type,
                tags=tags,
                created_after=created_after,
                created_before=created_before,
                limit=limit,
                cursor=cursor,
            )
        )

    def explain(self, job_id: JobId) -> Explanation:
        """Say why the job is not running."""
        return self._send(calls.explain(job_id))

    def pause_queue(self, name: str) -> bool:
        """Let no job of the queue start until it is resumed; return whether this changed anything."""
        return self._send(calls.switch_queue(name, "pause"))

    def resume_queue(self, name: str) -> bool:
        """Let the jobs of a paused queue start again; return whether this changed anything."""
        return self._send(calls.switch_queue(name, "resume"))

    def _send(self, call: Call[T] | Known[T]) -> T:
        if isinstance(call, Known):
            return call.value
        repeats = Repeats()
        reply = self._try(call)
        while (pause := repeats.pause(reply)) is not None:
            self._sleep(pause)
            reply = self._try(call)
        return call.read(reply)

    def _try(self, call: Call[Any]) -> Reply:
        try:
            return replied(call, self._http.send(self._request(call)))
        except httpx.RequestError as error:
            return unanswered(call, error)
