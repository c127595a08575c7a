"""What ends is counted in the transaction that ends it: exactly as often as it was accepted."""

from datetime import timedelta

import pytest
from django.db import transaction

from django_flare import FlareError, JobState, jobs
from django_flare.lifecycle import finish, rollups, singly
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Rollup
from django_flare.models.rollup import BOUNDS, RAN, WAITED, Level
from django_flare.states import ENDED, Event
from django_flare.store import figures
from django_flare.store import rollups as store
from tests.clock import START
from tests.support import USING, Driver, make_job, row
from tests.testapp.jobs import once, plain

pytestmark = pytest.mark.django_db

PLAIN = "tests.testapp.jobs.plain"


@pytest.fixture
def driver(clock):
    return Driver()


def counts():
    """Return how many jobs are counted by outcome."""
    return figures.count_ended(START - timedelta(days=400), USING)


def only():
    (found,) = Rollup.objects.all()
    return found


def histogram(found, names):
    return {place: getattr(found, name) for place, name in enumerate(names) if getattr(found, name)}


def test_an_outcome_is_counted_in_its_minute_with_its_queue_and_type(driver, clock):
    now = clock.advance(95)
    driver.succeed(make_job(plain, queue="mail"))
    found = only()
    assert (found.queue, found.job_type, found.outcome, found.count) == ("mail", PLAIN, "succeeded", 1)
    assert found.start == now.replace(second=0)
    assert found.level == Level.WRITTEN


def test_outcomes_of_one_flush_are_summed_up_by_queue_type_and_state(driver):
    for handler, queue in ((plain, "a"), (plain, "a"), (once, "a"), (plain, "b")):
        make_job(handler, queue=queue)
    driver.claim()
    outcomes = [Outcome(id=run.id, fence=run.fence, event=Event.SUCCEED) for run in driver.runs.values()]
    finish.apply(outcomes, USING)
    found = Rollup.objects.values_list("queue", "job_type", "count")
    assert sorted(found) == [("a", "tests.testapp.jobs.once", 1), ("a", PLAIN, 2), ("b", PLAIN, 1)]


def test_how_long_a_job_waited_and_ran_has_its_class(driver, clock):
    job = make_job()
    clock.advance(5)
    driver.start(job)
    clock.advance(100)
    waited = driver.runs[job].waited
    driver.end(job, Event.SUCCEED, waited=waited, ran=0.25)
    found = only()
    assert (found.run_seconds, found.wait_seconds) == (pytest.approx(0.25), pytest.approx(5, abs=0.002))
    assert histogram(found, RAN) == {BOUNDS.index(0.3): 1}
    assert histogram(found, WAITED) == {BOUNDS.index(10.0): 1}


@pytest.mark.parametrize(
    ("seconds", "place"), [(-1.0, 0), (0.0, 0), (0.002, 0), (0.003, 1), (0.5, 5), (3600.0, 13), (1e7, 13)]
)
def test_a_class_ends_before_its_bound(db, seconds, place):
    store.write([store.Ended("q", "t", JobState.SUCCEEDED, seconds, seconds)], USING)
    found = only()
    assert histogram(found, RAN) == histogram(found, WAITED) == {place: 1}
    assert found.run_seconds == found.wait_seconds == max(seconds, 0.0)


@pytest.mark.parametrize(("seconds", "place"), [(0, 0), (0.02, 2), (2, 6), (7200, 13)])
def test_a_run_recorded_by_its_handler_has_the_same_classes(driver, clock, seconds, place):
    job = make_job(queue="mail")
    clock.advance(seconds)
    claimed = driver.start(job)
    outcome = Outcome(
        id=claimed.id, fence=claimed.fence, event=Event.SUCCEED, waited=claimed.waited, ran=float(seconds)
    )
    finish.record_with(lambda: outcome, claimed.queue, claimed.job_type, USING)
    found = only()
    assert (found.queue, found.job_type, found.count) == ("mail", PLAIN, 1)
    assert histogram(found, RAN) == histogram(found, WAITED) == {place: 1}
    assert found.wait_seconds == pytest.approx(seconds, abs=0.002)


