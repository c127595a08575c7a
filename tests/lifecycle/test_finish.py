"""What a worker learns when it records outcomes."""

from dataclasses import replace

import pytest

from django_flare import JobState
from django_flare.lifecycle import finish
from django_flare.states import Event
from tests.support import USING, Driver, force, make_job, state

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def driver():
    return Driver()


@pytest.fixture(params=[finish.apply, finish.apply_each], ids=["together", "one by one"])
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
