"""Cascades: whole or not there, and what a retry finds while one is under way."""

from functools import partial

import pytest
from django.db import transaction

from django_flare import JobState, jobs
from django_flare.models import Job
from tests.races.support import (
    Crash,
    apply,
    apply_until_recorded,
    assert_graph_is_settled,
    claim,
    claim_one,
    discarded,
    failed,
    is_serial,
    once,
    own_transaction,
    register,
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


@pytest.fixture
def root():
    """Return a job that is running with its last attempt, and its claimed row."""
    job_id = jobs.enqueue(once)
    return job_id, claim_one(job_id)


def chain(parent, length):
    ids = [parent]
    for _ in range(length):
        ids.append(jobs.continue_with(ids[-1], work))
    return ids[1:]


def all_are(ids, expected):
    return set(Job.objects.filter(public_id__in=ids).values_list("state", flat=True)) == {expected.value}


class TestCascades:
    def test_a_death_cancels_a_long_chain_and_names_the_root(self, root):
        """F14"""
        job_id, claimed = root
        descendants = chain(job_id, 60)
        apply(failed(claimed))
        assert all_are(descendants, JobState.CANCELLED)
        assert {
            str(each)
            for each in Job.objects.filter(public_id__in=descendants).values_list("cancelled_by", flat=True)
        } == {job_id}
        assert_graph_is_settled()

    def test_a_death_cancels_a_wide_fan_and_a_diamond(self, root):
        """F14: 600 children take two chunks; their common grandchild is cancelled once."""
        job_id, claimed = root
        fan = []
        with transaction.atomic():
            fan += [jobs.continue_with(job_id, work) for _ in range(600)]
            bottom = jobs.continue_with(fan[:50], work)
        apply(failed(claimed))
        assert all_are([*fan, bottom], JobState.CANCELLED)
        assert str(row(bottom).cancelled_by) == job_id
        assert_graph_is_settled()

    @pytest.mark.parametrize(
        "place", ["finish.before_write", "activate.before_write", "cascade.between_levels"]
    )
    @pytest.mark.parametrize("visit", [1, 2, 3])
    def test_a_crash_between_the_levels_leaves_nothing_half_done(self, stage, root, place, visit):
        """F14"""
        job_id, claimed = root
        descendants = chain(job_id, 4)
        finisher = stage.start(partial(apply, failed(claimed)), crash_at=place, visit=visit)
        if place == "finish.before_write" and visit > 1:
            assert finisher.error() is None
        else:
            assert isinstance(finisher.error(), Crash)
            assert state(job_id) == JobState.PROCESSING
            assert all_are(descendants, JobState.SCHEDULED)
            assert_graph_is_settled()
            apply(failed(claimed))
        assert all_are(descendants, JobState.CANCELLED)

    @pytest.mark.parametrize("place", ["activate.before_write", "cascade.between_levels"])
    @pytest.mark.parametrize("level", [0, 1, 2, 3])
    def test_a_child_added_at_any_level_during_the_cascade_is_cancelled_too(self, stage, root, level, place):
        """F14: added above, at and below the level that the cascade has reached."""
        job_id, claimed = root
        descendants = chain(job_id, 3)
        finisher = stage.start(partial(apply, failed(claimed)), pause_at=place, visit=2)
        adder = stage.start(partial(jobs.continue_with, [job_id, *descendants][level], work))
        # The cascade holds at least the levels that it has been to.
        there = adder.ends_or_blocks()
        assert there == "blocked" or level == 3
        finisher.go_on()
        assert finisher.result().states == {claimed.id: JobState.DEAD_LETTER}
        assert all_are([*descendants, adder.result()], JobState.CANCELLED)
        assert_graph_is_settled()

    def test_a_cascade_stops_at_a_child_that_is_no_longer_waiting(self, root):
        """F14: a child cancelled by hand keeps its cause, and so do its descendants."""
        job_id, claimed = root
        first, second, third = chain(job_id, 3)
        assert jobs.cancel(second)
        apply(failed(claimed))
        assert [
            row(each).cancelled_by and str(row(each).cancelled_by) for each in (first, second, third)
        ] == [
            job_id,
            None,
            second,
        ]

    def test_two_cascades_that_meet_in_a_diamond_both_end(self, stage, root):
        """F14, F20: each has locked what the other wants next."""
        job_id, _ = root
        top = jobs.continue_with(job_id, work)
        left = jobs.continue_with(top, work)  # 3
        deep = jobs.continue_with(left, work)  # 4
        bottom = jobs.continue_with([top, deep], work)  # 5: a child of the top and of the deep one
        # From the top: {left, bottom}, then deep. From the deep one: bottom.
        first = stage.start(partial(jobs.cancel, top), pause_at="cascade.between_levels")
        second = stage.start(partial(jobs.cancel, deep))
        assert second.ends_or_blocks() == "blocked"
        first.go_on()
        assert first.result()
        second.result()
        assert all_are([top, left, deep, bottom], JobState.CANCELLED)
        assert_graph_is_settled()


class TestRetryAndCascade:
    @pytest.mark.parametrize("revive", [False, True])
    def test_a_retry_before_the_death_is_committed_waits_for_it_or_is_refused(self, stage, root, revive):
        """F15: the retry's condition is looked at after the cascade's commit."""
        job_id, claimed = root
        descendants = chain(job_id, 3)
        finisher = stage.start(partial(apply, failed(claimed)), pause_at="cascade.between_levels")
        retry = stage.start(partial(jobs.retry, job_id, revive=revive))
        refused = retry.ends_or_blocks() == "done"  # PostgreSQL sees a running row and need not wait
        assert not (refused and retry.result())
        finisher.go_on()
        finisher.result()
        if not refused:
            assert retry.result()
        assert state(job_id) == (JobState.DEAD_LETTER if refused else JobState.PENDING)
        assert all_are(descendants, JobState.SCHEDULED if revive and not refused else JobState.CANCELLED)
        assert_graph_is_settled()

    @pytest.mark.parametrize("revive", [False, True])
    def test_a_retry_that_looked_before_the_death_decides_after_it(self, stage, root, revive):
        """F15: it has read the running row and then finds the dead one, children cancelled as a whole."""
        job_id, claimed = root
        descendants = chain(job_id, 3)
        retry = stage.start(partial(jobs.retry, job_id, revive=revive), pause_at="control.after_read")
        finisher = stage.start(partial(apply_until_recorded, failed(claimed)))
        assert finisher.ends_or_blocks() == ("blocked" if is_serial() else "done")
        retry.go_on()
        finisher.result()
        if is_serial():
            assert not retry.result()
            assert all_are(descendants, JobState.CANCELLED)
        else:
            assert retry.result()
            assert all_are(descendants, JobState.SCHEDULED if revive else JobState.CANCELLED)
        assert_graph_is_settled()

    def test_a_retried_parent_that_succeeds_runs_exactly_what_was_revived_and_once(self, root):
        """F15"""
        job_id, claimed = root
        first, second = chain(job_id, 2)
        apply(failed(claimed))
        assert jobs.retry(job_id, revive=True)
        again = claim_one(job_id)
        apply(succeeded(again))
        assert (state(first), state(second)) == (JobState.PENDING, JobState.SCHEDULED)
        apply(succeeded(claim_one(first)))
        assert state(second) == JobState.PENDING
        assert (row(first).fence, row(second).fence) == (1, 0)

    def test_a_retried_parent_that_succeeds_leaves_cancelled_children_cancelled(self, root):
        """F15: the default."""
        job_id, claimed = root
        descendants = chain(job_id, 2)
        apply(failed(claimed))
        assert jobs.retry(job_id)
        apply(succeeded(claim_one(job_id)))
        assert all_are(descendants, JobState.CANCELLED)
        assert_graph_is_settled()

    @pytest.mark.parametrize("place", ["activate.before_write", "test.here"])
    @pytest.mark.parametrize("end", [failed, succeeded], ids=["dies", "succeeds"])
    def test_a_revived_child_learns_of_another_parent_that_ends_meanwhile(self, stage, root, end, place):
        """F15, F11: the revival is not committed when the other parent ends."""
        dead, claimed = root
        other = jobs.enqueue(once)
        other_claimed = claim_one(other)
        child = jobs.continue_with([dead, other], work)
        grandchild = jobs.continue_with(child, work)
        apply(failed(claimed))
        assert state(child) == JobState.CANCELLED

        def revive():
            with own_transaction():
                done = jobs.retry(dead, revive=True)
                stop_here()
            return done

        retry = stage.start(revive, pause_at=place)
        ender = stage.start(partial(apply_until_recorded, end(other_claimed)))
        ender.ends_or_blocks()
        retry.go_on()
        assert retry.result()
        ender.result()
        assert_graph_is_settled()
        if end is succeeded:
            assert (state(child), row(child).open_parents, state(grandchild)) == ("scheduled", 1, "scheduled")
            apply(succeeded(claim_one(dead)))
            assert state(child) == JobState.PENDING
        else:
            assert all_are([child, grandchild], JobState.CANCELLED)
            assert {str(row(each).cancelled_by) for each in (child, grandchild)} == {other}

    @pytest.mark.parametrize("end", [failed, succeeded], ids=["dies", "succeeds"])
    def test_a_revival_sees_another_parent_that_is_ending(self, stage, root, end):
        """F15, F11: the other order, the other parent's end is not committed when the revival begins."""
        dead, claimed = root
        other = jobs.enqueue(once)
        other_claimed = claim_one(other)
        child = jobs.continue_with([dead, other], work)
        apply(failed(claimed))

        def end_other():
            with own_transaction():
                applied = apply(end(other_claimed))
                stop_here()
            return applied

        ender = stage.start(end_other, pause_at="test.here")
        retry = stage.start(partial(jobs.retry, dead, revive=True))
        retry.ends_or_blocks()
        ender.go_on()
        assert ender.result().states
        assert retry.result()
        assert_graph_is_settled()
        assert state(child) == (JobState.CANCELLED if end is failed else JobState.SCHEDULED)

    def test_a_child_attached_during_a_revival_is_part_of_it_or_created_right(self, stage, root):
        """F15, F11"""
        job_id, claimed = root
        first, second = chain(job_id, 2)
        apply(failed(claimed))
        retry = stage.start(partial(jobs.retry, job_id, revive=True), pause_at="activate.before_write")
        late = [stage.start(partial(jobs.continue_with, each, work)) for each in (job_id, first, second)]
        for each in late:
            each.ends_or_blocks()
        retry.go_on()
        # Nothing needed settling if no standing changed; then the place was passed with an empty list.
        assert retry.result()
        assert all_are([first, second, *[each.result() for each in late]], JobState.SCHEDULED)
        assert_graph_is_settled()

    def test_two_revivals_of_one_job_happen_once(self, stage, root):
        """F15, F17"""
        job_id, claimed = root
        descendants = chain(job_id, 2)
        apply(failed(claimed))
        results = stage.together([partial(jobs.retry, job_id, revive=True)] * 8)
        assert sorted(results) == [False] * 7 + [True]
        assert all_are(descendants, JobState.SCHEDULED)
        assert states() == {JobState.PENDING: 1, JobState.SCHEDULED: 2}


class TestCrossingCascades:
    @pytest.mark.parametrize(
        "verb", [jobs.cancel, partial(jobs.retry, revive=True)], ids=["cancel", "revive"]
    )
    def test_two_verbs_whose_descendants_cross_deadlock_nobody(self, stage, verb):
        """F20: in callers' own transactions, where nothing is tried again; level by level they would."""
        first, second = jobs.enqueue_many(once, [{"n": 1}, {"n": 2}])
        low = jobs.continue_with(first, work)
        middle = jobs.continue_with([low, second], work)
        jobs.continue_with([first, middle], work)
        if verb is not jobs.cancel:
            apply(*map(discarded, claim(limit=2)))

        def act_in_own_transaction(job_id):
            with transaction.atomic():
                return verb(job_id)

        one = stage.start(partial(act_in_own_transaction, first), pause_at="cascade.between_levels")
        other = stage.start(partial(act_in_own_transaction, second))
        assert other.ends_or_blocks() == "blocked"
        one.go_on()
        assert (one.result(), other.result()) == (True, True)
        assert_graph_is_settled()
