"""The client for coroutines; what it sends and how it reads the answers is that of the other one."""

from __future__ import annotations

import asyncio
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


class AsyncFlareClient(Access[httpx.AsyncClient]):
    """Do what `FlareClient` does, for coroutines: every verb is awaited, as is `close()`.

    A client belongs to the event loop of asyncio in which it is first used, and its coroutines may share it.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float | timedelta = DEFAULT_TIMEOUT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        address, options = checked_url(base_url), http_options(api_key, timeout)
        super().__init__(address, httpx.AsyncClient(transport=transport, **options))
        self._sleep = asyncio.sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        await self._http.aclose()

    async def enqueue(self, job: str, payload: object = None, **options: Unpack[JobOptions]) -> str:
        """Do as `FlareClient.enqueue`."""
        return await self._send(calls.enqueue(job, payload, options))

    async def schedule(
        self,
        job: str,
        payload: object = None,
        *,
        when: timedelta | datetime,
        **options: Unpack[JobOptions],
    ) -> str:
        """Do as `FlareClient.schedule`."""
        return await self._send(calls.schedule(job, payload, options, when))

    async def continue_with(
        self,
        parents: JobId | Iterable[JobId],
        job: str,
        payload: object = None,
        *,
        when: timedelta | datetime | None = None,
        **options: Unpack[JobOptions],
    ) -> str:
        """Do as `FlareClient.continue_with`."""
        return await self._send(calls.continue_with(parents, job, payload, options, when))

    async def enqueue_many(
        self, job: str, payloads: Iterable[object], **options: Unpack[ManyOptions]
    ) -> list[str]:
        """Do as `FlareClient.enqueue_many`."""
        return await self._send(calls.enqueue_many(job, payloads, options))

    async def cancel(self, job_id: JobId) -> bool:
        """Do as `FlareClient.cancel`."""
        return await self._send(calls.control(job_id, "cancel"))

    async def retry(self, job_id: JobId, *, revive: bool = False) -> bool:
        """Do as `FlareClient.retry`."""
        return await self._send(calls.retry(job_id, revive))

    async def discard(self, job_id: JobId) -> bool:
        """Do as `FlareClient.discard`."""
        return await self._send(calls.control(job_id, "discard"))

    async def stop(self, job_id: JobId) -> bool:
        """Do as `FlareClient.stop`."""
        return await self._send(calls.control(job_id, "stop"))

    async def get_status(self, job_id: JobId) -> JobStatus | None:
        """Do as `FlareClient.get_status`."""
        return await self._send(calls.get_status(job_id))

    async def list_jobs(
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
        """Do as `FlareClient.list_jobs`."""
        return await self._send(
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

    async def explain(self, job_id: JobId) -> Explanation:
        """Do as `FlareClient.explain`."""
        return await self._send(calls.explain(job_id))

    async def pause_queue(self, name: str) -> bool:
        """Do as `FlareClient.pause_queue`."""
        return await self._send(calls.switch_queue(name, "pause"))

    async def resume_queue(self, name: str) -> bool:
        """Do as `FlareClient.resume_queue`."""
        return await self._send(calls.switch_queue(name, "resume"))

    async def _send(self, call: Call[T] | Known[T]) -> T:
        if isinstance(call, Known):
            return call.value
        repeats = Repeats()
        reply = await self._try(call)
        while (pause := repeats.pause(reply)) is not None:
            await self._sleep(pause)
            reply = await self._try(call)
        return call.read(reply)

    async def _try(self, call: Call[Any]) -> Reply:
        try:
            return replied(call, await self._http.send(self._request(call)))
        except httpx.RequestError as error:
            return unanswered(call, error)
