"""Which outcome the end of a handler is: a table."""

import asyncio
from datetime import timedelta

import pytest
from django.db import OperationalError

from django_flare import Discard, Retry, Snooze
from django_flare.errors import FlarePayloadError, JobCancelled, JobTimeout
from django_flare.states import Event
from django_flare.worker.runs import EndReason, failure, overrun, success, unstarted
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


def is_heed(error):
    """Tell whether this is how a handler leaves that does as it is told."""
    return isinstance(error, asyncio.CancelledError) and not isinstance(error, JobTimeout)


@pytest.mark.parametrize(("error", "event", "delay", "summary"), WISHES, ids=lambda each: repr(each)[:40])
@pytest.mark.parametrize("reason", [None, EndReason.STOP, EndReason.LEASE_LOST])
def test_what_a_handler_raises(error, event, delay, summary, reason):
    run = make_run()
    if reason:
        run.tell_to_end(reason)
    if reason is EndReason.STOP and is_heed(error):
        event, summary = Event.STOPPED, None
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


QUERY_CANCELLED = OperationalError("canceling statement due to user request")


@pytest.mark.parametrize(
    ("reason", "event", "timed_out"),
    [
        (EndReason.STOP, Event.STOPPED, False),
        (EndReason.SHUTDOWN, Event.RELEASE, False),
        (EndReason.TIMEOUT, Event.FAIL, True),
        (EndReason.LEASE_LOST, Event.FAIL, False),
    ],
)
def test_the_error_of_a_query_that_we_cancelled_is_what_we_told(reason, event, timed_out):
    run = make_run()
    run.tell_to_end(reason)
    assert failure(run, QUERY_CANCELLED).timed_out == (reason is EndReason.TIMEOUT)
    run.query_cancelled_at = 1.0
    outcome = failure(run, QUERY_CANCELLED)
    assert (outcome.event, outcome.timed_out) == (event, timed_out)
    if timed_out:
        assert outcome.failure.summary == TIMED_OUT
        assert "canceling statement" in outcome.failure.traceback


def test_without_a_cancel_of_ours_an_error_of_the_database_is_the_handlers():
    run = make_run()
    run.tell_to_end(EndReason.STOP)
    outcome = failure(run, QUERY_CANCELLED)
    assert (outcome.event, outcome.failure.summary) == (Event.FAIL, f"OperationalError: {QUERY_CANCELLED}")


@pytest.mark.parametrize(
    ("reason", "event"),
    [
        (None, None),
        (EndReason.TIMEOUT, None),
        (EndReason.STOP, Event.STOPPED),
        (EndReason.SHUTDOWN, Event.RELEASE),
        (EndReason.LEASE_LOST, Event.RELEASE),
    ],
)
def test_a_run_that_was_told_before_its_start_has_an_outcome(reason, event):
    run = make_run()
    if reason:
        run.tell_to_end(reason)
    outcome = unstarted(run)
    assert (outcome and outcome.event) == event


class TestMustEnd:
    def test_nobody_makes_a_run_end_that_has_not_begun(self):
        run = make_run()
        run.tell_to_end(EndReason.STOP)
        assert run.must_end is None

    def test_at_its_deadline(self):
        run = make_run()
        run.start()
        assert run.must_end == (run.started_at + 30, EndReason.TIMEOUT)
        assert run.interruption is JobTimeout

    def test_from_when_the_worker_learned_of_a_stop_and_not_from_later_beats(self):
        run = make_run()
        run.start()
        run.tell_to_end(EndReason.STOP)
        since, reason = run.must_end
        assert run.started_at <= since < run.started_at + 30
        assert (reason, run.interruption) == (EndReason.STOP, JobCancelled)
        run.tell_to_end(EndReason.STOP)
        assert run.must_end == (since, reason)

    def test_a_stop_after_the_deadline_leaves_the_timeout(self):
        run = make_run()
        run.start()
        run.started_at -= 60
        run.tell_to_end(EndReason.TIMEOUT)
        run.tell_to_end(EndReason.STOP)
        assert run.must_end == (run.started_at + 30, EndReason.TIMEOUT)
        assert run.interruption is JobTimeout

    def test_a_stop_is_learned_also_while_the_worker_ends(self):
        run = make_run()
        run.start()
        run.tell_to_end(EndReason.SHUTDOWN)
        run.tell_to_end(EndReason.STOP)
        assert (run.end_reason, run.must_end[1]) == (EndReason.SHUTDOWN, EndReason.STOP)


def test_an_overrun_after_a_stop_is_stopped():
    run = make_run()
    run.start()
    run.tell_to_end(EndReason.STOP)
    outcome = overrun(run)
    assert (outcome.event, outcome.failure, outcome.timed_out) == (Event.STOPPED, None, False)


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
