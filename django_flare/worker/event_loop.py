"""The one event loop on which a worker's async handlers run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from django_flare.worker.connections import drop_connections

if TYPE_CHECKING:
    from django_flare.worker.runs import Run


class EventLoop:
    """Run coroutines for slots, each in a context of its own; the loop's thread starts with the first."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._tasks: dict[Run, asyncio.Task[Any]] = {}
        self._cancelled: set[Run] = set()

    def wait_for(self, coroutine: Coroutine[Any, Any, Any], run: Run) -> Any:
        """Run `coroutine` on the loop and block for its value; raises what it raises."""
        future = asyncio.run_coroutine_threadsafe(self._guarded(coroutine, run), self._started())
        value, error = future.result()
        if error is not None:
            raise error
        return value

    def cancel(self, run: Run) -> None:
        """Cancel the run's coroutine, now or at its start: CancelledError is raised where it awaits."""
        self._cancelled.add(run)
        task = self._tasks.get(run)
        if task is not None:
            task.get_loop().call_soon_threadsafe(task.cancel)

    def renew(self) -> None:
        """Let coroutines from now on run on a new loop, beside those that still run on this one."""
        with self._lock:
            self._loop = None

    def stop(self) -> None:
        """End the loop; coroutines that still run stay where they are."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    async def _guarded(
        self, coroutine: Coroutine[Any, Any, Any], run: Run
    ) -> tuple[Any, BaseException | None]:
        # What leaves a task as SystemExit or KeyboardInterrupt would end the loop for everybody.
        self._tasks[run] = task = asyncio.ensure_future(_in_own_context(coroutine))
        if run in self._cancelled:
            task.cancel()
        try:
            return await task
        finally:
            del self._tasks[run]
            self._cancelled.discard(run)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=[self._loop], name="flare-loop", daemon=True).start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, whatever the tasks raise that handlers have started on it."""
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            # The task has it too, and passes it on to whoever awaits it (F48).
            continue
        return


async def _in_own_context(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    """Await with a thread for `sync_to_async`, and thus ORM connections, that no other run shares."""
    async with ThreadSensitiveContext() as context:
        try:
            return await coroutine, None
        except BaseException as error:
            return None, error
        finally:
            if context in SyncToAsync.context_to_thread_executor:
                await sync_to_async(drop_connections)()
