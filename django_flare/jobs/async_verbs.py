"""The verbs for coroutines: each runs its twin in the thread that Django keeps for the ORM."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from django_flare.jobs import explanations, queues, reading, verbs

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _twin(verb: Callable[Arguments, Result]) -> Callable[Arguments, Coroutine[Any, Any, Result]]:
    @wraps(verb)
    async def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return await sync_to_async(verb)(*args, **kwargs)

    run.__name__ = run.__qualname__ = f"a{verb.__name__}"
    return run


aenqueue = _twin(verbs.enqueue)
aschedule = _twin(verbs.schedule)
acontinue_with = _twin(verbs.continue_with)
aenqueue_many = _twin(verbs.enqueue_many)
acancel = _twin(verbs.cancel)
aretry = _twin(verbs.retry)
adiscard = _twin(verbs.discard)
astop = _twin(verbs.stop)
aget_status = _twin(reading.get_status)
alist_jobs = _twin(reading.list_jobs)
aexplain = _twin(explanations.explain)
apause_queue = _twin(queues.pause_queue)
aresume_queue = _twin(queues.resume_queue)
