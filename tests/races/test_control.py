"""Cancel and retry against claimers, each other, and everybody at once."""

# ruff: noqa: E501

import random
import time
from datetime import timedelta
from functools import partial

import pytest
from django.db.models import F

from django_flare import FlareNotFoundError, JobState, jobs
from django_flare.lifecycle import housekeeping, retention
from django_flare.lifecycle.claim import take_turn
from django_flare.lifecycle.outcomes import Outcome
from django_flare.models import Attempt, Job
from django_flare.states import Event
from django_flare.store import rows
from tests.races.support import (
    USING,
    apply,
    apply_until_recorded,
    assert_graph_is_settled,
    claim,
    claim_one,
    discarded,
    failed,
    history,
    is_serial,
    left,
    let_vanish,
    once,
    own_transaction,
    recover,
    register,
    released,
    request,
    row,
    state,
    states,
    stop_here,
    succeeded,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _worker():
    register("wrk_a")


class TestCancelAndClaim:
    def test_a_cancel_that_is_not_committed_keeps_the_job_from_being_claimed(self, stage):
        """F16: cancel first."""
        job_id = jobs.enqueue(work)

        def cancel_slowly():
            with own_transaction():
                done = jobs.cancel(job_id)
                stop_here()
            return done

        canceller = stage.start(cancel_slowly, pause_at="test.here")
        claimer = stage.start(claim)
        assert claimer.ends_or_blocks() == ("blocked" if is_serial() else "done")
        canceller.go_on()
        assert canceller.result() is True
        assert claimer.result() == []
        assert (state(job_id), row(job_id).fence) == (JobState.CANCELLED, 0)

    @pytest.mark.parametrize("place", [None, "control.after_read"])
    def test_a_cancel_waits_for_a_claim_that_is_not_committed_and_is_refused(self, stage, place):
        """F16: claim first; also when cancel had read the row before."""
        job_id = jobs.enqueue(work)
        canceller = stage.start(partial(jobs.cancel, job_id), pause_at=place) if place else None
        claimer = stage.start(claim, pause_at=() if is_serial() and place else "turn.before_commit")
        if canceller is None:
            canceller = stage.start(partial(jobs.cancel, job_id))
        else:
            canceller.go_on()
        canceller.ends_or_blocks()
        claimer.free()
        taken = claimer.result()
        if is_serial() and place:  # cancel had the lock
            assert (canceller.result(), taken) == (True, [])
            assert state(job_id) == JobState.CANCELLED
        else:
            assert (canceller.result(), len(taken)) == (False, 1)
            assert state(job_id) == JobState.PROCESSING

    def test_a_claim_given_back_can_be_cancelled(self, stage):
        """F16: two cancels of one job, one of them wins."""
        job_id = jobs.enqueue(work)
        assert sorted(stage.together([partial(jobs.cancel, job_id)] * 6)) == [False] * 5 + [True]
        assert state(job_id) == JobState.CANCELLED

    def test_of_500_jobs_each_is_either_cancelled_or_claimed(self, stage):
        """F16: True means cancelled and never started, False means claimed; nothing in between."""
        ids = jobs.enqueue_many(work, [{"n": n} for n in range(500)])
        draw = random.Random(16)
        shuffled = draw.sample(ids, len(ids))

        def cancel(mine):
            return {job_id: jobs.cancel(job_id) for job_id in mine}

        def claim_all():
            taken = []
            while batch := claim(limit=7):
                taken += batch
            return taken

        *cancelled, first, second = stage.together(
            [partial(cancel, shuffled[n::3]) for n in range(3)] + [claim_all, claim_all]
        )
        rest = claim(limit=500)
        claimed = {str(each.public_id) for each in [*first, *second, *rest]}
        answers = {job_id: answer for part in cancelled for job_id, answer in part.items()}
        assert {job_id for job_id, answer in answers.items() if answer} == set(ids) - claimed
        for job in Job.objects.all():
            was_claimed = str(job.public_id) in claimed
            assert (job.state, job.fence) == (("processing", 1) if was_claimed else ("cancelled", 0))


class TestStopAndTheEndOfTheRun:
    """F01, F16: whichever commits first decides, and the other is told."""

    @pytest.fixture
    def running(self):
        job_id = jobs.enqueue(work)
        child = jobs.continue_with(job_id, work)
        return job_id, child, claim_one(job_id)

    @pytest.mark.parametrize("end", [succeeded, failed, discarded, released, left])
    def test_a_stop_that_is_not_committed_holds_up_no_worker_and_counts(self, stage, running, end):
        job_id, child, claimed = running

        def stop_slowly():
            with own_transaction():
                done = jobs.stop(job_id)
                stop_here()
            return done

        stopper = stage.start(stop_slowly, pause_at="test.here")
        ending = stage.start(partial(apply_until_recorded, end(claimed)))
        assert ending.ends_or_blocks() == ("blocked" if is_serial() else "busy")
        stopper.go_on()
        assert stopper.result() is True
        ending.result()
        if end is succeeded:
            assert (state(job_id), state(child)) == (JobState.SUCCEEDED, JobState.PENDING)
        else:
            assert (state(job_id), row(job_id).error_message) == (JobState.CANCELLED, "stopped")
            assert (state(child), str(row(child).cancelled_by)) == (JobState.CANCELLED, job_id)
        assert row(job_id).stop_requested is False
        assert_graph_is_settled()

    @pytest.mark.parametrize("place", [None, "control.after_read"])
    @pytest.mark.parametrize("end", [succeeded, failed, discarded, released])
    def test_a_stop_waits_for_an_end_that_is_not_committed_and_is_refused(self, stage, running, end, place):
        """Also when it had read the running row before; nobody is left with a mark that means nothing."""
        job_id, _, claimed = running
        stopper = stage.start(partial(jobs.stop, job_id), pause_at=place) if place else None
        ending = stage.start(
            partial(apply_until_recorded, end(claimed)),
            pause_at=() if is_serial() and place else "finish.before_write",
        )
        if stopper is None:
            stopper = stage.start(partial(jobs.stop, job_id))
        else:
            stopper.go_on()
        stopper.ends_or_blocks()
        ending.free()
        ending.result()
        if is_serial() and place:  # the stop had the lock
            assert stopper.result() is True
            assert state(job_id) == (JobState.SUCCEEDED if end is succeeded else JobState.CANCELLED)
        else:
            assert stopper.result() is False
            expected = {
                succeeded: "succeeded",
                failed: "failed",
                discarded: "dead_letter",
                released: "pending",
            }
            assert state(job_id) == expected[end]
        assert row(job_id).stop_requested is False
        assert_graph_is_settled()

    @pytest.mark.parametrize("is_first", [True, False])
    def test_a_stop_and_the_loss_of_the_worker(self, stage, running, is_first):
        job_id, child, _ = running
        let_vanish("wrk_a")
        if is_first:
            assert jobs.stop(job_id) is True
            assert recover() == 1
        else:
            recovery = stage.start(recover, pause_at="finish.before_write")
            stopper = stage.start(partial(jobs.stop, job_id))
            assert stopper.ends_or_blocks() == "blocked"
            recovery.go_on()
            assert (recovery.result(), stopper.result()) == (1, False)
        assert history(job_id) == [(1, "lost")]
        expected = [JobState.CANCELLED] * 2 if is_first else [JobState.PENDING, JobState.SCHEDULED]
        assert [state(job_id), state(child)] == expected
        assert row(job_id).stop_requested is False

    def test_many_stops_of_one_run_are_all_told_that_it_runs(self, stage, running):
        job_id, _, claimed = running
        assert stage.together([partial(jobs.stop, job_id)] * 6) == [True] * 6
        apply(failed(claimed))
        assert state(job_id) == JobState.CANCELLED
        assert stage.together([partial(jobs.stop, job_id)] * 3) == [False] * 3

    def test_stops_and_cancels_of_a_running_job(self, stage, running):
        job_id, *_ = running
        answers = stage.together([partial(jobs.stop, job_id), partial(jobs.cancel, job_id)] * 3)
        assert answers == [True, False] * 3

    def test_of_300_jobs_each_is_stopped_or_had_ended(self, stage):
        ids = jobs.enqueue_many(work, [{"n": n} for n in range(300)])
        claimed = claim(limit=300)
        draw = random.Random(1)
        shuffled = draw.sample(ids, len(ids))

        def stop(mine):
            return {job_id: jobs.stop(job_id) for job_id in mine}

        def end_all():
            for start in range(0, 300, 7):
                apply_until_recorded(*[failed(each) for each in claimed[start : start + 7]])

        first, second, _ = stage.together(
            [partial(stop, shuffled[::2]), partial(stop, shuffled[1::2]), end_all]
        )
        answers = {**first, **second}
        for job in Job.objects.all():
            asked = answers[str(job.public_id)]
            assert (job.state, job.stop_requested) == ("cancelled" if asked else "failed", False)


class TestRetries:
    @pytest.mark.parametrize("revive", [False, True])
    def test_of_100_parallel_retries_one_succeeds_and_adds_one_attempt(self, stage, revive):
        """F17"""
        job_id = jobs.enqueue(once)
        apply(failed(claim_one(job_id)))
        assert state(job_id) == JobState.DEAD_LETTER

        def ten_times():
            return [jobs.retry(job_id, revive=revive) for _ in range(10)]

        results = [each for ten in stage.together([ten_times] * 10) for each in ten]
        assert sorted(results) == [False] * 99 + [True]
        found = row(job_id)
        assert (found.state, found.attempt, found.max_attempts) == ("pending", 1, 2)
        assert len(claim()) == 1

    def test_a_retry_and_the_automatic_one_make_the_job_claimable_once(self, stage):
        """F17: the promotion of due jobs at the same moment."""
        job_id = jobs.enqueue(work)
        claimed = claim_one(job_id)
        apply(
            Outcome(
                id=claimed.id, fence=claimed.fence, event=Event.FAIL, delay=0, failure=failed(claimed).failure
            )
        )
        assert state(job_id) == JobState.FAILED
        retry = stage.start(partial(jobs.retry, job_id), pause_at="control.after_read")
        promotion = stage.start(lambda: housekeeping.promote_due(USING))
        assert promotion.ends_or_blocks() == ("blocked" if is_serial() else "done")
        retry.go_on()
        assert (retry.result(), promotion.result()) == ((True, 0) if is_serial() else (False, 1))
        found = row(job_id)
        assert (found.state, found.max_attempts, found.attempt) == ("pending", 3, 1)
        assert len(claim()) == 1

    def test_a_retry_and_a_discard_of_a_failed_job_exclude_each_other_in_one_order(self, stage):
        """F17: discard then retry revives a dead job, retry then discard is refused; never both from failed."""
        job_id = jobs.enqueue(work)
        apply(failed(claim_one(job_id)))
        discard = stage.start(partial(jobs.discard, job_id), pause_at="control.after_read")
        retry = stage.start(partial(jobs.retry, job_id))
        retry.ends_or_blocks()
        discard.go_on()
        assert retry.result() is True
        assert discard.result() is is_serial()
        assert state(job_id) == JobState.PENDING


class TestMixedLoad:
    def test_cancel_all_retry_all_cascades_and_four_workers_deadlock_no_caller(self, stage):  # noqa: C901
        """F20: for 4 seconds; no database error reaches anybody, every row ends where the rules put it."""
        seconds = 4
        draw = random.Random(20)
        for worker_id in ("wrk_1", "wrk_2", "wrk_3", "wrk_4"):
            register(worker_id)
        deadline = time.monotonic() + seconds
        ids = list(jobs.enqueue_many(once, [{"n": n} for n in range(60)]))

        def going_on():
            return time.monotonic() < deadline

        def work_on(worker_id, seed):
            mine, left, done = random.Random(seed), [], 0
            while going_on() or left:
                turn = take_turn(left, request(worker_id, 8) if going_on() else None, USING)
                done += len(turn.applied.states)
                left = turn.applied.busy + [
                    mine.choice([succeeded, succeeded, failed])(each) for each in turn.claimed
                ]
            return done

        def enqueue(seed):
            mine = random.Random(seed)
            while going_on():
                recent = ids[-40:]
                if mine.random() < 0.4:
                    ids.append(jobs.enqueue(mine.choice([work, once])))
                else:
                    ids.append(jobs.continue_with(mine.sample(recent, mine.choice([1, 1, 2, 3])), once))

        def cancel_all(seed):
            mine = random.Random(seed)
            while going_on():
                for job_id in mine.sample(ids[-60:], 20):
                    jobs.cancel(job_id)

        def retry_all():
            while going_on():
                dead = list(
                    Job.objects.filter(state__in=["dead_letter", "failed"]).values_list(
                        "public_id", flat=True
                    )[:30]
                )
                for job_id in dead:
                    jobs.retry(job_id, revive=draw.random() < 0.5)

        workers = [partial(work_on, f"wrk_{n}", n) for n in range(1, 5)]
        others = [partial(enqueue, 5), partial(enqueue, 6), partial(cancel_all, 7), retry_all]
        finished = stage.together(workers + others)[:4]
        assert sum(finished) > 0
        assert Job.objects.filter(state=JobState.PROCESSING).count() == 0
        assert_graph_is_settled()
        assert not Attempt.objects.filter(outcome="lost").exists()

    def test_two_batches_with_the_same_keys_in_opposite_order_make_each_job_once(self, stage):
        """F20, F21: the unique index is the lock, taken in the caller's order."""
        names = [f"key-{n}" for n in range(30)]

        def make(order):
            return jobs.enqueue_many(
                work,
                [{"name": name} for name in names[::order]],
                idempotency_key=lambda payload: payload["name"],
            )

        for _ in range(5):
            forward, backward = stage.together([partial(make, 1), partial(make, -1)])
            assert forward == backward[::-1]
        assert states() == {JobState.PENDING: 30}


@pytest.mark.parametrize("verb", [jobs.cancel, jobs.retry, jobs.discard, jobs.stop])
def test_a_verb_whose_job_is_pruned_between_its_look_and_its_write_says_that_it_is_unknown(stage, verb):
    """F19"""
    job_id = jobs.enqueue(work)
    apply(discarded(claim_one(job_id)))
    rows.jobs(USING).update(completed_at=F("completed_at") - timedelta(hours=1))

    caller = stage.start(partial(verb, job_id), pause_at="control.after_read")
    pruning = stage.start(partial(retention.prune, {JobState.DEAD_LETTER: timedelta(minutes=1)}, USING))
    assert pruning.ends_or_blocks() == ("blocked" if is_serial() else "done")
    caller.go_on()

    if is_serial():  # the verb was first
        assert pruning.result() == (0 if caller.result() else 1)
    else:
        assert isinstance(caller.error(), FlareNotFoundError)
