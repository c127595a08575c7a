"""Recording a failure never fails, whatever the exception is (spec, section 6; F52, F48, F53)."""

import json
import time

import pytest

from django_flare import JobState, jobs
from django_flare.lifecycle import finish
from django_flare.lifecycle.failures import MESSAGE_BYTES, TRACEBACK_BYTES, cut, describe, printable
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Attempt
from django_flare.states import AttemptOutcome, Event
from tests.lifecycle.nasty_errors import NASTY_ERRORS
from tests.support import USING, Driver, make_job, row
from tests.testapp.jobs import once

KIB = 1024


def test_the_bounds_are_those_of_the_specification():
    assert (MESSAGE_BYTES, TRACEBACK_BYTES) == (2 * KIB, 64 * KIB)


def is_storable(text):
    return type(text) is str and "\x00" not in text and text.encode().decode() == text


@pytest.mark.parametrize("name", NASTY_ERRORS)
def test_any_exception_can_be_described(name):
    error = NASTY_ERRORS[name]()
    started = time.monotonic()
    failure = describe(error)
    assert time.monotonic() - started < 2
    for text in (failure.error_class, failure.message, failure.traceback, failure.summary):
        assert is_storable(text)
    assert len(failure.error_class) <= 255
    assert len(failure.message.encode()) <= 2 * KIB
    assert len(failure.summary.encode()) <= 2 * KIB
    assert len(failure.traceback.encode()) <= 64 * KIB
    assert failure.error_class
    assert failure.summary
    assert failure.traceback


def test_a_class_with_a_long_name_is_cut_to_its_column():
    kind = type("x" * 300, (Exception,), {"__module__": "m"})
    assert describe(kind()).error_class == "m." + "x" * 253


def test_a_described_exception_is_readable():
    try:
        {}["missing"]
    except KeyError as error:
        failure = describe(error)
    assert (failure.error_class, failure.message) == ("builtins.KeyError", "'missing'")
    assert failure.summary == "KeyError: 'missing'"
    assert 'in test_a_described_exception_is_readable\n    {}["missing"]' in failure.traceback


def test_an_exception_without_a_message_is_summed_up_by_its_name():
    assert describe(ValueError()).summary == "ValueError"


def test_the_cause_stands_in_the_traceback():
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    assert "KeyError: 'inner'" in describe(error).traceback


def test_nul_and_surrogates_are_replaced_and_the_rest_stays():
    assert printable("a\x00b\ud800c") == "a\ufffdb?c"


@pytest.mark.parametrize("letter", ["a", "é", "€", "💥"])
@pytest.mark.parametrize("limit", [100, 2 * KIB, 64 * KIB])
@pytest.mark.parametrize("shift", range(4))
def test_a_long_text_is_cut_in_the_middle_on_whole_characters(letter, limit, shift):
    text = "s" * shift + "HEAD" + letter * limit + "TAIL"
    short = cut(text, limit)
    # But for half a character on each side, and a number that is shorter than the room for it.
    assert limit - 16 < len(short.encode()) <= limit
    assert short.startswith("s" * shift + "HEAD")
    assert short.endswith("TAIL")
    assert "cut" in short
    assert set(short) - set(short[short.index("\n") : short.rindex("\n") + 1]) <= set(text)


@pytest.mark.parametrize("length", [64 * KIB - 1, 64 * KIB])
def test_a_text_that_fits_is_left_alone(length):
    assert cut("x" * length, 64 * KIB) == "x" * length


def test_one_byte_too_much_is_cut():
    assert len(cut("x" * (64 * KIB + 1), 64 * KIB).encode()) <= 64 * KIB


def test_the_mark_says_how_much_is_missing():
    text = "x" * 70_000
    short = cut(text, 64 * KIB)
    said = int("".join(letter for letter in short if letter.isdigit()))
    assert said == len(text) - short.count("x")


