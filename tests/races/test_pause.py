"""A pause against the claims of the moment (spec, section 13): nothing starts after it committed."""

import pytest

from django_flare import JobState, jobs
from django_flare.lifecycle.claim import ClaimRequest
from django_flare.models import Job
from django_flare.store.clock import read_now
from tests.races.support import (
    TYPES,
    USING,
    claim,
    claims,
    is_serial,
    own_transaction,
    register,
    row,
    state,
    stop_here,
    wait_until,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _worker():
    register("wrk_a")


def pause():
    return jobs.pause_queue("races")


def slowly(change):
    """Return `change` in a transaction that stays open at `test.here`."""

    def run():
        with own_transaction():
            changed = change()
            stop_here()
        return changed

    return run


def claim_from(*queues, limit=10):
    return claims.claim(ClaimRequest("wrk_a", queues, TYPES, limit), USING)


def ids(claimed):
    return [str(run.public_id) for run in claimed]


class TestAPauseBetweenTheLookAndTheClaim:
    """On SQLite the pause waits for the claim's transaction, so the claim is before it."""

    def race(self, stage, claiming):
        claimer = stage.start(claiming, pause_at="claim.after_lock")
        pauser = stage.start(pause)
        assert pauser.ends_or_blocks() == ("blocked" if is_serial() else "done")
        claimer.go_on()
        assert pauser.result() is True
        return ids(claimer.result())

    def test_keeps_the_job_from_being_claimed(self, stage):
        job_id = jobs.enqueue(work)
        taken = self.race(stage, claim)
        assert taken == ([job_id] if is_serial() else [])
        assert row(job_id).fence == len(taken)
        assert claim() == []

    def test_keeps_back_only_the_jobs_of_that_queue(self, stage):
        first, second = jobs.enqueue(work), jobs.enqueue(work, queue="other")
        taken = self.race(stage, lambda: claim_from("races", "other"))
        assert taken == ([first, second] if is_serial() else [second])
        assert state(second) == JobState.PROCESSING

    def test_makes_the_claim_look_at_the_other_queues(self, stage):
        first, second = jobs.enqueue(work), jobs.enqueue(work, queue="other")
        taken = self.race(stage, lambda: claim_from("races", "other", limit=1))
        assert taken == [first if is_serial() else second]


class TestAnOpenTransactionOfTheOperator:
    """Claims decide by what is committed and wait for nobody; on SQLite whoever writes waits his turn."""

    def test_that_pauses(self, stage):
        job_id = jobs.enqueue(work)
        pauser = stage.start(slowly(pause), pause_at="test.here")
        claimer = stage.start(claim)
        assert claimer.ends_or_blocks() == ("blocked" if is_serial() else "done")
        pauser.go_on()
        assert pauser.result() is True
        assert ids(claimer.result()) == ([] if is_serial() else [job_id])

    def test_that_pauses_again(self, stage):
        """The queue has a row already, which the pause holds."""
        pause()
        jobs.resume_queue("races")
        self.test_that_pauses(stage)

    def test_that_resumes(self, stage):
        job_id = jobs.enqueue(work)
        pause()
        resumer = stage.start(slowly(lambda: jobs.resume_queue("races")), pause_at="test.here")
        claimer = stage.start(claim)
        assert claimer.ends_or_blocks() == ("blocked" if is_serial() else "done")
        resumer.go_on()
        assert resumer.result() is True
        assert ids(claimer.result()) == ([job_id] if is_serial() else [])
        assert ids(claim()) == ([] if is_serial() else [job_id])


@pytest.mark.parametrize("rounds", [3])
def test_of_rivals_one_pauses_and_one_resumes(stage, rounds):
    for change in [jobs.pause_queue, jobs.resume_queue] * rounds:
        done = stage.together([lambda change=change: change("races")] * 6)
        assert sorted(done) == [False] * 5 + [True]


def test_no_start_is_recorded_after_the_commit_of_the_pause(stage):
    """A crowd of claimers; the database's time is read when the pause has committed."""
    jobs.enqueue_many(work, [{}] * 200)
    started = Job.objects.filter(state=JobState.PROCESSING)

    def claim_all():
        while claim(limit=1):
            pass

    def pause_amidst():
        wait_until(lambda: started.count() >= 5)
        assert pause() is True
        return read_now(USING)

    *_, committed = stage.together([claim_all, claim_all, claim_all, pause_amidst])
    assert not started.filter(started_at__gt=committed).exists()
