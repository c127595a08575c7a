"""What a handler can do with its context."""

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime

import pytest

from django_flare.context import CancelToken, JobContext, Progress
from django_flare.errors import JobCancelled


def make_context(**changes):
    given = {
        "job_id": "job-1",
        "job_type": "shop.order",
        "queue": "orders",
        "attempt_number": 2,
        "max_attempts": 3,
        "created_at": datetime(2024, 1, 1, tzinfo=UTC),
    }
    return JobContext(**{**given, **changes})


@pytest.fixture
def reported():
    """Return a function that reports the given values and returns the progress and its changes."""

    def report(*values):
        changes = []
        progress = Progress(lambda: changes.append(progress.value))
        context = make_context(_progress=progress)
        for value in values:
            context.report_progress(value)
        return progress.value, changes

    return report


@pytest.mark.parametrize(
    ("values", "kept", "changes"),
    [
        ([0.5], 0.5, [0.5]),
        ([0], 0.0, [0.0]),
        ([7], 1.0, [1.0]),
        ([float("inf")], 1.0, [1.0]),
        ([0.2, 0.8, 0.5], 0.8, [0.2, 0.8]),
        ([0.5, 0.5], 0.5, [0.5]),
        ([None, float("nan"), -0.1, float("-inf")], None, []),
        ([0.3, None, float("nan"), -1], 0.3, [0.3]),
    ],
)
def test_progress_only_rises_and_stays_between_0_and_1(reported, values, kept, changes):
    assert reported(*values) == (kept, changes)


def test_a_context_that_nobody_watches_takes_progress_too():
    make_context().report_progress(0.5)


def test_it_starts_uncancelled():
    context = make_context()
    assert context.is_cancelled is False
    context.raise_if_cancelled()


def test_a_set_token_cancels_it():
    context = make_context()
    context._token.set("timeout")
    assert context.is_cancelled is True
    with pytest.raises(JobCancelled, match="timeout"):
        context.raise_if_cancelled()


def test_the_first_reason_stays():
    token = CancelToken()
    token.set("stop")
    token.set("timeout")
    assert token.reason == "stop"


def test_sleep_runs_its_time_when_nothing_happens():
    assert make_context().sleep(0.001) is False


def test_sleep_ends_early_when_the_job_should_end():
    context = make_context()
    threading.Timer(0.01, context._token.set, ["stop"]).start()
    begun = time.monotonic()
    assert context.sleep(60) is True
    assert time.monotonic() - begun < 30


def test_sleep_of_a_cancelled_job_returns_at_once():
    context = make_context()
    context._token.set("stop")
    assert context.sleep(60) is True


def test_asleep_runs_its_time_when_nothing_happens():
    assert asyncio.run(make_context().asleep(0.001)) is False


def test_asleep_ends_early_when_another_thread_cancels():
    context = make_context()
    threading.Timer(0.01, context._token.set, ["stop"]).start()
    assert asyncio.run(asyncio.wait_for(context.asleep(60), 30)) is True


def test_asleep_of_a_cancelled_job_returns_at_once():
    context = make_context()
    context._token.set("stop")
    assert asyncio.run(asyncio.wait_for(context.asleep(60), 30)) is True


def test_several_coroutines_are_woken_by_one_token():
    context = make_context()

    async def sleep_thrice():
        threading.Timer(0.01, context._token.set, ["stop"]).start()
        return await asyncio.wait_for(asyncio.gather(*(context.asleep(60) for _ in range(3))), 30)

    assert asyncio.run(sleep_thrice()) == [True, True, True]


def test_a_sleep_that_is_over_leaves_nothing_behind():
    context = make_context()
    asyncio.run(context.asleep(0.001))
    context._token.set("stop")
    assert context._token._wakers == []


def test_its_logger_knows_the_job(caplog):
    with caplog.at_level(logging.INFO, "django_flare.job"):
        make_context().logger.info("half way")
    (record,) = caplog.records
    assert record.name == "django_flare.job"
    assert (record.job_id, record.job_type, record.queue, record.attempt) == (
        "job-1",
        "shop.order",
        "orders",
        2,
    )


def test_its_logger_keeps_what_a_call_adds(caplog):
    with caplog.at_level(logging.INFO, "django_flare.job"):
        make_context().logger.info("half way", extra={"order": 5, "job_id": "forged"})
    (record,) = caplog.records
    assert (record.order, record.job_id) == (5, "job-1")


def test_parents_are_a_tuple():
    assert make_context().parents == ()
    assert make_context(parents=(("p", 1),)).parents == (("p", 1),)
