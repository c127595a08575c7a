"""The one event loop on which a worker's async handlers run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from types import coroutine as driven
from typing import TYPE_CHECKING, Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from django_flare.worker.connections import drop_connections
from django_flare.worker.queries import Connections, note_connections_of_this_thread

if TYPE_CHECKING:
    from django_flare.worker.runs import Run


class EventLoop:
    """Run coroutines for slots, each in a context of its own; the loop's thread starts with the first."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._loops: dict[Run, asyncio.AbstractEventLoop] = {}
        self._tasks: dict[Run, asyncio.Task[Any]] = {}

    def wait_for(self, coroutine: Coroutine[Any, Any, Any], run: Run) -> Any:
        """Run `coroutine` on the loop and block for its value; raises what it raises."""
        loop = self._enter(run)
        try:
            value, error = asyncio.run_coroutine_threadsafe(self._guarded(coroutine, run), loop).result()
        finally:
            self._leave(run)
        if error is not None:
            raise error
        return value

    def cancel(self, run: Run) -> None:
        """Raise the interruption of a run, which is marked as interrupted, where its coroutine awaits."""
        task = self._tasks.get(run)
        if task is not None:
            _tell(task.get_loop(), self._cancel, run)

    def renew(self, run: Run) -> None:
        """Let coroutines from now on run on a new loop, unless that of `run` is an older one already.

        The old loop ends with the last run on it.
        """
        with self._lock:
            if self._loops.get(run) is self._loop:
                self._loop = None

    def stop(self) -> None:
        """End the loop; coroutines that still run stay where they are."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            _tell(loop, loop.stop)

    def _cancel(self, run: Run) -> None:
        # Looked up again: what follows the handler's end is not to be cancelled.
        task = self._tasks.get(run)
        if task is not None:
            task.cancel()

    async def _guarded(
        self, coroutine: Coroutine[Any, Any, Any], run: Run
    ) -> tuple[Any, BaseException | None]:
        # What leaves a task as SystemExit or KeyboardInterrupt would end the loop for everybody.
        return await asyncio.ensure_future(self._in_own_context(coroutine, run))

    async def _in_own_context(
        self, coroutine: Coroutine[Any, Any, Any], run: Run
    ) -> tuple[Any, BaseException | None]:
        """Await with a thread for `sync_to_async`, and thus ORM connections, that no other run shares."""
        thread = _OwnThread(run.connections)
        async with ThreadSensitiveContext() as context:
            SyncToAsync.context_to_thread_executor[context] = thread
            try:
                return await self._listed(coroutine, run), None
            except BaseException as error:
                return None, error
            finally:
                # Only then has it a thread; and then its last work is awaited here, not by leaving the
                # context, which would hold up the loop.
                if thread.is_used:
                    await sync_to_async(drop_connections)()

    async def _listed(self, coroutine: Coroutine[Any, Any, Any], run: Run) -> Any:
        if task := asyncio.current_task():
            self._tasks[run] = task
        try:
            return await _told(coroutine, run)
        finally:
            del self._tasks[run]

    def _enter(self, run: Run) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = _start()
            self._loops[run] = self._loop
            return self._loop

    def _leave(self, run: Run) -> None:
        with self._lock:
            loop = self._loops.pop(run)
            is_over = loop is not self._loop and loop not in self._loops.values()
        if is_over:
            _tell(loop, loop.stop)


class _OwnThread(ThreadPoolExecutor):
    """The thread in which the sync code goes on that a coroutine awaits, and its connections are known."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(1, initializer=note_connections_of_this_thread, initargs=(connections,))
        self.is_used = False

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.is_used = True
        return super().submit(*args, **kwargs)


def _start() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    try:
        threading.Thread(target=_run, args=[loop], name="flare-loop", daemon=True).start()
    except RuntimeError:
        loop.close()
        raise
    return loop


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., object], *about: object) -> None:
    # One that has ended and was closed meanwhile has nothing more to do.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *about)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, whatever the tasks raise that handlers have started on it."""
    while True:
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            # The task has it too, and passes it on to whoever awaits it (F48).
            continue
        break
    if not asyncio.all_tasks(loop):
        # Otherwise threads that its coroutines have started may still turn to it.
        loop.close()


@driven
def _told(coroutine: Coroutine[Any, Any, Any], run: Run) -> Generator[Any, Any, Any]:
    """Await `coroutine`; the cancellation of an interrupted run is raised in it as what it means."""
    step: Callable[[Any], Any] = coroutine.send
    argument: Any = None
    if run.is_interrupted:
        step, argument = coroutine.throw, run.interruption()
    while True:
        try:
            awaited = step(argument)
        except StopIteration as end:
            return end.value
        try:
            step, argument = coroutine.send, (yield awaited)
        except BaseException as error:
            is_ours = run.is_interrupted and isinstance(error, asyncio.CancelledError)
            step, argument = coroutine.throw, run.interruption() if is_ours else error
