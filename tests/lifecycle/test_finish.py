"""What a worker learns when it records outcomes."""

from dataclasses import replace

import pytest
from django.db import OperationalError

from django_flare import JobState
from django_flare.lifecycle import finish, housekeeping, recovery, singly
from django_flare.lifecycle.failures import describe
from django_flare.lifecycle.outcomes import Outcome
from django_flare.states import Event
from tests.support import USING, Driver, force, make_job, row, state

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def driver():
    return Driver()


def one_by_one(outcomes, using):
    return finish.total(singly.apply_each(outcomes, using))


@pytest.fixture(params=[finish.apply, one_by_one], ids=["together", "one by one"])
def apply(request):
    return lambda outcomes: request.param(outcomes, USING)


def test_whether_children_became_claimable(driver, apply):
    alone, parent, one_of_two = make_job(), make_job(), make_job()
    make_job(parents=parent)
    make_job(parents=[one_of_two, make_job()])
    assert not apply([driver.outcome(alone, Event.SUCCEED)]).activated
    assert not apply([driver.outcome(one_of_two, Event.SUCCEED)]).activated
    assert apply([driver.outcome(parent, Event.SUCCEED), driver.outcome(make_job(), Event.SUCCEED)]).activated


def test_children_that_are_cancelled_are_not_claimable(driver, apply):
    parent = make_job()
    child = make_job(parents=parent)
    assert not apply([driver.outcome(parent, Event.EXHAUST)]).activated
    assert state(child) is JobState.CANCELLED


def test_the_new_states_and_what_was_refused(driver, apply):
    good, bad = make_job(), make_job()
    outcomes = [driver.outcome(good, Event.SUCCEED), driver.outcome(bad, Event.SUCCEED)]
    force(bad, fence=7)
    applied = apply(outcomes)
    assert applied.states == {outcomes[0].id: JobState.SUCCEEDED}
    assert (applied.refused, applied.busy) == ([outcomes[1]], [])
    assert state(bad) is JobState.PROCESSING


def test_of_two_outcomes_of_a_job_the_newest_fence_counts(driver):
    job = make_job()
    old = driver.outcome(job, Event.SUCCEED)
    force(job, state=JobState.PENDING)
    new = driver.outcome(job, Event.SNOOZE, delay=60)
    applied = finish.apply([new, old], USING)
    assert (applied.states, applied.refused) == ({new.id: JobState.SCHEDULED}, [old])


def test_an_outcome_that_is_given_twice_is_recorded_once_and_refused_once(driver):
    outcome = driver.outcome(make_job(), Event.SUCCEED)
    again = replace(outcome)
    applied = finish.apply([outcome, again], USING)
    assert applied.states == {outcome.id: JobState.SUCCEEDED}
    assert [each is outcome for each in applied.refused] == [True]


def test_nothing_is_recorded_of_nothing(apply, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert finish.apply_within([], USING).states == {}
    assert apply([]).states == {}


class Refusal(Exception):
    """What psycopg raises; the code is what counts."""

    def __init__(self, sqlstate):
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("40P01", finish.NotRecordedError),  # a deadlock
        ("57P01", finish.NotRecordedError),  # the server shuts down
        ("23503", OperationalError),  # what the handler wrote is refused
        ("P0001", OperationalError),  # a trigger of the project's
    ],
)
def test_a_success_that_the_database_does_not_take_now_is_no_failure_of_the_handler(
    driver, monkeypatch, sqlstate, expected
):
    """F20, F34: what it wrote is rolled back, and it is the worker's business to let it run again."""
    parent = make_job()
    make_job(parents=parent)
    claimed = driver.start(parent)

    def refuse(*_):
        raise OperationalError from Refusal(sqlstate)

    def work():
        force(parent, progress=0.5)
        return Outcome(id=claimed.id, fence=claimed.fence, event=Event.SUCCEED)

    monkeypatch.setattr(finish, "settle_children", refuse)
    with pytest.raises(expected):
        finish.record_with(work, claimed.queue, claimed.job_type, USING)
    assert (state(parent), row(parent).progress) == (JobState.PROCESSING, None)


def test_an_error_of_the_handlers_own_statement_stays_the_handlers(driver):
    claimed = driver.start(make_job())

    def work():
        raise OperationalError from Refusal("40P01")

    with pytest.raises(OperationalError):
        finish.record_with(work, claimed.queue, claimed.job_type, USING)


class TestLookingBack:
    """F08: what of the refused had been recorded before, by whatever has become of the rows since."""

    def ends(self, driver):
        return {
            "succeeded": driver.outcome(make_job(), Event.SUCCEED),
            "failed": driver.outcome(make_job(), Event.FAIL, failure=describe(ValueError())),
            "released": driver.outcome(make_job(), Event.RELEASE),
            "discarded": driver.outcome(make_job(), Event.EXHAUST, failure=describe(ValueError())),
        }

    def test_what_was_recorded_is_known_again(self, driver):
        ends = self.ends(driver)
        states = finish.apply(list(ends.values()), USING).states
        assert finish.look_back(list(ends.values()), USING) == states

    def test_also_when_it_runs_again_since(self, driver, clock):
        ends = self.ends(driver)
        states = finish.apply(list(ends.values()), USING).states
        clock.advance(1000)
        housekeeping.promote_due(USING)
        assert len(driver.claim()) == 2
        assert finish.look_back(list(ends.values()), USING) == states

    def test_what_others_took_back_is_not_ours(self, driver):
        ends = self.ends(driver)
        recovery.recover_worker(driver.worker_id, Event.LOSE, USING)
        assert finish.look_back(list(ends.values()), USING) == {}
        driver.register()
        assert len(driver.claim()) == 4
        assert finish.look_back(list(ends.values()), USING) == {}

    def test_of_a_row_that_is_gone_nothing_is_known(self, driver):
        outcome = driver.outcome(make_job(), Event.RELEASE)
        assert finish.look_back([replace(outcome, id=outcome.id + 1000)], USING) == {}
