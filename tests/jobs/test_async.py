"""Each verb has a twin for coroutines (spec, section 4)."""

import inspect
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from django_flare import FlareNotFoundError, FlareOptionError, JobState, jobs
from tests.support import Driver, make_job, state, states
from tests.testapp.jobs import plain

VERBS = sorted(
    name
    for name in jobs.__all__
    if inspect.isfunction(getattr(jobs, name)) and not inspect.iscoroutinefunction(getattr(jobs, name))
    if not name.startswith("submit")
)


def test_the_verbs_are_those_of_the_specification():
    assert {
        "cancel",
        "continue_with",
        "discard",
        "enqueue",
        "enqueue_many",
        "explain",
        "get_status",
        "list_jobs",
        "pause_queue",
        "resume_queue",
        "retry",
        "schedule",
        "stop",
    } <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_a_twin_with_its_signature(verb):
    twin = getattr(jobs, f"a{verb}")
    assert inspect.iscoroutinefunction(twin)
    assert inspect.signature(twin) == inspect.signature(getattr(jobs, verb))
    assert (twin.__name__, twin.__doc__) == (f"a{verb}", getattr(jobs, verb).__doc__)


@pytest.mark.django_db(transaction=True)
def test_the_twins_do_what_the_verbs_do(clock):
    async def story():
        first = await jobs.aenqueue(plain, {"a": 1}, queue="first")
        many = await jobs.aenqueue_many(plain, [{"n": 1}, {"n": 2}])
        child = await jobs.acontinue_with([first, *many], plain)
        later = await jobs.aschedule(plain, when=timedelta(hours=1))
        assert (await jobs.aget_status(first)).payload == {"a": 1}
        page = await jobs.alist_jobs(limit=2)
        assert [status.job_id for status in page.jobs] == [later, child]
        assert await jobs.acancel(later) is True
        assert await jobs.acancel(later) is False
        return first, child

    first, child = async_to_sync(story)()
    driver = Driver()
    running = make_job()
    assert async_to_sync(jobs.astop)(running) is False
    driver.start(running)
    assert async_to_sync(jobs.astop)(running) is True
    driver.fail(first)
    assert async_to_sync(jobs.adiscard)(first) is True
    assert states(first, child) == [JobState.DEAD_LETTER, JobState.CANCELLED]
    assert async_to_sync(jobs.aretry)(first, revive=True) is True
    assert states(first, child) == [JobState.PENDING, JobState.SCHEDULED]


@pytest.mark.django_db(transaction=True)
def test_the_twins_raise_what_the_verbs_raise():
    with pytest.raises(FlareOptionError, match="priority"):
        async_to_sync(jobs.aenqueue)(plain, priority=1000)
    with pytest.raises(FlareNotFoundError):
        async_to_sync(jobs.acancel)("unknown")
    assert async_to_sync(jobs.aget_status)("unknown") is None


@pytest.mark.django_db(transaction=True)
def test_a_twin_joins_the_transaction_of_the_thread_that_django_keeps():
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        job = async_to_sync(jobs.aenqueue)(plain)
        assert state(job) is JobState.PENDING
        1 / 0  # noqa: B018
    assert jobs.get_status(job) is None


@pytest.mark.django_db(transaction=True)
def test_a_verb_may_be_called_between_twins():
    job = make_job()

    async def both():
        return await jobs.acancel(job)

    assert async_to_sync(both)() is True
    assert jobs.cancel(job) is False
