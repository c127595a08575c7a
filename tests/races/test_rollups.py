"""Counting holds nobody up and loses nothing, whoever counts and puts together at the same time."""

from datetime import timedelta

import pytest

from django_flare import JobState, jobs
from django_flare.lifecycle import rollups
from django_flare.models import Rollup
from django_flare.models.rollup import Level
from django_flare.store import figures
from django_flare.store.clock import read_now
from tests.races.support import (
    USING,
    apply,
    apply_until_recorded,
    claim,
    is_serial,
    own_transaction,
    register,
    stop_here,
    succeeded,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _worker():
    register("wrk_a")
    register("wrk_b")


def count():
    return sum(figures.count_ended(read_now(USING) - timedelta(days=1), USING).values())


def end_some(number=5):
    """End jobs one by one, each with a row of its own."""
    jobs.enqueue_many(work, [{}] * number)
    for claimed in claim():
        apply(succeeded(claimed))


def test_two_workers_that_count_the_same_type_never_wait_for_each_other(stage):
    jobs.enqueue_many(work, [{}] * 4)
    first, second = claim("wrk_a", 2), claim("wrk_b", 2)

    def slowly():
        with own_transaction():
            applied = apply(*map(succeeded, first))
            stop_here()
        return applied

    one = stage.start(slowly, pause_at="test.here")
    other = stage.start(lambda: apply_until_recorded(*map(succeeded, second)))
    assert other.ends_or_blocks() == ("blocked" if is_serial() else "done")
    one.go_on()
    one.result()
    other.result()
    assert count() == 4


def test_a_caller_that_keeps_a_cancellation_open_holds_up_no_worker(stage):
    """F12, F20."""
    job_id = jobs.enqueue(work)
    (claimed,) = claim()
    waiting = jobs.enqueue(work)

    def slowly():
        with own_transaction():
            jobs.cancel(waiting)
            stop_here()

    caller = stage.start(slowly, pause_at="test.here")
    finisher = stage.start(lambda: apply_until_recorded(succeeded(claimed)))
    assert finisher.ends_or_blocks() == ("blocked" if is_serial() else "done")
    caller.go_on()
    caller.result()
    finisher.result()
    assert jobs.get_status(job_id).state == JobState.SUCCEEDED
    assert count() == 2


def test_a_worker_counts_while_rows_are_put_together(stage):
    end_some()
    jobs.enqueue(work)
    (claimed,) = claim()
    merger = stage.start(lambda: rollups.merge(USING), pause_at="rollups.before_commit")
    finisher = stage.start(lambda: apply_until_recorded(succeeded(claimed)))
    assert finisher.ends_or_blocks() == ("blocked" if is_serial() else "done")
    assert count() == (5 if is_serial() else 6)
    merger.go_on()
    merger.result()
    finisher.result()
    assert count() == 6


def test_two_that_put_together_at_once_count_nothing_twice(stage):
    end_some()
    first = stage.start(lambda: rollups.merge(USING), pause_at="rollups.before_commit")
    second = stage.start(lambda: rollups.merge(USING))
    assert second.ends_or_blocks() == ("blocked" if is_serial() else "done")
    assert count() == 5
    first.go_on()
    first.result()
    second.result()
    assert count() == 5
    assert not Rollup.objects.filter(level=Level.WRITTEN).exists()


def test_one_that_is_killed_while_it_puts_together_loses_nothing(stage):
    end_some()
    killed = stage.start(lambda: rollups.merge(USING), crash_at="rollups.before_commit")
    killed.join()
    assert count() == 5
    assert Rollup.objects.filter(level=Level.WRITTEN).count() == 5
    rollups.merge(USING)
    assert count() == 5
    assert Rollup.objects.get().count == 5