def test_every_end_of_a_run_that_changes_the_state_for_now_or_for_good_is_counted(driver):
    driver.succeed(make_job())
    driver.fail(make_job())
    driver.fail(make_job(once))
    driver.discard(make_job())
    stopped = make_job()
    driver.request_stop(stopped)
    driver.leave(stopped)
    assert counts() == {
        JobState.SUCCEEDED: 1,
        JobState.FAILED: 1,
        JobState.DEAD_LETTER: 2,
        JobState.CANCELLED: 1,
    }


def test_a_job_that_goes_back_to_waiting_is_not_counted(driver):
    driver.release(make_job())
    driver.snooze(make_job())
    driver.lose(make_job())
    assert counts() == {}


def test_a_loss_too_many_is_counted_without_a_run(driver):
    driver.lose(make_job(once))
    assert counts() == {JobState.DEAD_LETTER: 1}
    assert histogram(only(), RAN) == histogram(only(), WAITED) == {}


def test_what_operators_and_cascades_end_is_counted_without_a_run(driver):
    parent = make_job()
    for _ in range(3):
        make_job(parents=make_job(parents=parent))
    jobs.cancel(parent)
    assert counts() == {JobState.CANCELLED: 7}
    failed = make_job()
    driver.fail(failed)
    jobs.discard(failed)
    assert counts() == {JobState.CANCELLED: 7, JobState.FAILED: 1, JobState.DEAD_LETTER: 1}
    unrun = Rollup.objects.exclude(outcome=JobState.FAILED)
    assert all(histogram(each, RAN + WAITED) == {} for each in unrun)


def test_a_child_created_under_a_dead_parent_is_counted(driver):
    parent = make_job(once)
    driver.fail(parent)
    make_job(parents=parent)
    assert counts() == {JobState.DEAD_LETTER: 1, JobState.CANCELLED: 1}


def test_every_state_with_an_end_is_an_outcome():
    assert {value for value, _ in Rollup._meta.get_field("outcome").choices} == ENDED


def test_an_outcome_that_is_refused_is_not_counted(driver):
    job = make_job()
    claimed = driver.start(job)
    driver.lose(job)
    stale = Outcome(id=claimed.id, fence=claimed.fence, event=Event.SUCCEED)
    assert finish.apply([stale], USING).refused
    with pytest.raises(finish.LeaseLostError):
        finish.record_with(lambda: stale, claimed.queue, claimed.job_type, USING)
    assert counts() == {}


def test_an_outcome_repeated_after_an_unknown_commit_is_counted_once(driver):
    """F08."""
    claimed = driver.start(make_job())
    outcome = Outcome(id=claimed.id, fence=claimed.fence, event=Event.SUCCEED)
    finish.apply([outcome], USING)
    finish.apply([outcome], USING)
    list(singly.apply_each([outcome, outcome], USING))
    assert counts() == {JobState.SUCCEEDED: 1}


def test_what_is_rolled_back_is_not_counted(driver):
    job, other = make_job(), make_job()
    driver.start(job)

    class Died(Exception):
        pass

    @transaction.atomic
    def work_and_die(work):
        assert work() is True
        assert counts() != {}
        raise Died

    for work in (lambda: driver.succeed(job), lambda: jobs.cancel(other)):
        with pytest.raises(Died):
            work_and_die(work)
    assert counts() == {}
    assert row(job).state == JobState.PROCESSING


def test_nobody_writes_it_by_hand(driver):
    driver.succeed(make_job())
    for write in (lambda: Rollup.objects.update(count=2), only().save, only().delete):
        with pytest.raises(FlareError):
            write()


# Putting together.


def snapshot():
    """Return all sums, which may never change by putting rows together."""
    names = ("count", "run_seconds", "wait_seconds", *RAN, *WAITED)
    rows = Rollup.objects.all()
    return {name: pytest.approx(sum(getattr(each, name) for each in rows)) for name in names}


