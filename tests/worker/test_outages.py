"""Riding out an outage: the pauses, the words, and what an unknown error becomes. F33, F36."""

import contextlib
import logging

import pytest
from django.db import OperationalError, ProgrammingError, connection

from django_flare import jobs
from django_flare.store.faults import UNKNOWN_TRIES
from django_flare.worker.options import WorkerOptions
from django_flare.worker.outages import Outage
from django_flare.worker.service import WorkerService
from tests.support import row
from tests.worker.support import idle


def test_the_first_failure_is_said_and_the_end(caplog):
    outage = Outage()
    with caplog.at_level(logging.INFO, "django_flare.worker"):
        outage.end()
        for _ in range(5):
            outage.note(OperationalError("gone"))
        outage.end()
        outage.note(ProgrammingError("no such table"))
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0] == "The database does not answer; going on when it does: gone"
    assert messages[1].startswith("Went on after ")
    assert messages[2:] == ["The database refuses what the worker needs; trying again"]


def test_one_that_was_logged_already_is_only_counted(caplog):
    outage = Outage()
    outage.note(None)
    assert (outage.failures, caplog.text) == (1, "")


def test_pauses_grow_to_five_seconds_and_no_further():
    outage = Outage()
    longest = []
    for _ in range(100):
        outage.note(None)
        pauses = [outage.pause for _ in range(200)]
        assert 0.1 <= min(pauses) <= max(pauses) <= 5.0
        longest.append(max(pauses))
    assert longest[0] <= 0.4
    assert longest[2] <= 1.6
    assert max(longest[5:]) > 4


@contextlib.contextmanager
def _refusing(sqlstate, condition="NEW.state = 'succeeded'", times=10**6):
    """Let the database refuse what meets the condition, the first few times, and count it."""
    _execute(
        "CREATE SEQUENCE refusals",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('refusals') <= {times} THEN RAISE EXCEPTION 'odd' USING ERRCODE = '{sqlstate}'; END IF;"
        " RETURN NEW; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON django_flare_job FOR EACH ROW"
        f" WHEN ({condition}) EXECUTE FUNCTION refuse()",
    )
    try:
        yield
    finally:
        _execute("DROP TRIGGER refuse ON django_flare_job", "DROP FUNCTION refuse", "DROP SEQUENCE refusals")


def _execute(*statements):
    with connection.cursor() as cursor:
        for each in statements:
            cursor.execute(each)


def _value_of_sequence():
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM refusals")
        return cursor.fetchone()[0]


on_postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="a trigger chooses the SQLSTATE"
)


@pytest.mark.django_db(transaction=True)
@on_postgresql
@pytest.mark.parametrize(
    "sqlstate", ["53100", "25006", "57P03"], ids=["disk full", "read-only", "starting up"]
)
def test_an_outcome_waits_until_an_outage_is_over(sqlstate):
    tries = UNKNOWN_TRIES + 2
    with _refusing(sqlstate, times=tries):
        job = jobs.enqueue(idle, {}, max_attempts=1)
        assert WorkerService(WorkerOptions(burst=True, concurrency=1)).run()
        assert _value_of_sequence() == tries + 1
    assert (row(job).state, row(job).attempt, row(job).fence) == ("succeeded", 1, 1)


@pytest.mark.django_db(transaction=True)
@on_postgresql
def test_of_many_outcomes_the_one_that_is_refused_fails_alone():
    good = jobs.enqueue_many(idle, [{}] * 20)
    bad = jobs.enqueue(idle, {}, max_attempts=1)
    with _refusing("22000", f"NEW.state = 'succeeded' AND NEW.id = {row(bad).pk}"):
        assert WorkerService(WorkerOptions(burst=True)).run()
    assert {(row(job).state, row(job).attempt) for job in good} == {("succeeded", 1)}
    assert row(bad).state == "dead_letter"


@pytest.mark.django_db(transaction=True)
@on_postgresql
def test_an_unknown_error_is_tried_again_a_few_times_and_then_fails_the_attempt():
    with _refusing("XX000"):
        bad = jobs.enqueue(idle, {}, max_attempts=1)
        assert WorkerService(WorkerOptions(burst=True, concurrency=1)).run()
        tries = _value_of_sequence()
    assert row(bad).state == "dead_letter"
    assert "could not be recorded" in row(bad).error_message
    # Each time with the others, the last time once more alone.
    assert tries == UNKNOWN_TRIES + 2