def test_a_huge_traceback_keeps_its_head_and_its_tail():
    error = ValueError("START" + "x" * 100_000 + "END")
    trace = describe(error).traceback
    assert trace.startswith("ValueError: START")
    assert trace.rstrip().endswith("END")


# On the database


@pytest.fixture
def driver(clock):
    return Driver()


def test_all_of_them_can_be_recorded_in_one_flush(driver):
    ids = {name: make_job(once) for name in NASTY_ERRORS}
    failures = {name: describe(make()) for name, make in NASTY_ERRORS.items()}
    outcomes = [driver.outcome(ids[name], Event.FAIL, failure=failures[name]) for name in ids]
    applied = finish.apply(outcomes, USING)
    assert len(applied.states) == len(ids)
    for name, job in ids.items():
        status = jobs.get_status(job)
        record = Attempt.objects.get(job__public_id=job)
        assert status.state is JobState.DEAD_LETTER
        assert status.error_message == failures[name].summary
        assert json.loads(json.dumps(status.as_dict()))["error_message"] == status.error_message
        assert (record.error_class, record.error_message) == (
            failures[name].error_class,
            failures[name].message,
        )
        assert record.traceback == failures[name].traceback


def test_every_list_can_show_them_afterwards(driver):
    for make in NASTY_ERRORS.values():
        driver.fail(make_job(), make())
    page = jobs.list_jobs(limit=100)
    assert {status.state for status in page.jobs} == {JobState.FAILED}
    assert all(status.error_message for status in page.jobs)


def test_a_failed_attempt_is_recorded(driver, clock):
    job = make_job()
    started = clock.now
    run = driver.start(job)
    clock.advance(7)
    driver.fail(job, KeyError("lost"))
    (record,) = row(job).attempts.all()
    assert (record.number, record.fence, record.worker_id) == (1, run.fence, driver.worker_id)
    assert (record.started_at, record.ended_at) == (started, clock.now)
    assert (record.outcome, record.error_class) == (AttemptOutcome.FAILED, "builtins.KeyError")


def test_timed_out_and_lost_runs_are_recorded_as_such(driver):
    job = make_job(max_attempts=5)
    driver.fail(job, TimeoutError(), timed_out=True)
    jobs.retry(job)
    driver.lose(job)
    outcomes = list(row(job).attempts.values_list("outcome", flat=True))
    assert outcomes == [AttemptOutcome.LOST, AttemptOutcome.TIMED_OUT]


@pytest.mark.parametrize("step", ["succeed", "snooze", "release"])
def test_other_endings_leave_no_record(step, driver):
    getattr(driver, step)(make_job())
    assert not Attempt.objects.exists()


def test_the_newest_twenty_are_kept(driver, clock):
    job = make_job(max_attempts=100)
    for _ in range(23):
        driver.fail(job)
        jobs.retry(job)
    fences = list(row(job).attempts.values_list("fence", flat=True))
    assert fences == list(range(23, 3, -1))


def test_other_jobs_records_are_left_alone(driver):
    other = make_job(max_attempts=100)
    driver.fail(other)
    job = make_job(max_attempts=100)
    for _ in range(22):
        driver.fail(job)
        jobs.retry(job)
    assert (row(other).attempts.count(), row(job).attempts.count()) == (1, 20)


def test_releases_between_do_not_use_up_the_twenty(driver):
    job = make_job(max_attempts=100)
    for _ in range(12):
        driver.fail(job)
        jobs.retry(job)
        driver.release(job)
    assert row(job).attempts.count() == 12


def test_a_lone_outcome_of_every_kind_can_be_written(driver):
    for event in (Event.SUCCEED, Event.FAIL, Event.EXHAUST, Event.LOSE, Event.RELEASE, Event.SNOOZE):
        run = driver.start(make_job())
        applied = finish.apply([Outcome(id=run.id, fence=run.fence, event=event)], USING)
        assert len(applied.states) == 1
