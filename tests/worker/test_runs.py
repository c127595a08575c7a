"""Which outcome the end of a handler is: a table."""

import asyncio
from datetime import timedelta

import pytest

from django_flare import Discard, Retry, Snooze
from django_flare.errors import FlarePayloadError, JobCancelled, JobTimeout
from django_flare.states import Event
from django_flare.worker.runs import EndReason, failure, overrun, success
from tests.worker.support import make_run

TIMED_OUT = "JobTimeout: the attempt ran longer than its timeout of 0:00:30"


class Odd(BaseException): ...


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (0, "0"),
        (False, "false"),
        ("", '""'),
        ({"a": [1, (2, 3)]}, '{"a":[1,[2,3]]}'),
        ([], "[]"),
    ],
)
def test_a_json_value_is_kept(value, text):
    outcome = success(make_run(), value)
    assert (outcome.event, outcome.result, outcome.result_error, outcome.failure) == (
        Event.SUCCEED,
        text,
        "",
        None,
    )


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "object is not a JSON type"),
        ({1: "a"}, "a key is int"),
        (float("nan"), "nan is not JSON"),
        ("a\0", "a NUL character"),
        ("\ud800", "a lone surrogate"),
        (2**64, "an integer beyond 64 bits"),
        ("x" * (2**20 + 1), "at most 1048576 bytes"),
        (b"bytes", "bytes is not a JSON type"),
        ((n for n in ()), "generator is not a JSON type"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:20],
)
def test_a_value_that_cannot_be_kept_does_not_undo_finished_work(value, why):
    """F53"""
    outcome = success(make_run(), value)
    assert (outcome.event, outcome.result, outcome.failure) == (Event.SUCCEED, None, None)
    assert why in outcome.result_error


WISHES = [
    # (raised, event, delay, what the failure's summary begins with)
    (ValueError("boom"), Event.FAIL, None, "ValueError: boom"),
    (Odd("odd"), Event.FAIL, None, "Odd: odd"),
    (SystemExit(0), Event.FAIL, None, "SystemExit: 0"),
    (KeyboardInterrupt(), Event.FAIL, None, "KeyboardInterrupt"),
    (GeneratorExit(), Event.FAIL, None, "GeneratorExit"),
    (asyncio.CancelledError(), Event.FAIL, None, "CancelledError"),
    (JobCancelled("mine"), Event.FAIL, None, "JobCancelled: mine"),
    (JobTimeout(), Event.FAIL, None, "JobTimeout"),
    (FlarePayloadError("payload: misfit"), Event.FAIL, None, "FlarePayloadError: payload: misfit"),
    (Retry(), Event.FAIL, None, "Retry"),
    (Retry(0), Event.FAIL, 0, "Retry"),
    (Retry(1.5), Event.FAIL, 1.5, "Retry"),
    (Retry(timedelta(minutes=1)), Event.FAIL, 60, "Retry"),
    (Discard("no use"), Event.EXHAUST, None, "Discard: no use"),
    (Snooze(5), Event.SNOOZE, 5, None),
    (Snooze(timedelta(hours=1)), Event.SNOOZE, 3600, None),
    # A wish that cannot be granted fails the attempt, saying why.
    (Snooze("soon"), Event.FAIL, None, ""),
    (Snooze(-1), Event.FAIL, None, ""),
    (Snooze(float("nan")), Event.FAIL, None, ""),
    (Snooze(None), Event.FAIL, None, ""),
    (Retry("soon"), Event.FAIL, None, ""),
    (Retry(10**30), Event.FAIL, None, ""),
]


@pytest.mark.parametrize(("error", "event", "delay", "summary"), WISHES, ids=lambda each: repr(each)[:40])
@pytest.mark.parametrize("reason", [None, EndReason.STOP, EndReason.LEASE_LOST])
def test_what_a_handler_raises(error, event, delay, summary, reason):
    run = make_run()
    if reason:
        run.tell_to_end(reason)
    outcome = failure(run, error)
    assert (outcome.id, outcome.fence, outcome.event, outcome.delay) == (7, 4, event, delay)
    # A deadline that passes after another reason to end has come is a timeout all the same.
    assert outcome.timed_out == (reason is not None and isinstance(error, JobTimeout))
    if summary is None:
        assert outcome.failure is None
    else:
        assert outcome.failure.summary.startswith(summary)
        assert outcome.failure.summary


@pytest.mark.parametrize("error", [each[0] for each in WISHES], ids=lambda each: repr(each)[:40])
def test_after_the_deadline_all_but_a_return_is_a_timed_out_attempt(error):
    """Also a snooze, which would give the attempt back, and a discard."""
    run = make_run()
    run.tell_to_end(EndReason.TIMEOUT)
    outcome = failure(run, error)
    assert (outcome.event, outcome.delay, outcome.timed_out) == (Event.FAIL, None, True)
    assert outcome.failure
    # A return within the grace is a success.
    assert success(run, 1).event is Event.SUCCEED


@pytest.mark.parametrize("error", [JobTimeout(), JobCancelled("timeout"), asyncio.CancelledError()], ids=repr)
def test_what_we_raised_in_it_is_told_as_a_timeout(error):
    run = make_run()
    run.tell_to_end(EndReason.TIMEOUT)
    assert failure(run, error).failure.summary == TIMED_OUT


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (JobCancelled("shutdown"), Event.RELEASE),
        (asyncio.CancelledError(), Event.RELEASE),
        (ValueError("boom"), Event.FAIL),
        (Snooze(1), Event.SNOOZE),
        (Discard("no"), Event.EXHAUST),
    ],
)
def test_at_shutdown_a_job_that_heeds_its_token_is_released(error, event):
    run = make_run()
    run.tell_to_end(EndReason.SHUTDOWN)
    assert failure(run, error).event is event


def test_the_first_reason_to_end_stays():
    run = make_run()
    run.tell_to_end(EndReason.STOP)
    run.tell_to_end(EndReason.TIMEOUT)
    assert (run.end_reason, run.token.reason) == (EndReason.STOP, "stop")


def test_an_overrun_is_a_timed_out_attempt():
    outcome = overrun(make_run())
    assert (outcome.event, outcome.timed_out) == (Event.FAIL, True)
    assert outcome.failure.summary.startswith(TIMED_OUT)


def test_an_outcome_carries_the_progress():
    run = make_run()
    run.progress.report(0.3)
    assert failure(run, ValueError()).progress == 0.3


def test_what_a_handler_gets():
    from tests.testapp.jobs import plain

    payload, ctx = make_run(plain).arguments("default")
    assert payload == {"name": "a"}
    assert (ctx.job_id, ctx.queue, ctx.attempt_number, ctx.max_attempts) == (
        "00000000-0000-0000-0000-000000000007",
        "stage",
        1,
        3,
    )
    assert ctx.tags == {"team": "blue"}
    assert ctx.parents == ()
    assert not ctx.is_cancelled


@pytest.mark.parametrize("payload", ["not json", "[]", "7", "null"])
def test_a_payload_that_is_none_is_a_misfit_of_this_run_alone(payload):
    """F56, F58"""
    with pytest.raises(FlarePayloadError):
        make_run(payload=payload).arguments("default")
