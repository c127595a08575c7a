import logging

import pytest

from django_flare.lifecycle.failures import describe
from django_flare.states import Event, JobState
from django_flare.worker import reports
from django_flare.worker.reports import one_line
from tests.worker.support import make_run


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcödé", "plain text, ünïcödé"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("nul\x00", "nul\\x00"),
        ("line\u2028separator", "line\\u2028separator"),
        ("right\u202eleft", "right\\u202eleft"),
        ("lone \ud800", "lone \\ud800"),
        ("x" * 600, "x" * 500),
    ],
)
def test_a_message_stays_on_its_line(text, shown):
    assert one_line(text) == shown
    assert len(one_line(text).splitlines()) <= 1


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (JobState.SUCCEEDED, logging.DEBUG),
        (JobState.PENDING, logging.DEBUG),
        (JobState.SCHEDULED, logging.DEBUG),
        (JobState.FAILED, logging.WARNING),
        (JobState.DEAD_LETTER, logging.WARNING),
        (JobState.CANCELLED, logging.WARNING),
    ],
)
def test_only_what_somebody_should_look_at_is_a_warning(caplog, state, level):
    run = make_run()
    run.finish(run.outcome_of(Event.FAIL, failure=describe(ValueError("first\nsecond"))))
    with caplog.at_level(logging.DEBUG, "django_flare.worker"):
        reports.finished(run, state, lambda notice: None)
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage().endswith(f": {state} (ValueError: first\\nsecond)")
    assert (record.job_id, record.job_type, record.queue, record.attempt) == (
        "00000000-0000-0000-0000-000000000007",
        "worker.idle",
        "stage",
        1,
    )


def test_a_lost_lease_is_logged_with_the_job(caplog):
    reports.lost_lease(make_run())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.job_id == "00000000-0000-0000-0000-000000000007"
