import logging

import pytest

from django_flare.lifecycle.failures import describe
from django_flare.states import Event, JobState
from django_flare.worker import reports
from tests.worker.support import make_run


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (JobState.SUCCEEDED, logging.DEBUG),
        (JobState.PENDING, logging.DEBUG),
        (JobState.SCHEDULED, logging.DEBUG),
        (JobState.FAILED, logging.WARNING),
        (JobState.DEAD_LETTER, logging.ERROR),
        (JobState.CANCELLED, logging.INFO),
    ],
)
def test_the_level_says_who_should_look_at_it(caplog, state, level):
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
    assert (record.state, record.duration, record.worker_id) == (state, 0.0, "")


def test_a_long_message_is_cut(caplog):
    run = make_run()
    run.finish(run.outcome_of(Event.FAIL, failure=describe(ValueError("x" * 5000))))
    reports.finished(run, JobState.FAILED, lambda notice: None)
    assert len(caplog.records[0].getMessage()) < 700


def test_a_success_costs_no_log_call(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "django_flare.worker")
    monkeypatch.setattr(reports, "fields", None)
    monkeypatch.setattr(reports, "_sentence", None)
    run = make_run()
    run.finish(run.outcome_of(Event.SUCCEED))
    reports.finished(run, JobState.SUCCEEDED, lambda notice: None)
    assert not caplog.records


def test_a_lost_lease_is_logged_with_the_job(caplog):
    reports.lost_lease(make_run())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.job_id == "00000000-0000-0000-0000-000000000007"