def end_some(driver, number=3):
    for place in range(number):
        driver.end(make_job(queue="mail"), Event.SUCCEED, ran=0.01 * place)
        driver.end(make_job(queue="mail"), Event.FAIL, ran=2.0)


def test_rows_of_a_minute_become_one_for_each_queue_type_and_outcome(driver, clock):
    end_some(driver)
    clock.advance(60)
    end_some(driver)
    before = snapshot()
    assert rollups.merge(USING) is False
    assert snapshot() == before
    assert Rollup.objects.count() == 4
    assert {each.level for each in Rollup.objects.all()} == {Level.MINUTE}
    assert {(each.start, each.outcome, each.count) for each in Rollup.objects.all()} == {
        (START + timedelta(minutes=minute), outcome, 3)
        for minute in (0, 1)
        for outcome in (JobState.SUCCEEDED, JobState.FAILED)
    }


def test_what_comes_late_joins_its_minute(driver):
    for _ in range(3):
        end_some(driver)
        before = snapshot()
        rollups.merge(USING)
        assert snapshot() == before
        assert Rollup.objects.count() == 2


def test_no_more_than_a_bounded_number_is_put_together_at_once(driver, monkeypatch):
    monkeypatch.setattr(rollups, "_ROWS_AT_ONCE", 4)
    end_some(driver)
    before = snapshot()
    assert rollups.merge(USING) is True
    assert rollups.merge(USING) is False
    assert snapshot() == before
    assert Rollup.objects.count() == 2


def levels():
    return set(Rollup.objects.values_list("level", "start"))


def thin_out():
    while rollups.thin_out(USING):
        pass


def test_minutes_become_quarters_and_quarters_hours(driver, clock):
    end_some(driver)
    clock.advance(60)
    end_some(driver)
    clock.advance(15 * 60)
    end_some(driver)
    rollups.merge(USING)
    before = snapshot()
    quarters = {(Level.QUARTER, START), (Level.QUARTER, START + timedelta(minutes=15))}
    clock.advance(3 * 3600 - 60)
    thin_out()
    assert Rollup.objects.filter(level=Level.MINUTE).count() == 6
    clock.advance(17 * 60)
    thin_out()
    assert (levels(), Rollup.objects.count(), snapshot()) == (quarters, 4, before)
    clock.advance(22 * 3600)
    thin_out()
    assert levels() == quarters
    clock.advance(2 * 3600)
    thin_out()
    assert (levels(), Rollup.objects.count(), snapshot()) == ({(Level.HOUR, START)}, 2, before)


def test_what_comes_very_late_joins_its_hour(driver, clock):
    end_some(driver)
    clock.advance(27 * 3600)
    for _ in range(2):
        rollups.merge(USING)
        thin_out()
        assert (levels(), Rollup.objects.count()) == ({(Level.HOUR, START)}, 2)
        before = snapshot()
        store.write([store.Ended("mail", PLAIN, JobState.SUCCEEDED, 0.1, 0.1)], USING)
        store.rollups(USING).filter(level=Level.WRITTEN).update(start=START + timedelta(minutes=7))
    assert snapshot()["count"].expected == before["count"].expected + 1


def test_how_long_each_level_is_kept():
    kept = (rollups.MINUTES_KEPT, rollups.QUARTERS_KEPT, rollups.HOURS_KEPT)
    assert kept == (timedelta(hours=3), timedelta(hours=25), timedelta(days=90))


def test_hours_are_forgotten_after_ninety_days(driver, clock):
    end_some(driver)
    rollups.merge(USING)
    clock.advance(27 * 3600)
    thin_out()
    clock.advance(88 * 86_400)
    thin_out()
    assert Rollup.objects.count() == 2
    clock.advance(2 * 86_400)
    thin_out()
    assert Rollup.objects.count() == 0
