"""Ended jobs are deleted when KEEP says so, never one that is still needed (spec, section 18; F19)."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import override_settings

from django_flare import jobs
from django_flare.lifecycle import housekeeping, retention
from django_flare.lifecycle.claim import parent_results
from django_flare.models import Attempt, Continuation, Job
from django_flare.states import FINAL
from tests.support import USING, Driver, make_job
from tests.testapp.jobs import once

pytestmark = pytest.mark.django_db

DAY = 86_400
KEEP = {"succeeded": timedelta(days=7), "cancelled": timedelta(days=7), "dead_letter": timedelta(days=90)}


@pytest.fixture
def driver(clock):
    return Driver()


def prune():
    return retention.prune(KEEP, USING)


def exists(job_id):
    return Job.objects.filter(public_id=job_id).exists()


def test_every_final_state_has_its_time(driver, clock):
    succeeded, cancelled, dead = make_job(), make_job(), make_job(once)
    driver.succeed(succeeded)
    jobs.cancel(cancelled)
    driver.fail(dead)
    clock.advance(7 * DAY)
    assert prune() == 0
    clock.advance(1)
    assert prune() == 2
    assert [exists(job) for job in (succeeded, cancelled, dead)] == [False, False, True]
    clock.advance(83 * DAY)
    assert prune() == 1
    assert set(KEEP) == {state.value for state in FINAL}


def test_what_has_not_ended_stays_for_ever(driver, clock):
    pending, failed, scheduled = make_job(), make_job(), make_job(when=timedelta(days=3000))
    driver.fail(failed)
    clock.advance(1000 * DAY)
    assert prune() == 0
    assert all(map(exists, (pending, failed, scheduled)))


def test_a_parent_stays_until_its_child_has_ended(driver, clock):
    parent = make_job()
    child = make_job(parents=parent, when=timedelta(days=30))
    driver.succeed(parent)
    clock.advance(31 * DAY)
    assert prune() == 0
    housekeeping.promote_due(USING)
    driver.succeed(child)
    assert prune() == 1
    assert (exists(parent), exists(child)) == (False, True)


def test_a_parent_that_was_cancelled_goes_when_its_child_has_ended(driver, clock):
    parent = make_job()
    child = make_job(parents=parent)
    jobs.cancel(parent)
    clock.advance(8 * DAY)
    assert prune() == 2
    assert not exists(child)


@pytest.mark.parametrize("again", ["retry", "revive"])
def test_a_child_that_runs_again_finds_the_results_of_its_parents(driver, clock, again):
    """A dead or cancelled child is kept for longer than a parent that has succeeded."""
    first = make_job()
    driver.succeed(first, result='"of the first"')
    if again == "retry":
        root = child = make_job(once, parents=first)
    else:
        root = make_job(once)
        child = make_job(parents=[first, root])
    driver.fail(root)
    clock.advance(8 * DAY)
    retention.prune({"succeeded": timedelta(days=7)}, USING)
    jobs.retry(root, revive=True)
    if again == "revive":
        driver.succeed(root)
    ((parent, result), *_) = parent_results(Job.objects.get(public_id=child).pk, USING)
    assert (parent, result) == (first, "of the first")


def test_a_child_that_was_attached_while_the_parent_was_looked_at_keeps_it(driver, clock, monkeypatch):
    """F19: a locking read that waits for its row has looked for children before."""
    parent = make_job()
    driver.succeed(parent)
    clock.advance(8 * DAY)
    look = retention.store.lock_expired

    def look_and_be_overtaken(*args):
        found = look(*args)
        make_job(parents=parent)
        return found

    monkeypatch.setattr(retention.store, "lock_expired", look_and_be_overtaken)
    assert retention.prune({"succeeded": timedelta(days=7)}, USING) == 0
    assert exists(parent)


def test_attempts_and_links_go_with_their_job(driver, clock):
    parent = make_job(once)
    make_job(parents=parent)
    driver.fail(parent)
    clock.advance(91 * DAY)
    assert prune() == 2
    assert (Attempt.objects.count(), Continuation.objects.count()) == (0, 0)


def test_a_key_is_free_again_when_its_job_is_gone(driver, clock):
    first = make_job(queue="keyed", idempotency_key="k")
    driver.succeed(first)
    clock.advance(8 * DAY)
    prune()
    assert make_job(queue="keyed", idempotency_key="k") != first


def test_a_batch_is_bounded(driver, clock, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(3):
        driver.succeed(make_job())
    clock.advance(8 * DAY)
    assert [prune(), prune(), prune()] == [2, 1, 0]


def test_the_command_deletes_or_only_counts(driver, clock):
    driver.succeed(make_job())
    clock.advance(8 * DAY)
    out = StringIO()
    with override_settings(FLARE={"KEEP": {"succeeded": timedelta(days=1)}}):
        call_command("flare_prune", dry_run=True, stdout=out)
        assert "succeeded: 1" in out.getvalue()
        call_command("flare_prune", stdout=out)
    assert out.getvalue().endswith("1 jobs deleted\n")
    assert Job.objects.count() == 0
